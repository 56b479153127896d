# SPDX-License-Identifier: Apache-2.0
"""The panel through its states: what may be used, what is started, and every way out."""

import json
from pathlib import Path

import pytest
import qt
from CXRCounterfactualLib.contract.events import End, Failed, Hello, Progressed
from CXRCounterfactualLib.panel.status_panel import WIDGETS
from CXRCounterfactualLib.presenter.states import RegionPressed
from CXRCounterfactualLib.presenter.view import ROLES

from tests.slicer.helpers.panel import HEALTHY, SICK, Stage, ready, rehearsed, stage, wait_for

__all__ = ["ready", "stage"]
HELLO = Hello(1, "0.1.0", "cpu")


def usable(stage: Stage) -> None:
    """What the view lets be used is what the widgets let be used."""
    enabled = stage.session.presenter.view().enabled
    for role, names in WIDGETS.items():
        for name in names:
            assert getattr(stage.w, name).isEnabled() == (role in enabled), (stage.state, name)


def job(stage: Stage) -> Path:
    """The folder of the run that was started."""
    command = stage.runs.command
    assert command is not None
    assert command.folder is not None
    return command.folder.parent


def test_every_role_of_the_presenter_has_its_widgets() -> None:
    # details and compare fold and unfold by what there is to show
    assert set(WIDGETS) | {"details", "compare"} == ROLES


def test_nothing_is_asked_before_the_panel_is_opened(stage: Stage) -> None:
    assert not stage.questions.asked
    assert stage.state == "NoRunner"
    usable(stage)


def test_a_missing_part_is_named_and_checked_again(stage: Stage) -> None:
    stage.widget.enter()
    stage.questions.end(SICK)
    assert stage.state == "NoRunner"
    assert "missing: cxr-mini" in stage.w.setupMessageLabel.text()
    usable(stage)
    stage.w.checkAgainButton.click()
    stage.healthy()
    assert stage.state == "Idle"
    usable(stage)


def test_the_sample_makes_it_ready(ready: Stage) -> None:
    assert ready.w.sourceStatusLabel.text() == "Its original DICOM file is used."
    assert not ready.w.sampleButton.isVisibleTo(ready.w.sourceSection)
    usable(ready)


def test_a_run_is_started_with_the_original_file_and_the_choice(ready: Stage) -> None:
    ready.w.sideBox.setCurrentIndex(1)
    ready.w.runButton.click()
    assert ready.state == "Running"
    usable(ready)
    told = (job(ready) / "job.json").read_text(encoding="utf-8")
    uids = ready.desk.app.instance_uids(ready.session.source)
    assert ready.desk.app.files_for_instance(uids[0])[0] in told
    assert '"side": "left"' in told


def test_what_may_pass_the_strict_reader_goes_with_the_run(ready: Stage) -> None:
    ready.w.burnedInCheck.setChecked(True)
    ready.w.runButton.click()
    told = json.loads((job(ready) / "job.json").read_text(encoding="utf-8"))
    assert told["reading"] == {"allow_burned_in": True}


def test_progress_is_shown(ready: Stage) -> None:
    ready.w.runButton.click()
    ready.runs.tell(HELLO, Progressed("sample", 12, 20, 8.0))
    assert "step 12 of 20" in ready.w.statusLabel.text()
    assert 40 < ready.w.progressBar.value() < 60


def test_a_result_is_imported_compared_and_listed(ready: Stage) -> None:
    ready.w.runButton.click()
    ready.runs.tell(HELLO, rehearsed(ready))
    assert ready.state == "Importing"
    usable(ready)
    wait_for(ready, "Done")
    ready.runs.end(End(0, saw_result=True))
    assert ready.state == "Done"
    usable(ready)
    assert not ready.w.compareSection.property("collapsed")
    assert ready.w.historyBox.count() == 1
    assert ready.w.runButton.text() == "Run again"
    assert ready.session.presenter.timings
    assert ready.desk.app.settings("timings") != ""


def test_cancel_asks_the_process_and_leaves_no_folder(ready: Stage) -> None:
    ready.w.runButton.click()
    folder = job(ready)
    ready.runs.tell(HELLO, Progressed("sample", 3, 20))
    ready.w.cancelButton.click()
    assert (ready.state, ready.runs.cancelled) == ("Cancelling", 1)
    usable(ready)
    ready.runs.tell(Progressed("sample", 4, 20))
    assert ready.state == "Cancelling", "what comes after the cancel is not heard"
    ready.runs.end(End(143, cancelled=True))
    assert ready.state == "Ready"
    assert not folder.exists()


