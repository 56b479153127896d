# SPDX-License-Identifier: Apache-2.0
"""A training's log records in; a bar with its figures for people, events for programs out.

Every training writes its figures through ``training.loop.Journal``, whose log records carry them.
Where neither a terminal nor a program looks on, the log lines themselves are shown.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from monai_cxr_cf.runs.progress import Bar, Events, Silent

PACKAGE = "monai_cxr_cf"
# What the bar shows, by the trainings' own names.
SHOWN = {
    "loss": "loss",
    "total": "loss",
    "validation": "validation",
    "sensitivity_inside": "sensitivity",
    "psnr": "PSNR",
    "auc": "AUC",
    "images_s": "images/s",
}


@contextmanager
def watched_training(what: str, talker: Silent) -> Iterator[None]:
    """While a training runs, show its figures the way ``talker`` talks."""
    logger = logging.getLogger(PACKAGE)
    level, passes = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    watch: Watch | None = None
    if isinstance(talker, Events):
        watch = Told(what, talker)
    elif isinstance(talker, Bar):
        watch = Drawn(what)
        logger.propagate = False  # a log line would tear the bar
    if watch is not None:
        logger.addHandler(watch)
    try:
        yield
    finally:
        if watch is not None:
            logger.removeHandler(watch)
            watch.close()
        logger.setLevel(level)
        logger.propagate = passes


class Watch(logging.Handler):
    """Keeps the last value of every figure."""

    def __init__(self, what: str) -> None:
        super().__init__(logging.INFO)
        self.what = what
        self.known: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record's figures, if it has any, and show them."""
        figures = getattr(record, "figures", None)
        if isinstance(figures, Mapping):
            self.known |= figures
            self.show()
        else:
            self.note(record.getMessage())

    def show(self) -> None:
        """New figures are there."""

    def note(self, text: str) -> None:
        """Something else was logged."""


class Told(Watch):
    """One JSON object a line; "eta_s" and "share" beside the figures."""

    def __init__(self, what: str, events: Events) -> None:
        super().__init__(what)
        self._events = events

    def show(self) -> None:
        """A progress event."""
        figures = dict(self.known)
        step, share = int(figures.pop("step", 0)), figures.pop("share", None)
        left = figures.pop("minutes_left", None)
        seconds = None if left is None else round(60 * left, 1)
        facts: dict[str, Any] = {"stage": self.what, "step": step, "share": share, "eta_s": seconds}
        self._events.emit("progress", {**facts, "figures": figures})


class Drawn(Watch):
    """A bar on standard error: share done, figures, time left; other lines above it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        from rich import progress as parts
        from rich.console import Console

        self._bar = parts.Progress(
            parts.TextColumn("{task.description}"),
            parts.BarColumn(bar_width=24),
            parts.TaskProgressColumn(),
            parts.TextColumn("{task.fields[told]}"),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(what, total=1.0, told="")
        self._bar.start()

    def show(self) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=self.known.get("share", 0.0), told=told(self.known))

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()
        super().close()


def told(figures: Mapping[str, float]) -> str:
    """What matters and the time left: "step 40  loss 0.061  images/s 11  1 h 05 left"."""
    words = [f"step {int(figures.get('step', 0))}"]
    words += [f"{SHOWN[name]} {figures[name]:.3g}" for name in SHOWN if name in figures]
    if "minutes_left" in figures:
        hours, minutes = divmod(round(figures["minutes_left"]), 60)
        words.append(f"{hours} h {minutes:02d} left" if hours else f"{minutes} min left")
    return "  ".join(words)
