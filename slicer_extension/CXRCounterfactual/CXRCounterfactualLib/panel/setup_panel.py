# SPDX-License-Identifier: Apache-2.0
"""Where edits run: the runner's environment (found, made, checked) or a server; and the doctor.

The key of a server is read from its widget when it is needed and kept nowhere.
"""

from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ..contract.facts import Facts, read_facts
from ..contract.params import LOCAL, REMOTE, Choice
from ..process import commands, doctor
from ..process.environment import Runner, clean_environment, find_runner
from ..process.questions import Question, Questions
from .environment_card import EnvironmentCard, chosen_file
from .widgets import Handler, Widgets, index_of, is_on, on, quiet, say, text_of

if TYPE_CHECKING:
    from ..contract.events import End
    from ..scene.app_services import SlicerApp

CONSENT = "Tick that images may be sent to this server, in the section on where it runs."
NO_ADDRESS = ("it has no address yet", "Type it in the section on where it runs.")
Checked = Callable[[doctor.Diagnosis], None]
Told = Callable[[Facts], None]


def ask_file() -> str:
    """Let the user choose a program; "" for none."""
    return chosen_file("The Python of an environment")


class SetupPanel:
    """Section "Where it runs", and the card that is shown while no runner is there."""

    def __init__(
        self, widgets: Widgets, app: "SlicerApp", questions: Questions, changed: Handler
    ) -> None:
        self._w, self._app, self._questions = widgets, app, questions
        self._rows: list[doctor.Row] = []
        self._checked: Checked = lambda diagnosis: None
        self._told: Told = lambda facts: None
        self.card = EnvironmentCard(widgets, app, questions, self)
        self._asked = ("", "")  # address and key of the last check of a server
        self.ask_file = ask_file
        w = widgets
        w.pythonEdit.setText(app.settings("python"))
        say(w.doctorLabel, "")
        on(w.backendTabs.currentChanged, changed)
        on(w.serverEdit.textChanged, self._new_address)
        on(w.serverEdit.textChanged, changed)
        on(w.keyEdit.textChanged, changed)
        on(w.consentCheck.toggled, changed)
        on(w.pythonEdit.editingFinished, self._keep_python)
        on(w.browseButton.clicked, self._browse)

    def listen(self, checked: Checked, told: Told) -> None:
        """Who hears of every check, and of what the runner offers."""
        self._checked, self._told = checked, told

    @property
    def remote(self) -> bool:
        """Whether the server's tab is in front."""
        return index_of(self._w.backendTabs) == 1

    @property
    def key(self) -> str:
        """The server's key as typed."""
        return text_of(self._w.keyEdit)

    @property
    def environment(self) -> dict[str, str]:
        """What a child process may inherit."""
        return clean_environment(self._app.startup_environment())

    def _new_address(self) -> None:
        """Consent was given for the address that stood there."""
        self._w.consentCheck.setChecked(False)

    @property
    def stale(self) -> bool:
        """Whether the server, as typed now, was not looked at yet."""
        now = (text_of(self._w.serverEdit).strip(), self.key)
        return self.remote and bool(now[0]) and now != self._asked

    @property
    def runner(self) -> Runner | None:
        """The Python that would run an edit here."""
        return find_runner(text_of(self._w.pythonEdit), self.environment)

    @property
    def device(self) -> str:
        """Where a run would compute, as the doctor found it."""
        return next((row.found for row in self._rows if row.name == "device"), "")

    def read(self, base: Choice) -> tuple[Choice, list[str]]:
        """``base`` with the back end; a sentence if images may not be sent yet."""
        server = text_of(self._w.serverEdit).strip()
        choice = replace(base, backend=REMOTE if self.remote else LOCAL, server=server)
        asked = self.remote and server and not is_on(self._w.consentCheck)
        return choice, [CONSENT] if asked else []

    def write(self, choice: Choice) -> None:
        """Show the back end of a choice; consent is never taken from a scene."""
        with quiet(self._w.backendTabs, self._w.serverEdit, self._w.consentCheck):
            self._w.backendTabs.setCurrentIndex(int(choice.backend == REMOTE))
            if choice.server != text_of(self._w.serverEdit).strip():
                self._w.serverEdit.setText(choice.server)
                self._w.consentCheck.setChecked(False)

    # The doctor

    def check(self) -> None:
        """Ask everything anew; the listener hears the diagnosis."""
        self.card.refresh()
        if self.remote:
            self._check_server()
            return
        runner, room = self.runner, Path(self._app.temp_folder())
        cure = "" if self.card.missing else doctor.CREATE
        self._rows = [doctor.runner_row(runner, cure), doctor.disk_row(room)]
        room.rmdir()
        if runner is None or not runner.there:
            self._rows[1:1] = self.card.missing
            self._diagnosed()
            return
        say(self._w.doctorLabel, "Checking …")
        command = commands.doctor_command(runner.python, environment=self.environment)
        self._questions.ask(Question(command, self._examined))

    def _check_server(self) -> None:
        server = text_of(self._w.serverEdit).strip()
        self._asked = (server, self.key)
        if not server:
            self._rows = [doctor.Row("server", False, *NO_ADDRESS)]
            self._diagnosed()
            return
        say(self._w.doctorLabel, "Asking the server …")
        command = commands.server_command(
            self._app.slicer_python(), server, key=self.key, environment=self.environment
        )
        self._questions.ask(Question(command, self._server_examined))

    def _examined(self, end: "End") -> None:
        rows = doctor.runner_rows(end)
        self._rows[1:1] = rows if all(row.ok for row in rows) else (*rows, *self.card.missing)
        diagnosis = self._diagnosed()
        runner = self.runner
        if diagnosis.ok and runner is not None:
            command = commands.info_command(runner.python, environment=self.environment)
            self._questions.ask(Question(command, self._informed))

    def _server_examined(self, end: "End") -> None:
        self._rows = list(doctor.server_rows(end))
        self._diagnosed()
        self._informed(end)

    def _diagnosed(self) -> doctor.Diagnosis:
        diagnosis = doctor.diagnose(self._rows)
        say(self._w.doctorLabel, rows_as_table(diagnosis))
        self._checked(diagnosis)
        return diagnosis

    def _informed(self, end: "End") -> None:
        try:
            facts = read_facts(end.document or {})
        except ValueError:  # an older runner or server; the panel keeps its own list
            return
        say(self._w.weightsLabel, licences_as_table(facts))
        self._told(facts)

    # The environment

    def made(self, python: str) -> None:
        """A new environment is used, and looked at."""
        self._w.pythonEdit.setText(python)
        self._keep_python()
        self.check()

    def removed(self, folder: Path) -> None:
        """The module's environment is gone: a setting that names it is dropped, others stay."""
        named = text_of(self._w.pythonEdit).strip()
        if named and folder in (Path(named), *Path(named).parents):
            self._w.pythonEdit.setText("")
            self._keep_python()
        self.check()

    def _browse(self) -> None:
        """Take a Python that the user chooses, and look at it."""
        found = self.ask_file()
        if found:
            self._w.pythonEdit.setText(found)
            self._keep_python()
            self.check()

    def _keep_python(self) -> None:
        self._app.set_setting("python", text_of(self._w.pythonEdit).strip())


