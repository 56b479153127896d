# SPDX-License-Identifier: Apache-2.0
"""The region on the image before a run: by itself, taken away, by hand, never against a wish."""

import json
from pathlib import Path
from typing import Any

import pytest
from CXRCounterfactualLib.contract.events import End
from CXRCounterfactualLib.panel.looker import QUIET_MS
from CXRCounterfactualLib.panel.region_panel import BY_ITSELF
from CXRCounterfactualLib.presenter.regions import LOOKING
from CXRCounterfactualLib.scene import mask_files
from CXRCounterfactualLib.scene.segments import PREVIEW

from tests.slicer.helpers.panel import HEALTHY, Stage, open_stage, ready, stage
from tests.slicer.helpers.scene import segment_arrays

__all__ = ["ready", "stage"]
SEEN = End(0, document={"files": [{"role": "seg", "path": "seg.dcm"}]})
STOPPED = End(143, cancelled=True)


@pytest.fixture(autouse=True)
def square(monkeypatch: pytest.MonkeyPatch) -> None:
    """What every SEG holds; that real ones are read is tested elsewhere (test_panel_real.py)."""
    import numpy as np

    mask = np.zeros((384, 384), bool)
    mask[300:310, 100:120] = True
    monkeypatch.setattr(mask_files, "masks_of_seg", lambda path: {"edit_region": mask})


def asked(stage: Stage) -> dict[str, Any]:
    """The request of the question that is being asked."""
    command = stage.questions.command
    assert command is not None
    assert "segment" in command.words or "--region" in command.words
    assert command.folder is not None
    told = (command.folder.parent / "job.json").read_text(encoding="utf-8")
    return dict(json.loads(told))


def outline(stage: Stage) -> Any:
    """The segmentation that outlines the region, if one is shown."""
    scene = stage.desk.scene
    count = scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    every = [scene.GetNthNodeByClass(n, "vtkMRMLSegmentationNode") for n in range(count)]
    found = [node for node in every if node.GetAttribute(PREVIEW)]
    return next((n for n in found if n.GetDisplayNode().GetVisibility()), None)


def folders(stage: Stage) -> list[Path]:
    """Temporary folders that are still there."""
    return sorted(stage.desk.folder.glob("temporary-*"))


@pytest.fixture
def shown(ready: Stage) -> Stage:
    """With the region on the image."""
    ready.rest()
    ready.questions.end(SEEN)
    assert outline(ready) is not None
    return ready


def test_it_is_shown_by_itself_half_a_second_after_the_last_change(ready: Stage) -> None:
    assert QUIET_MS == 500
    assert ready.w.showRegionCheck.isChecked()
    assert ready.w.regionStatusLabel.text() == LOOKING
    ready.w.sideBox.setCurrentIndex(1)
    assert ready.questions.command is None, "not before it is quiet"
    ready.rest()
    assert asked(ready)["findings"][0]["side"] == "left"
    ready.questions.end(SEEN)
    node = outline(ready)
    assert node is not None
    assert segment_arrays(node, ready.session.source)["Edit region"].sum() == 200
    assert ready.w.regionStatusLabel.text().startswith("Outlined: 200 pixels may change")
    assert folders(ready) == [], "the job file names a patient's file"
    assert ready.state == "Ready"


def test_another_request_takes_the_old_region_away_at_once(shown: Stage) -> None:
    shown.w.severitySlider.setValue(0.2)
    assert outline(shown) is not None, "the same region"
    shown.w.sideBox.setCurrentIndex(2)
    assert outline(shown) is None
    shown.rest()
    assert asked(shown)["findings"][0]["side"] == "right"
    shown.w.sideBox.setCurrentIndex(1)
    assert shown.questions.cancelled == 1, "the answer is no longer wanted"
    shown.questions.end(SEEN)
    assert outline(shown) is None, "an answer to the old question is not shown"
    shown.rest()
    shown.questions.end(SEEN)
    assert outline(shown) is not None
    assert folders(shown) == []


