# SPDX-License-Identifier: Apache-2.0
"""The past runs of the scene as a table, and a box that picks one to compare or to use again."""

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from .widgets import Widgets, data_of, fill, on

if TYPE_CHECKING:
    from ..scene.history import Added

ROWS = 8  # the newest so many in the table; the box offers all
HEAD = ("#", "What", "Preset", "Seed", "Outside", "Verdict")
Chosen = Callable[["Added"], None]


class HistoryPanel:
    """Section "Past runs in this scene"."""

    def __init__(self, widgets: Widgets, compare: Chosen, use: Chosen) -> None:
        self._w = widgets
        self._runs: dict[str, Added] = {}
        on(widgets.historyShowButton.clicked, lambda: self._do(compare))
        on(widgets.historyUseButton.clicked, lambda: self._do(use))
        self.show(())

    def show(self, runs: "Sequence[Added]") -> None:
        """List runs, oldest first as ``history.history`` gives them; the newest is on top."""
        numbered = list(enumerate(runs, 1))[::-1]
        self._runs = {added.run: added for added in runs}
        items = [(f"{i}   {added.words} · {_time(added)}", added.run) for i, added in numbered]
        fill(self._w.historyBox, items)
        self._w.historyLabel.setText(table(numbered))
        for widget in (self._w.historyBox, self._w.historyShowButton, self._w.historyUseButton):
            widget.setEnabled(bool(items))

    def _do(self, action: Chosen) -> None:
        added = self._runs.get(data_of(self._w.historyBox))
        if added is not None:
            action(added)


def table(numbered: "Sequence[tuple[int, Added]]") -> str:
    """Rows of runs as rich text."""
    if not numbered:
        return "None yet. Runs stay with the scene when it is saved."
    head = "".join(f"<th align='left'>{name}</th>" for name in HEAD)
    rows = "".join(f"<tr>{_cells(number, added)}</tr>" for number, added in numbered[:ROWS])
    more = f"<i>and {len(numbered) - ROWS} older ones</i>" if len(numbered) > ROWS else ""
    return f"<table width='100%' cellpadding='3'><tr>{head}</tr>{rows}</table>{more}"


def _cells(number: int, added: "Added") -> str:
    seeds = list(dict.fromkeys(added.seeds))
    words = added.words
    levels = sorted(set(added.levels))
    if len(levels) > 1:
        words += f" ({len(levels)} severities)"
    preset = str(added.choice.get("preset", "default"))
    seed = str(seeds[0]) if len(seeds) == 1 else f"{len(seeds)} seeds"
    values = (str(number), words, preset, seed, str(added.outside), added.verdict)
    return "".join(f"<td>{escape(value)}</td>" for value in values)


def _time(added: "Added") -> str:
    return added.created[11:16] or "earlier"
