# SPDX-License-Identifier: Apache-2.0
"""Shows a ``View``: the set-up card, the section "Run", and what may be used in each state."""

from html import escape
from typing import TYPE_CHECKING

import qt

from ..presenter.states import State
from .styles import AMBER, CARD, RUN, TITLE, TONES
from .widgets import Widgets, is_on, on, say

if TYPE_CHECKING:
    from pathlib import Path

    from ..presenter.view import View

PREVIEW_WIDTH = 380  # pixels
# Role of a ``View`` -> widgets that it lets the user use.
WIDGETS = {
    "selector": ("sourceSection",),
    "inputs": ("requestSection",),
    "region": ("regionSection",),
    "settings": ("setupSection", "createButton", "packageRow"),
    "check": ("doctorButton", "checkAgainButton"),
    "run": ("runButton",),
    "cancel": ("cancelButton",),
    "copy": ("copyReportButton",),
    "dismiss": ("dismissButton",),
}
TONE = {
    State.DONE: "good", State.FAILED: "bad", State.IDLE: "doubt", State.RUNNING: "busy",
    State.CANCELLING: "busy", State.IMPORTING: "busy",
}  # fmt: skip


class StatusPanel:
    """The panel's own voice."""

    def __init__(self, widgets: Widgets) -> None:
        self._w = w = widgets
        w.bannerLabel.setStyleSheet(AMBER)
        w.setupCard.setStyleSheet(CARD)
        w.setupTitleLabel.setStyleSheet(TITLE)
        w.runButton.setStyleSheet(RUN)
        w.warningsLabel.setStyleSheet(TONES["doubt"])
        self._log = ""
        on(w.detailsButton.toggled, self._unfold)
        on(w.copyCommandButton.clicked, self._copy_command)

    def show(self, view: "View", state: State) -> None:
        """Copy a view into the widgets."""
        w = self._w
        for role, names in WIDGETS.items():
            for name in names:
                getattr(w, name).setEnabled(role in view.enabled)
        self._show_setup(view, state)
        say(w.estimateLabel, view.estimate and f"{view.estimate[0].upper()}{view.estimate[1:]}.")
        w.runButton.setText(view.run_label)
        w.cancelButton.setVisible(state in (State.RUNNING, State.CANCELLING))
        w.progressBar.setVisible(view.busy or view.progress is not None)
        w.progressBar.setRange(0, 0 if view.busy else 100)
        w.progressBar.setValue(view.progress or 0)
        say(w.statusLabel, as_text(view))
        w.statusLabel.setStyleSheet(TONES[TONE.get(state, "plain")])
        say(w.warningsLabel, "<br>".join(map(escape, view.warnings)))
        self._show_details(view, state)

    def _show_setup(self, view: "View", state: State) -> None:
        w, missing = self._w, state is State.NO_RUNNER
        w.setupCard.setVisible(missing)
        w.runSection.setVisible(not missing)
        if missing:
            w.setupTitleLabel.setText(view.title)
            w.setupMessageLabel.setText(f"{view.message} {view.hint}".strip())
        for widget in (w.setupCommandEdit, w.createButton, w.copyCommandButton):
            widget.setVisible(bool(view.command))
        w.setupCommandEdit.setPlainText(view.command)
        w.packageRow.setVisible(view.package)

    def _show_details(self, view: "View", state: State) -> None:
        w = self._w
        self._log = view.details
        failed = state is State.FAILED
        w.detailsRow.setVisible(failed or bool(view.details))
        w.detailsButton.setEnabled(bool(view.details))
        w.copyReportButton.setVisible(failed)
        w.dismissButton.setVisible(failed)
        if not view.details:
            w.detailsButton.setChecked(False)
        self._unfold()

    def _unfold(self) -> None:
        w, shown = self._w, is_on(self._w.detailsButton)
        w.detailsButton.setText("Hide details" if shown else "Show details")
        w.detailsEdit.setVisible(shown)
        if shown:
            w.detailsEdit.setPlainText(self._log)

    def show_preview(self, path: "Path") -> None:
        """A picture of the run; one that cannot be read is not shown."""
        picture = qt.QPixmap(str(path))
        if picture.isNull():
            self.clear_preview()
            return
        if picture.width() > PREVIEW_WIDTH:
            picture = picture.scaledToWidth(PREVIEW_WIDTH, qt.Qt.SmoothTransformation)
        self._w.previewLabel.setPixmap(picture)
        self._w.previewLabel.setVisible(True)

    def clear_preview(self) -> None:
        """No picture, and no room for one."""
        self._w.previewLabel.clear()
        self._w.previewLabel.setVisible(False)

    def _copy_command(self) -> None:
        copy(str(self._w.setupCommandEdit.property("plainText")))


def copy(text: str) -> None:
    """Put a text on the clipboard."""
    qt.QApplication.clipboard().setText(text)


def as_text(view: "View") -> str:
    """Title, sentence and next step as rich text."""
    said_twice = view.message.rstrip(".") == view.title
    parts = [f"<b>{escape(view.title)}</b>", "" if said_twice else escape(view.message)]
    if view.hint:
        parts.append(f"<i>{escape(view.hint)}</i>")
    return "<br>".join(part for part in parts if part)