def test_a_request_that_is_not_valid_has_no_region(shown: Stage) -> None:
    shown.w.requestTabs.setCurrentIndex(1)
    assert outline(shown) is None
    assert shown.w.regionStatusLabel.text() == ""
    shown.rest()
    assert shown.questions.command is None


def test_a_run_is_not_disturbed_by_it(ready: Stage) -> None:
    ready.rest()
    ready.w.runButton.click()
    assert ready.questions.cancelled == 1
    assert ready.w.regionStatusLabel.text() == ""
    ready.questions.end(STOPPED)
    ready.rest()
    assert ready.questions.command is None
    ready.w.cancelButton.click()
    ready.runs.end(STOPPED)
    ready.rest()
    assert asked(ready)["findings"], "after the run it is looked for again"


def test_a_region_that_is_not_found_is_a_hint_and_no_error(ready: Stage) -> None:
    ready.rest()
    refusal = {"error": {"message": "No chest was found.", "hint": "Choose another image."}}
    ready.questions.end(End(2, document=refusal))
    assert ready.w.regionStatusLabel.text() == "No chest was found. Choose another image."
    assert ready.state == "Ready"
    assert ready.w.runButton.isEnabled()
    assert folders(ready) == []


def test_a_question_that_cannot_be_prepared_is_a_hint_too(
    ready: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> str:
        raise OSError(28, "No space left on device", "/tmp/Doe_John")

    monkeypatch.setattr(ready.desk.app, "temp_folder", full)
    ready.rest()
    assert "Is the disk full?" in ready.w.regionStatusLabel.text()
    assert "Doe" not in ready.w.regionStatusLabel.text()
    assert ready.state == "Ready"


def test_by_hand_it_is_shown_at_once_and_once_more(ready: Stage) -> None:
    ready.w.showRegionCheck.setChecked(False)
    assert ready.w.regionStatusLabel.text() == ""
    ready.rest()
    assert ready.questions.command is None
    ready.w.showRegionButton.click()
    ready.questions.end(SEEN)
    assert outline(ready) is not None
    ready.w.showRegionButton.click()
    assert outline(ready) is None
    ready.questions.end(SEEN)
    assert outline(ready) is not None


def test_the_tick_is_kept_between_sessions(ready: Stage) -> None:
    ready.w.showRegionCheck.setChecked(False)
    assert ready.desk.app.settings(BY_ITSELF) == "0"
    again = open_stage(ready.desk)
    assert not again.w.showRegionCheck.isChecked()
    again.w.showRegionCheck.setChecked(True)
    assert ready.desk.app.settings(BY_ITSELF) == "1"
    again.widget.cleanup()


def test_a_drawn_region_replaces_it(shown: Stage) -> None:
    shown.w.drawButton.click()
    assert outline(shown) is None
    assert not shown.w.showRegionCheck.isVisibleTo(shown.w.regionSection)
    shown.rest()
    assert shown.questions.command is None


def test_what_the_reader_may_let_pass_is_asked_with_it(shown: Stage) -> None:
    shown.w.lateralCheck.setChecked(True)
    shown.rest()
    assert asked(shown)["reading"] == {"allow_lateral": True}


def test_nothing_is_sent_to_a_server_without_consent(shown: Stage) -> None:
    shown.w.backendTabs.setCurrentIndex(1)
    assert outline(shown) is None
    shown.w.serverEdit.setText("https://cxr.example.org")
    shown.w.serverEdit.editingFinished.emit()
    shown.questions.end(HEALTHY)
    shown.rest()
    assert shown.questions.command is None
    shown.w.consentCheck.setChecked(True)
    shown.rest()
    command = shown.questions.command
    assert command is not None
    assert "--region" in command.words
    shown.w.consentCheck.setChecked(False)
    assert shown.questions.cancelled == 1, "nor is it sent any further"


def test_closing_the_module_stops_and_forgets_the_question(ready: Stage) -> None:
    ready.rest()
    assert len(folders(ready)) == 1
    ready.widget.cleanup()
    assert ready.questions.closed
    assert folders(ready) == []
