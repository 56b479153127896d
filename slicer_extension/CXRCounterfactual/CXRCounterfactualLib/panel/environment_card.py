# SPDX-License-Identifier: Apache-2.0
"""The card that is shown while no runner is there: what to install from, the commands, one button.

What is installed is a checkout or a wheel that lies on this computer, never a name of an index.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import qt

from ..contract.events import Failed, Progressed
from ..process import commands, doctor
from ..process.environment import (
    Plan,
    base_python,
    base_uv,
    checkout_around,
    create_commands,
    is_environment,
    maker,
    megabytes,
    package_of,
    python_in,
    remove,
)  # fmt: skip
from ..process.questions import Question, Questions
from .widgets import Widgets, on, say, text_of

if TYPE_CHECKING:
    from ..contract.events import End
    from ..scene.app_services import SlicerApp

STAGES = {
    "check": "looking at Python",
    "create": "making the environment",
    "install": "installing (some minutes)",
    "doctor": "checking it",
}
SOURCES = "A wheel, or the pyproject.toml of a checkout (monai_cxr_cf-*.whl pyproject.toml)"
AROUND = "the checkout of this module"


REMOVE = "Delete the environment that this module made ({}), {:,} MB on the disk?"
IN_USE = "The environment is just answering a question. Press Remove again in a moment."
LEFT = "It could not be deleted whole: something of it is in use. Close what runs in it, try again."


class Owner(Protocol):
    """What the card asks of the panel that it belongs to."""

    @property
    def environment(self) -> dict[str, str]:
        """What a child process may inherit."""

    def check(self) -> None:
        """Look at everything anew."""

    def made(self, python: str) -> None:
        """There is a new environment."""

    def removed(self, folder: Path) -> None:
        """The environment in that folder is gone."""


def chosen_file(caption: str, kinds: str = "") -> str:
    """Let the user choose a file; "" for none. PySide6 answers with a pair."""
    found = qt.QFileDialog.getOpenFileName(None, caption, "", kinds)
    return str(found if isinstance(found, str) else found[0])


def confirmed(question: str) -> bool:
    """Ask the user; the button that is at hand is No."""
    box = qt.QMessageBox
    answer = box.question(None, "CXR Counterfactual", question, box.Yes | box.No, box.No)
    return bool(answer == box.Yes)


class EnvironmentCard:
    """Makes an environment, or says what is missing for one."""

    def __init__(
        self, widgets: Widgets, app: "SlicerApp", questions: Questions, owner: Owner
    ) -> None:
        self._w, self._app, self._questions, self._owner = widgets, app, questions, owner
        self._busy = False
        self._around = checkout_around(Path(__file__))
        self.ask_file: Callable[[], str] = lambda: chosen_file("What to install from", SOURCES)
        self.confirm: Callable[[str], bool] = confirmed
        w = widgets
        w.packageEdit.setText(app.settings("package"))
        if self._around is not None:
            w.packageEdit.setPlaceholderText(AROUND)
        on(w.packageEdit.editingFinished, self._named)
        on(w.packageButton.clicked, self._browse)
        on(w.createButton.clicked, self._create_or_stop)
        on(w.removeButton.clicked, self._remove)
        self.refresh()

    @property
    def package(self) -> str | None:
        """What would be installed: what the user named, else the checkout around this module."""
        named = text_of(self._w.packageEdit).strip()
        return package_of(named) if named else self._around

    @property
    def missing(self) -> tuple[doctor.Row, ...]:
        """Why there is no plan, row by row; empty where there is one."""
        named = text_of(self._w.packageEdit).strip()
        return doctor.making_rows(self.maker, named, self.package)

    @property
    def maker(self) -> str | None:
        """The program that would make an environment: a Python of the system, or uv."""
        environment = self._owner.environment
        return maker(base_python(environment), base_uv(environment))

    @property
    def plan_text(self) -> str:
        """The exact commands that the button would run; "" where there are none."""
        plan = self.plan()
        return "" if plan is None else plan.text

    def plan(self) -> Plan | None:
        """How the button would make an environment; None where something is missing for it."""
        python, package = self.maker, self.package
        if python is None or package is None:
            return None
        folder = self.folder
        own = self._app.slicer_python()
        return create_commands(folder, package, python=python, driver=own)

    @property
    def folder(self) -> Path:
        """Where this module makes its environment."""
        return Path(self._app.home()) / "environment"

    def refresh(self) -> None:
        """Offer to remove an environment where this module made one."""
        self._w.removeButton.setEnabled(not self._busy and is_environment(self.folder))

    def _remove(self) -> None:
        """Delete what this module made, once the user says so; nothing else is ever deleted."""
        folder = self.folder
        if self._busy or not is_environment(folder):
            return
        if self._questions.busy:
            say(self._w.doctorLabel, IN_USE)
            return
        if not self.confirm(REMOVE.format(folder, megabytes(folder))):
            return
        try:
            remove(folder)
        except OSError:
            say(self._w.doctorLabel, LEFT)
            self.refresh()
            return
        self._owner.removed(folder)

    def _named(self) -> None:
        """Keep what is named, and look whether it will do; an unchanged field asks nothing."""
        named = text_of(self._w.packageEdit).strip()
        if named != self._app.settings("package"):
            self._app.set_setting("package", named)
            self._owner.check()

    def _browse(self) -> None:
        found = self.ask_file()
        if found:
            self._w.packageEdit.setText(found)
            self._named()

    def _create_or_stop(self) -> None:
        if self._busy:
            self._questions.stop()
            return
        plan = self.plan()
        if plan is None:
            return
        plan.folder.parent.mkdir(parents=True, exist_ok=True)
        self._set_busy(True)
        command = commands.create_command(plan, environment=self._owner.environment)

        def created(end: "End") -> None:
            self._set_busy(False)
            if end.cancelled:
                self._w.setupMessageLabel.setText("Stopped; the unfinished folder was removed.")
            elif end.exit_code == 0:
                self._owner.made(str(python_in(plan.folder)))

        self._questions.ask(Question(command, created, self._creating))

    def _creating(self, event: Any) -> None:
        label = self._w.setupMessageLabel
        if isinstance(event, Progressed):
            words = STAGES.get(event.stage, event.stage)
            label.setText(f"Step {min(event.step + 1, event.total)} of {event.total}: {words} …")
        elif isinstance(event, Failed):
            label.setText(f"{event.message} {event.hint}")

    def _set_busy(self, busy: bool) -> None:
        self._busy = busy
        self._w.createButton.setText("Stop" if busy else "Create environment")
        for widget in (self._w.checkAgainButton, self._w.packageRow):
            widget.setEnabled(not busy)
        self.refresh()