def test_an_error_says_what_to_do_and_the_report_holds_no_patient(ready: Stage) -> None:
    ready.w.requestTabs.setCurrentIndex(1)
    ready.w.promptEdit.setText("left effusion of Drawn^Chest")
    ready.w.runButton.click()
    failed = Failed("refused", "The view of '/data/Drawn^Chest.dcm' is lateral.", "Choose another.")
    ready.runs.tell(HELLO, Progressed("read", 1, 1), failed, log="a path: /data/x.dcm\n")
    ready.runs.end(End(2))
    assert ready.state == "Failed"
    usable(ready)
    assert "Choose another." in ready.w.statusLabel.text()
    ready.w.detailsButton.click()
    assert "a path" in ready.w.detailsEdit.toPlainText()
    ready.w.copyReportButton.click()
    report = qt.QApplication.clipboard().text()
    assert "refused" in report
    for secret in ("Drawn", "/data", "effusion", "DRAWN-1"):
        assert secret not in report, secret
    ready.w.dismissButton.click()
    assert ready.state == "Ready"


def test_a_runner_that_is_gone_is_told(ready: Stage) -> None:
    ready.w.runButton.click()
    ready.runs.end(End(None, error="It could not be started."))
    assert ready.state == "Failed"
    assert "could not be started" in ready.w.statusLabel.text()


def test_a_job_that_cannot_be_written_is_told(
    ready: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> str:
        raise OSError(28, "No space left on device", "/tmp/Doe_John")

    monkeypatch.setattr(ready.desk.app, "temp_folder", full)
    ready.w.runButton.click()
    assert ready.state == "Failed"
    assert "Is the disk full?" in ready.w.statusLabel.text()
    assert "Doe" not in ready.session.presenter.report()
    ready.w.dismissButton.click()
    assert ready.state == "Ready"
    usable(ready)


def test_a_result_that_cannot_be_imported_is_a_message(ready: Stage) -> None:
    ready.w.runButton.click()
    result = rehearsed(ready)
    for file in result.files:
        file.path.unlink()
    ready.runs.tell(HELLO, result)
    ready.settle()
    assert ready.state == "Failed"
    usable(ready)


def test_closing_the_scene_while_it_runs_stops_the_run(ready: Stage) -> None:
    ready.w.runButton.click()
    ready.desk.scene.Clear(0)
    assert (ready.state, ready.runs.cancelled) == ("Cancelling", 1)
    ready.runs.end(End(143, cancelled=True))
    assert ready.state == "Idle"
    assert not ready.w.compareSection.isEnabled()


def test_removing_the_radiograph_leads_back(ready: Stage) -> None:
    ready.desk.scene.RemoveNode(ready.session.source)
    assert ready.state == "Idle"
    usable(ready)


def test_a_drawn_region_goes_with_the_run(ready: Stage) -> None:
    ready.w.drawButton.click()
    ((segmentation, source),) = ready.desk.app.edited
    assert source == ready.session.source.GetID()
    assert ready.w.segmentBox.currentText() == "My region"
    ready.w.runButton.click()
    assert ready.state == "Failed", "it has no pixel yet"
    assert "drawn region" in ready.w.statusLabel.text()
    assert ready.widget.logic.parameters().region_id == segmentation


def test_consent_is_needed_before_anything_is_sent(ready: Stage) -> None:
    ready.w.backendTabs.setCurrentIndex(1)
    assert "no address" in ready.w.setupMessageLabel.text()
    ready.w.keyEdit.setText("sesame-0123456789")
    ready.w.serverEdit.setText("https://cxr.example.org")
    ready.w.serverEdit.editingFinished.emit()
    check = ready.questions.command
    assert check is not None
    assert "--check" in check.words
    ready.questions.end(HEALTHY)
    assert ready.state == "Idle"
    assert "may be sent" in ready.w.statusLabel.text()
    ready.session.feed(RegionPressed())
    ready.rest()
    assert not ready.questions.running, "the region is not asked for either"
    ready.w.consentCheck.setChecked(True)
    ready.w.runButton.click()
    command = ready.runs.command
    assert command is not None
    assert "https://cxr.example.org" in command.words
    assert "sesame" not in " ".join(command.words)
    node = ready.widget.logic.getParameterNode()
    kept = [node.GetParameter(name) or "" for name in node.GetParameterNames()]
    assert not any("sesame" in text for text in (*kept, *ready.desk.app._settings.values()))


def test_another_address_needs_consent_again(ready: Stage) -> None:
    from dataclasses import replace

    ready.w.backendTabs.setCurrentIndex(1)
    ready.w.serverEdit.setText("https://one.example.org")
    ready.w.consentCheck.setChecked(True)
    ready.w.serverEdit.setText("https://two.example.org")
    assert not ready.w.consentCheck.isChecked(), "typed"
    ready.w.serverEdit.setText("https://one.example.org")
    ready.w.consentCheck.setChecked(True)
    choice = replace(ready.session.read()[0], server="https://two.example.org")
    ready.session.setup.write(choice)
    assert not ready.w.consentCheck.isChecked(), "from a scene"
