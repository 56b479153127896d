# SPDX-License-Identifier: Apache-2.0
"""The card "Set up": what an environment is made from, how it is made, and what is missing."""

import sys
from pathlib import Path
from typing import Any

import pytest
from CXRCounterfactualLib.contract.events import End, Progressed
from CXRCounterfactualLib.panel import environment_card, setup_panel

from tests.slicer.helpers.panel import SICK, Stage, ready, stage

__all__ = ["ready", "stage"]


@pytest.fixture
def card(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The module as the Extensions Manager installs it: no checkout around it, no runner yet."""
    monkeypatch.setattr(stage.session.setup.card, "_around", None)
    stage.w.pythonEdit.setText("/gone/python")
    monkeypatch.setattr(environment_card, "base_python", lambda environment: "/usr/bin/python3")
    monkeypatch.setattr(environment_card, "base_uv", lambda environment: None)
    return stage


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A file with the name of one."""
    path = tmp_path / "monai_cxr_cf-0.1.0-py3-none-any.whl"
    path.touch()
    return path


def offered(stage: Stage) -> str:
    """The commands that the card shows; "" for none."""
    w = stage.w
    seen = [each.isVisibleTo(w.setupCard) for each in (w.setupCommandEdit, w.createButton)]
    assert seen in ([True, True], [False, False])
    return str(w.setupCommandEdit.toPlainText()) if seen[0] else ""


def test_without_checkout_or_wheel_it_offers_nothing_and_says_what_to_do(card: Stage) -> None:
    card.widget.enter()
    assert card.state == "NoRunner"
    assert offered(card) == ""
    assert card.w.packageRow.isVisibleTo(card.w.setupCard)
    assert card.w.packageEdit.isEnabled()
    words = card.w.setupMessageLabel.text()
    assert "package: there is none to create an environment from." in words
    assert "Name a wheel of monai-cxr-cf or the folder of a checkout" in words
    card.session.setup.card._create_or_stop()
    assert not card.questions.asked


def test_a_named_wheel_is_offered_kept_and_installed(card: Stage, wheel: Path) -> None:
    card.widget.enter()
    card.w.packageEdit.setText(str(wheel))
    card.w.packageEdit.editingFinished.emit()
    assert f"--disable-pip-version-check {wheel}" in offered(card)
    assert "package" not in card.w.setupMessageLabel.text()
    assert card.desk.app.settings("package") == str(wheel)
    card.w.createButton.click()
    command = card.questions.command
    assert command is not None
    assert str(wheel) in command.words[1]


def test_what_is_no_wheel_and_no_checkout_is_not_passed_over(card: Stage, root: Path) -> None:
    card.session.setup.card._around = str(root)
    card.widget.enter()
    assert f"-c {root / 'constraints.txt'} {root}" in offered(card)
    card.w.packageEdit.setText("monai-cxr-cf")
    card.w.packageEdit.editingFinished.emit()
    assert offered(card) == ""
    assert "neither a wheel of it nor a checkout" in card.w.setupMessageLabel.text()


def test_a_field_that_is_only_left_asks_nothing(card: Stage) -> None:
    card.widget.enter()
    before = card.w.setupMessageLabel.text()
    card.w.setupMessageLabel.setText("untouched")
    card.w.packageEdit.editingFinished.emit()
    assert card.w.setupMessageLabel.text() == "untouched" != before


def test_a_checkout_is_chosen_by_its_project_file(card: Stage, root: Path) -> None:
    card.widget.enter()
    card.session.setup.card.ask_file = lambda: str(root / "pyproject.toml")
    card.w.packageButton.click()
    assert offered(card).splitlines()[2].endswith(str(root))


def test_this_checkout_is_found_by_itself(stage: Stage, root: Path) -> None:
    assert stage.session.setup.card.package == str(root)
    assert stage.w.packageEdit.placeholderText() == "the checkout of this module"


def test_a_computer_without_python_is_told_too(
    card: Stage, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment_card, "base_python", lambda environment: None)
    card.w.packageEdit.setText(str(wheel))
    card.widget.enter()
    assert offered(card) == ""
    assert "no Python 3.11 to 3.13 was found" in card.w.setupMessageLabel.text()


def test_where_no_python_is_uv_makes_the_environment_run_by_slicers_own(
    card: Stage, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment_card, "base_python", lambda environment: None)
    monkeypatch.setattr(environment_card, "base_uv", lambda environment: "/opt/uv")
    card.w.packageEdit.setText(str(wheel))
    card.widget.enter()
    assert offered(card).splitlines()[0] == "/opt/uv --version"
    card.w.createButton.click()
    command = card.questions.command
    assert command is not None
    assert command.program == card.desk.app.slicer_python() != "/opt/uv"


def test_for_a_server_nothing_is_to_be_installed(card: Stage) -> None:
    card.widget.enter()
    card.w.backendTabs.setCurrentIndex(1)
    assert card.state == "NoRunner"
    assert offered(card) == ""
    assert not card.w.packageRow.isVisibleTo(card.w.setupCard)


@pytest.mark.parametrize("answer", ["/a/file", ("/a/file", "All files (*)")])
def test_both_bindings_answers_of_a_file_dialog_are_understood(
    answer: object, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dialog:
        @staticmethod
        def getOpenFileName(parent: object, caption: str, folder: str, kinds: str) -> object:
            return answer

    monkeypatch.setattr(environment_card.qt, "QFileDialog", Dialog)
    assert setup_panel.ask_file() == "/a/file"
    assert stage.session.setup.card.ask_file() == "/a/file"


def test_a_stopped_environment_is_told(stage: Stage, tmp_path: Path) -> None:
    stage.plan(tmp_path / "made")
    stage.widget.enter()
    stage.questions.end(SICK)
    stage.w.createButton.click()
    stage.w.createButton.click()
    assert stage.questions.cancelled == 1
    stage.questions.end(End(143, cancelled=True))
    assert "Stopped" in stage.w.setupMessageLabel.text()


@pytest.mark.parametrize("end", [End(0), End(3, document=None, stderr_tail="no")])
def test_the_environment_is_made_by_a_button(stage: Stage, end: Any, tmp_path: Path) -> None:
    stage.plan(tmp_path / "made")
    stage.widget.enter()
    stage.questions.end(SICK)
    stage.w.createButton.click()
    assert stage.w.createButton.text() == "Stop"
    assert not stage.w.packageEdit.isEnabled()
    stage.questions.tell(Progressed("install", 2, 4))
    assert "Step 3 of 4" in stage.w.setupMessageLabel.text()
    stage.questions.end(end)
    assert stage.w.createButton.text() == "Create environment"
    made = stage.w.pythonEdit.text() != sys.executable
    assert made == (end.exit_code == 0), "the new one is used, and looked at"


@pytest.fixture
def made(stage: Stage) -> Path:
    """An environment where the module makes its own, and the module's setting names it."""
    folder = stage.session.setup.card.folder
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (folder / "bin" / "python").write_text("#!/bin/sh\n")
    (folder / "bin" / "python").chmod(0o755)
    stage.session.setup.made(str(folder / "bin" / "python"))
    stage.questions.end(SICK)
    return folder


def test_the_environment_that_the_module_made_is_removed_by_a_button(
    stage: Stage, made: Path
) -> None:
    asked: list[str] = []
    stage.session.setup.card.confirm = lambda question: bool(asked.append(question)) or True
    (made / "lib").mkdir()
    (made / "lib" / "weights.bin").write_bytes(bytes(2_600_000))
    assert stage.w.removeButton.isEnabled()
    stage.w.removeButton.click()
    assert asked == [f"Delete the environment that this module made ({made}), 3 MB on the disk?"]
    assert list(made.parent.iterdir()) == []
    assert stage.w.pythonEdit.text() == stage.desk.app.settings("python") == ""
    assert not stage.w.removeButton.isEnabled()


def test_no_is_no_and_another_environment_stays_named(stage: Stage, made: Path) -> None:
    card = stage.session.setup.card
    card.confirm = lambda question: False
    stage.w.removeButton.click()
    assert (made / "pyvenv.cfg").is_file()
    stage.w.pythonEdit.setText("/other/environment/bin/python")
    card.confirm = lambda question: True
    stage.w.removeButton.click()
    assert not made.exists()
    assert stage.w.pythonEdit.text() == "/other/environment/bin/python"


def test_what_is_no_environment_of_the_module_is_never_deleted(
    stage: Stage, tmp_path: Path
) -> None:
    card = stage.session.setup.card
    card.confirm = lambda question: True
    assert not stage.w.removeButton.isEnabled()
    card.folder.mkdir(parents=True)
    (card.folder / "thesis.tex").write_text("mine")
    card.refresh()
    assert not stage.w.removeButton.isEnabled()
    card._remove()
    assert (card.folder / "thesis.tex").is_file()


def test_what_cannot_be_deleted_is_told(
    stage: Stage, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(folder)

    monkeypatch.setattr(environment_card, "remove", refuse)
    stage.session.setup.card.confirm = lambda question: True
    stage.w.removeButton.click()
    assert "something of it is in use" in stage.w.doctorLabel.text()
    assert stage.w.removeButton.isEnabled()


def test_nothing_is_removed_while_a_job_runs(ready: Stage) -> None:
    asked: list[str] = []
    card = ready.session.setup.card
    card.confirm = lambda question: bool(asked.append(question)) or True
    card.folder.mkdir(parents=True)
    (card.folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
    card.refresh()
    assert ready.w.removeButton.isEnabled()
    ready.w.runButton.click()
    assert ready.state == "Running"
    assert not ready.w.removeButton.isEnabled()
    ready.w.removeButton.click()
    assert asked == []
    assert (card.folder / "pyvenv.cfg").is_file()
    ready.runs.end(End(None, cancelled=True))
    assert ready.state != "Running"
    ready.w.removeButton.click()
    assert len(asked) == 1
    assert not card.folder.exists()


def test_nothing_is_removed_while_it_answers_a_question(stage: Stage, made: Path) -> None:
    stage.session.setup.card.confirm = lambda question: True
    stage.widget.enter()  # the doctor looks
    stage.w.removeButton.click()
    assert "just answering" in stage.w.doctorLabel.text()
    assert made.is_dir()
    stage.questions.end(SICK)
    stage.w.removeButton.click()
    assert not made.exists()