def rows_as_table(diagnosis: doctor.Diagnosis) -> str:
    """The doctor's rows as rich text; what failed comes first, with its cure."""
    rows = []
    for row in sorted(diagnosis.rows, key=lambda row: row.ok):
        mark, colour = ("\u2714", "#2E9E62") if row.ok else ("\u2718", "#D93A2B")
        cure = f"<br><i>{escape(row.hint)}</i>" if row.hint and not row.ok else ""
        rows.append(
            f"<tr><td style='color:{colour}'>{mark}</td><td><b>{escape(row.name)}</b></td>"
            f"<td>{escape(row.found)}{cure}</td></tr>"
        )
    head = "Everything is in place." if diagnosis.ok else "Something is missing:"
    return f"<b>{head}</b><table cellpadding='3'>{''.join(rows)}</table>"


def licence_words(facts: Facts) -> str:
    """The terms of the generator's weights in a line; all terms lie in the table."""
    part, licence = facts.licences[0] if facts.licences else ("weights", "unknown")
    return f"<i>Weights: {escape(part)}, {escape(licence)}. All terms: see where it runs.</i>"


def licences_as_table(facts: Facts) -> str:
    """Whose weights under which terms."""
    rows = "".join(
        f"<tr><td><b>{escape(part)}</b></td><td>{escape(licence)}</td></tr>"
        for part, licence in facts.licences
    )
    return f"<b>Weights and their licences</b><table cellpadding='3'>{rows}</table>"
