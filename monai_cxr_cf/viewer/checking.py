# SPDX-License-Identifier: Apache-2.0
"""The runner of the viewer: the product's own Python, looked at before the first run.

That Python started the viewer, so there is nothing to choose; what it can do it tells itself.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from CXRCounterfactualLib.contract.facts import Facts, read_facts
from CXRCounterfactualLib.process import commands, doctor
from CXRCounterfactualLib.process.environment import VARIABLE, Runner, find_runner
from CXRCounterfactualLib.process.questions import Question, Questions

if TYPE_CHECKING:
    from CXRCounterfactualLib.contract.events import End

    from .application import ViewerApp


class Checking:
    """Where runs happen, and whether they can.

    Args:
        app: for a folder whose disk is looked at.
        questions: asks the runner.
        environment: what the product was started with; runs inherit it.
    """

    key = ""  # of a server: the viewer runs on this computer only

    def __init__(
        self, app: "ViewerApp", questions: Questions, environment: Mapping[str, str] = os.environ
    ) -> None:
        self._app, self._questions = app, questions
        self.environment = dict(environment)
        self.diagnosis = doctor.diagnose(())
        self._checked: Callable[[doctor.Diagnosis], None] = lambda diagnosis: None
        self._told: Callable[[Facts], None] = lambda facts: None

    def listen(
        self, checked: Callable[[doctor.Diagnosis], None], told: Callable[[Facts], None]
    ) -> None:
        """Who hears of every check, and of what the runner offers."""
        self._checked, self._told = checked, told

    @property
    def runner(self) -> Runner | None:
        """The product's Python, as it named itself when it started the viewer."""
        return find_runner(self.environment.get(VARIABLE, ""), {})

    @property
    def device(self) -> str:
        """Where a run would compute, as the doctor found it."""
        return next((row.found for row in self.diagnosis.rows if row.name == "device"), "")

    def check(self) -> None:
        """Ask everything anew; the listener hears the diagnosis."""
        runner, room = self.runner, Path(self._app.temp_folder())
        rows = [doctor.runner_row(runner), doctor.disk_row(room)]
        room.rmdir()
        if runner is None or not runner.there:
            self._diagnosed(doctor.diagnose(rows))
            return

        def examined(end: "End") -> None:
            self._diagnosed(doctor.diagnose([rows[0], doctor.runner_rows(end), rows[1]]))

        command = commands.doctor_command(runner.python, environment=self.environment)
        self._questions.ask(Question(command, examined))

    def _diagnosed(self, diagnosis: doctor.Diagnosis) -> None:
        self.diagnosis, runner = diagnosis, self.runner
        self._checked(diagnosis)
        if diagnosis.ok and runner is not None:
            command = commands.info_command(runner.python, environment=self.environment)
            self._questions.ask(Question(command, self._informed))

    def _informed(self, end: "End") -> None:
        try:
            facts = read_facts(end.document or {})
        except ValueError:  # another version of the product; the page keeps its own list
            return
        self._told(facts)
