# SPDX-License-Identifier: Apache-2.0
"""The comparison, the series and past runs, on finished (rehearsed) runs and real view nodes."""

from typing import Any

import pydicom
import pytest
from CXRCounterfactualLib.contract.events import End
from CXRCounterfactualLib.scene.history import history

from tests.slicer.helpers.panel import Stage, ready, rehearsed, stage, wait_for

__all__ = ["ready", "stage"]


def run(stage: Stage, **fields: str) -> Any:
    """A finished run with fields of the panel set first; its record."""
    for name, text in fields.items():
        getattr(stage.w, name).setText(text)
    stage.w.runButton.click()
    stage.runs.tell(rehearsed(stage))
    wait_for(stage, "Done")
    stage.runs.end(End(0, saw_result=True))
    return history(stage.desk.scene)[-1]


def view(stage: Stage, name: str) -> Any:
    """The composite node of a slice view."""
    return next(v.composite for v in stage.desk.app.slice_views() if v.name == name)


@pytest.fixture
def done(ready: Stage) -> Stage:
    """A panel after one run."""
    run(ready)
    return ready


def test_source_and_counterfactual_lie_side_by_side(done: Stage) -> None:
    (added,) = history(done.desk.scene)
    left, right = view(done, "Red"), view(done, "Yellow")
    assert left.GetBackgroundVolumeID() == right.GetBackgroundVolumeID() == added.source_id
    assert right.GetForegroundVolumeID() == added.volume_ids[0]
    assert (left.GetForegroundOpacity(), right.GetForegroundOpacity()) == (0.0, 1.0)
    assert right.GetLinkedControl()


def test_fade_and_flicker_move_the_counterfactual(done: Stage) -> None:
    done.w.fadeSlider.setValue(0.25)
    assert view(done, "Yellow").GetForegroundOpacity() == 0.25
    done.w.flickerButton.setChecked(True)
    beats = set()
    for _ in range(2):
        done.session.compare._flick()
        beats.add(view(done, "Yellow").GetForegroundOpacity())
    assert beats == {0.0, 1.0}
    done.w.flickerButton.setChecked(False)
    assert view(done, "Yellow").GetForegroundOpacity() == 0.25, "where the slider stands"


def test_one_view_fades_half_way(done: Stage) -> None:
    done.w.layoutBox.setCurrentIndex(1)
    assert view(done, "Red").GetForegroundOpacity() == 0.5
    assert done.w.fadeSlider.property("value") == 0.5


def test_the_change_map_lies_over_the_source_with_its_legend(done: Stage) -> None:
    (added,) = history(done.desk.scene)
    assert not done.w.changeLegendLabel.isVisibleTo(done.w.compareSection)
    done.w.changeMapCheck.setChecked(True)
    assert view(done, "Yellow").GetForegroundVolumeID() == added.change_id
    assert done.w.changeLegendLabel.isVisibleTo(done.w.compareSection)
    done.w.changeMapCheck.setChecked(False)
    assert view(done, "Yellow").GetForegroundVolumeID() == added.volume_ids[0]


def test_outlines_can_be_hidden(done: Stage) -> None:
    (added,) = history(done.desk.scene)
    display = done.desk.scene.GetNodeByID(added.segmentation_id).GetDisplayNode()
    assert display.GetVisibility()
    done.w.outlineCheck.setChecked(False)
    assert not display.GetVisibility()


def test_leaving_gives_the_views_back(ready: Stage) -> None:
    layout = ready.desk.app.current_layout()
    shown = view(ready, "Yellow").GetForegroundVolumeID()
    run(ready)
    assert ready.desk.app.current_layout() != layout
    ready.w.leaveButton.click()
    assert ready.desk.app.current_layout() == layout
    assert view(ready, "Yellow").GetForegroundVolumeID() == shown


