# SPDX-License-Identifier: Apache-2.0
"""Questions to the runner wait for each other, are stopped together, and choose their Python."""

from pathlib import Path

import pytest
from CXRCounterfactualLib import setup_panel
from CXRCounterfactualLib.commands import Command
from CXRCounterfactualLib.questions import Question, Questions
from CXRCounterfactualLib.run import End

from tests.slicer.panel import SICK, Played, Stage, ready, stage

__all__ = ["ready", "stage"]


def question(name: str, heard: list[str]) -> Question:
    """One that notes when it is answered."""
    return Question(Command(name, (), {}), lambda end: heard.append(f"{name} {end.exit_code}"))


def test_the_next_is_asked_when_the_one_before_is_answered() -> None:
    played, heard = Played(), list[str]()
    questions = Questions(played)
    for name in ("first", "second"):
        questions.ask(question(name, heard))
    assert [command.program for command in played.asked] == ["first"]
    assert questions.busy
    played.end(End(0))
    assert [command.program for command in played.asked] == ["first", "second"]
    played.end(End(3))
    assert heard == ["first 0", "second 3"]
    assert not questions.busy


def test_an_answer_may_ask_again() -> None:
    played, heard = Played(), list[str]()
    questions = Questions(played)
    first = Question(Command("first", (), {}), lambda end: questions.ask(question("second", heard)))
    questions.ask(first)
    played.end(End(0))
    played.end(End(0))
    assert heard == ["second 0"]


def test_stopping_forgets_those_that_wait() -> None:
    played, heard = Played(), list[str]()
    questions = Questions(played)
    for name in ("first", "second"):
        questions.ask(question(name, heard))
    questions.stop()
    assert played.cancelled == 1
    played.end(End(143, cancelled=True))
    assert heard == ["first 143"]
    assert len(played.asked) == 1


def test_a_chosen_python_is_kept_and_looked_at(stage: Stage) -> None:
    stage.widget.enter()
    stage.questions.end(SICK)
    stage.session.setup.ask_file = lambda: "/opt/cxr/bin/python"
    stage.w.browseButton.click()
    assert stage.desk.app.settings("python") == "/opt/cxr/bin/python"
    assert "does not exist" in stage.w.setupMessageLabel.text()


def test_no_choice_changes_nothing(stage: Stage) -> None:
    before = stage.w.pythonEdit.text()
    stage.session.setup.ask_file = lambda: ""
    stage.w.browseButton.click()
    assert stage.w.pythonEdit.text() == before
    assert not stage.questions.asked


@pytest.mark.parametrize("answer", ["/a/python", ("/a/python", "All files (*)")])
def test_both_bindings_answers_of_a_file_dialog_are_understood(
    answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dialog:
        @staticmethod
        def getOpenFileName(parent: object, caption: str) -> object:
            return answer

    monkeypatch.setattr(setup_panel.qt, "QFileDialog", Dialog)
    assert setup_panel.ask_file() == "/a/python"


def test_a_checkout_is_installed_from_itself() -> None:
    assert setup_panel.package_source() != setup_panel.PACKAGE


def test_a_stopped_environment_is_told(stage: Stage, tmp_path: Path) -> None:
    stage.plan(tmp_path / "made")
    stage.widget.enter()
    stage.questions.end(SICK)
    stage.w.createButton.click()
    stage.w.createButton.click()
    assert stage.questions.cancelled == 1
    stage.questions.end(End(143, cancelled=True))
    assert "Stopped" in stage.w.setupMessageLabel.text()
