# SPDX-License-Identifier: Apache-2.0
"""The panel's widgets by name, and how to read them; only what PythonQt and PySide6 share.

That common part is ``w.signal.connect(f)``, ``w.setX(...)`` and ``w.property("x")``; so the same
code runs in Slicer and in the tests.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Handler = Callable[[], None]


class Widgets:
    """Every named widget of a loaded .ui, as an attribute of that name."""

    def __init__(self, root: Any) -> None:
        self.root = root
        for widget in _below(root):
            setattr(self, str(widget.property("objectName")), widget)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"The panel has no widget {name!r}; see CXRCounterfactual.ui.")


def _below(root: Any) -> Iterator[Any]:
    for child in root.children():
        if child.property("objectName"):
            yield child
        yield from _below(child)


def text_of(widget: Any) -> str:
    """What a line edit or label says, or a plain text edit."""
    plain = widget.property("plainText")
    return str(widget.property("text") if plain is None else plain)


def is_on(widget: Any) -> bool:
    """Whether a check box or a button that stays down is on."""
    return bool(widget.property("checked"))


def index_of(widget: Any) -> int:
    """Which item of a combo box, or page of tabs, is in front."""
    return int(widget.property("currentIndex"))


def value_of(widget: Any) -> float:
    """Where a slider stands."""
    return float(widget.property("value"))


def data_of(box: Any) -> str:
    """The data of a combo box's item; empty where there is none."""
    return str(box.itemData(index_of(box)) or "")


def say(label: Any, text: str) -> None:
    """Show a text, or nothing: an empty label takes no room."""
    label.setText(text)
    label.setVisible(bool(text))


def fill(box: Any, items: Sequence[tuple[str, str]], *, chosen: str | None = None) -> None:
    """Replace a combo box's items (label, data); what was chosen stays chosen if it can."""
    wanted = data_of(box) if chosen is None else chosen
    with quiet(box):
        box.clear()
        for label, data in items:
            box.addItem(label, data)
        found = [i for i, (_, data) in enumerate(items) if data == wanted]
        box.setCurrentIndex(found[0] if found else (0 if items else -1))


@contextmanager
def quiet(*widgets: Any) -> Iterator[None]:
    """Change widgets without their telling anybody."""
    before = [widget.blockSignals(True) for widget in widgets]
    try:
        yield
    finally:
        for widget, was in zip(widgets, before, strict=True):
            widget.blockSignals(was)


def on(signal: Any, handler: Handler) -> None:
    """Call ``handler`` without the signal's arguments, which differ between Qt 5 and 6."""

    def heard(*_: Any) -> None:
        handler()

    signal.connect(heard)