def test_a_slider_moves_through_the_severities(ready: Stage) -> None:
    added = run(ready, levelsEdit="0.25, 0.5, 1")
    assert ready.w.memberSlider.property("value") == 2.0, "the strongest first"
    assert ready.w.memberSlider.isVisibleTo(ready.w.compareSection)
    assert not ready.w.seedBox.isVisibleTo(ready.w.compareSection)
    ready.w.fadeSlider.setValue(0.6)
    ready.w.memberSlider.setValue(0)
    assert view(ready, "Yellow").GetForegroundVolumeID() == added.volume_ids[0]
    assert "severity 0.25" in ready.w.memberLabel.text()
    assert view(ready, "Yellow").GetForegroundOpacity() == pytest.approx(0.6)


def test_a_box_picks_the_seed(ready: Stage) -> None:
    added = run(ready, seedsEdit="4, 9")
    assert ready.w.seedBox.isVisibleTo(ready.w.compareSection)
    assert not ready.w.memberSlider.isVisibleTo(ready.w.compareSection)
    ready.w.seedBox.setCurrentIndex(1)
    assert view(ready, "Yellow").GetForegroundVolumeID() == added.volume_ids[1]
    assert "seed 9" in ready.w.memberLabel.text()


def test_past_runs_are_listed_newest_first_and_used_again(ready: Stage) -> None:
    run(ready, seedsEdit="4")
    ready.w.findingBox.setCurrentIndex(ready.w.findingBox.findData("nodule"))
    run(ready, seedsEdit="5")
    assert ready.w.historyBox.count() == 2
    assert ready.w.historyBox.itemText(0).startswith("2")
    table = ready.w.historyLabel.text()
    assert table.index("nodule") < table.index("pleural effusion")
    ready.w.historyBox.setCurrentIndex(1)
    ready.w.historyUseButton.click()
    choice = ready.session.read()[0]
    assert (choice.finding, choice.seeds) == ("pleural effusion", (4,))
    ready.w.historyShowButton.click()
    assert "pleural effusion" in ready.w.memberLabel.text()


def test_a_removed_run_leaves_the_comparison_and_the_list(done: Stage) -> None:
    (added,) = history(done.desk.scene)
    for name in added.volume_ids:
        done.desk.scene.RemoveNode(done.desk.scene.GetNodeByID(name))
    done.settle()
    assert not done.w.compareSection.isEnabled()
    assert done.w.historyBox.count() == 0


def test_a_record_that_somebody_broke_is_left_out(done: Stage) -> None:
    from CXRCounterfactualLib.scene.history import RECORD

    (added,) = history(done.desk.scene)
    done.desk.scene.GetNodeByID(added.volume_ids[0]).SetAttribute(RECORD, "{")
    done.session.restore()
    assert done.w.historyBox.count() == 0


def test_the_classifier_is_asked_about_source_and_member(ready: Stage) -> None:
    added = run(ready, levelsEdit="0.5, 1", classifierEdit="net.onnx ", declaredEdit="a b.yaml")
    ready.w.memberSlider.setValue(0)
    ready.w.classifierButton.click()
    words = ready.questions.command.words
    assert words[3:7] == ("--json", "--model", "net.onnx", "--score")
    assert words[-2:] == ("--preprocessing", "a b.yaml")
    uids = [pydicom.dcmread(file).SOPInstanceUID for file in words[7:-2]]
    nodes = [ready.desk.scene.GetNodeByID(i) for i in (added.source_id, added.volume_ids[0])]
    assert uids == [node.GetAttribute("DICOM.instanceUIDs") for node in nodes]
    told = {"labels": ["Edema", "A&B"], "scores": [[0.5, 0.1], [0.51, 0.9]]}
    error = {"message": "There is none.", "hint": "Check it."}
    for end, said in (
        (End(0, document=told), "severity 0.50<br>A&amp;B: 0.10 → 0.90<br>Edema: 0.50 → 0.51"),
        (End(2, document={"error": error}), "severity 0.50<br>There is none. Check it."),
    ):
        assert not ready.w.classifierButton.isEnabled()
        ready.questions.end(end)
        assert ready.w.answerLabel.text().endswith(said)
        ready.w.classifierButton.click()
