# SPDX-License-Identifier: Apache-2.0
"""Questions to the runner wait for each other, are stopped together, and choose their Python."""

from CXRCounterfactualLib.contract.events import End
from CXRCounterfactualLib.process.commands import Command
from CXRCounterfactualLib.process.questions import Question, Questions

from tests.slicer.helpers.panel import SICK, Played, Stage, ready, stage

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


def test_a_question_can_be_taken_back_whether_it_was_asked_or_not() -> None:
    played, heard = Played(), list[str]()
    questions = Questions(played)
    first, second, third = (question(name, heard) for name in ("first", "second", "third"))
    for each in (first, second, third):
        questions.ask(each)
    assert questions.withdraw(second), "nobody was asked, so nobody answers"
    assert played.cancelled == 0
    assert not questions.withdraw(first)
    assert played.cancelled == 1, "it is stopped, and its end is told"
    played.end(End(143, cancelled=True))
    assert not questions.withdraw(first), "it is over; the next one goes on"
    assert played.cancelled == 1
    played.end(End(0))
    assert heard == ["first 143", "third 0"]


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
