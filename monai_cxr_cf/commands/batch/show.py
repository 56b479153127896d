# SPDX-License-Identifier: Apache-2.0
"""What a batch tells while it runs: counts, rate and time left, as a bar, as lines or as events."""

import sys
import time
from collections.abc import Sequence
from typing import Any

from monai_cxr_cf.batch.count import Counts
from monai_cxr_cf.batch.store.results import DONE, Line
from monai_cxr_cf.commands.say import say
from monai_cxr_cf.runs.progress import Bar, Events, Lines, Silent

EVERY_S = {Bar: 0.5, Events: 1.0, Lines: 30.0}  # so often, if something came


class Watch:
    """Counts lines and tells how far a batch is.

    Args:
        counts: before the run.
        talker: how the command line speaks.
    """

    def __init__(self, counts: Counts, talker: Silent) -> None:
        self.counts, self._talker = counts, talker
        self.lines: list[Line] = []  # the last word on rows of this run; kept if ``keep``
        self.keep = False
        self._began, self._told = time.time(), 0.0
        self._bar: Any = None
        if isinstance(talker, Bar):
            self._bar, self._task = _drawn(counts)

    def __call__(self, lines: Sequence[Line]) -> None:
        """New lines, perhaps none."""
        for line in lines:
            over = line["state"] == DONE or line.get("final", True)
            if over:
                self.counts.add(line)
                self.lines += [line] if self.keep else []
            if over and line["state"] != DONE:
                self._put_aside(line)
        every = next((s for kind, s in EVERY_S.items() if isinstance(self._talker, kind)), None)
        if every is not None and time.time() - self._told > every:
            self._told = time.time()
            self._tell()

    def _tell(self) -> None:
        told = self.counts.as_dict(self._began)
        if isinstance(self._talker, Events):
            step = {"stage": "rows", "step": self.counts.over, "total": self.counts.rows}
            self._talker.emit("progress", {**step, **told})
        elif self._bar is not None:
            self._bar.update(self._task, completed=self.counts.over, told=in_words(told))
        else:
            sys.stderr.write(f"{self.counts.over:,} of {self.counts.rows:,}: {in_words(told)}\n")

    def _put_aside(self, line: Line) -> None:
        """A row that was refused or given up, by number: an identifier may name a patient."""
        if isinstance(self._talker, Events):
            names = ("state", "n", "code", "message")
            self._talker.emit("row", {name: line.get(name) for name in names})
        elif isinstance(self._talker, Bar | Lines):
            text = f"row {line['n']} {line['state']}: {line.get('message', '')}"
            if self._bar is not None:
                self._bar.console.print(text, markup=False, highlight=False)
            else:
                sys.stderr.write(text + "\n")

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._tell()
            self._bar.stop()


def _drawn(counts: Counts) -> tuple[Any, Any]:
    """A bar on standard error that goes on where the batch stands."""
    from rich import progress as parts
    from rich.console import Console

    bar = parts.Progress(
        parts.TextColumn("rows"),
        parts.BarColumn(bar_width=24),
        parts.MofNCompleteColumn(),
        parts.TextColumn("{task.fields[told]}"),
        console=Console(stderr=True),
    )
    task = bar.add_task("rows", total=counts.rows, completed=counts.over, told="")
    bar.start()
    return bar, task


def in_words(told: dict[str, Any]) -> str:
    """Such as "3 refused, 31.2 a minute, 4 h 43 min left, 1.2 GB"."""
    parts = [f"{told[name]:,} {name}" for name in ("refused", "failed") if told[name]]
    if told["rows_a_minute"]:
        parts.append(f"{told['rows_a_minute']:,.4g} a minute")
    if told["eta_s"]:
        parts.append(f"{time_in_words(told['eta_s'])} left")
    return ", ".join([*parts, f"{told['gb']:,.3g} GB"])


def time_in_words(seconds: float) -> str:
    """ "45 s", "12 min", "4 h 43 min" or "3 d 2 h"."""
    minutes, hours = round(seconds / 60), seconds / 3600
    if seconds < 90:
        return f"{seconds:.0f} s"
    if hours < 1:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{hours // 24:.0f} d {hours % 24:.0f} h"


def tell_counts(told: dict[str, Any]) -> None:
    """The counts of a batch, a line each."""
    for name in ("done", "refused", "failed", "left"):
        say(f"{name:<9}{told[name]:>10,}")
    say(f"{'rows':<9}{told['rows']:>10,}   {told['gb']:,.3g} GB")
    if told["verdicts"]:
        words = ", ".join(f"{count:,} {name}" for name, count in told["verdicts"].items())
        say(f"verdicts {words}")
