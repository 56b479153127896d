# SPDX-License-Identifier: Apache-2.0
"""Ask my classifier: its scores of the radiograph and of the counterfactual in view."""

from html import escape
from typing import TYPE_CHECKING

from ..process.commands import score_command
from ..process.questions import Question, Questions
from .compare_panel import ComparePanel
from .setup_panel import SetupPanel
from .widgets import Widgets, on, say, text_of

if TYPE_CHECKING:
    from ..contract.events import End
    from ..scene.app_services import SlicerApp

KEPT = ("classifierEdit", "declaredEdit")
MOST = 6  # scores that are shown: those that moved most
NO_FILES = "Both images must lie in the DICOM database, a runner on this computer."
SILENT = {"message": "The classifier gave no answer.", "hint": ""}


class ClassifierPanel:
    """Two lines that name it, a button, an answer."""

    def __init__(
        self, widgets: Widgets, app: "SlicerApp", questions: Questions, setup: SetupPanel,
        compare: ComparePanel,
    ) -> None:  # fmt: skip
        self._w, self._app, self._questions = widgets, app, questions
        self._setup, self._compare = setup, compare
        for name in KEPT:
            getattr(widgets, name).setText(app.settings(name))
        say(widgets.answerLabel, "")
        on(widgets.classifierButton.clicked, self._ask)

    def _ask(self) -> None:
        w, app, runner = self._w, self._app, self._setup.runner
        nodes, title = self._compare.in_view
        uids = [u for node in nodes for u in app.instance_uids(app.scene().GetNodeByID(node))]
        files = [file for uid in uids for file in app.files_for_instance(uid)]
        if runner is None or len(files) != 2:
            say(w.answerLabel, NO_FILES)
            return
        model, declared = (text_of(getattr(w, name)).strip() for name in KEPT)
        app.set_setting(KEPT[0], model)
        app.set_setting(KEPT[1], declared)

        def answered(end: "End") -> None:
            w.classifierButton.setEnabled(True)
            say(w.answerLabel, "<br>".join(map(escape, [title, *answer(end)])))

        w.classifierButton.setEnabled(False)
        say(w.answerLabel, "Asking …")
        environment = self._setup.environment
        asked = score_command(runner.python, model, declared, files, environment=environment)
        self._questions.ask(Question(asked, answered))


def answer(end: "End") -> list[str]:
    """A line a score, the one that moved most first; or why there is none."""
    told = end.document or {}
    if end.exit_code == 0 and "scores" in told:
        rows = list(zip(told["labels"], *told["scores"], strict=True))
        rows.sort(key=lambda row: -abs(row[2] - row[1]))
        return [f"{label}: {first:.2f} → {last:.2f}" for label, first, last in rows[:MOST]]
    error = told.get("error", SILENT)
    return [f"{error['message']} {error['hint']}"]
