# SPDX-License-Identifier: Apache-2.0
"""The panel with the real runner and the shipped weights, driven as by a user's hand.

The sample radiograph, the doctor, the region before the run, the run, the comparison, the cancel;
and how long the window was ever blocked meanwhile.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import qt
from CXRCounterfactualLib.panel import setup_panel
from CXRCounterfactualLib.scene.history import history

from tests.slicer.environment import Runner
from tests.slicer.helpers.driving import living, queued
from tests.slicer.helpers.panel import Stage, close_stage, open_stage, wait_for
from tests.slicer.helpers.scene import Desk, picture, segment_arrays
from tests.slicer.panel.test_screenshots import nothing_is_cut_off, pictures, shoot

__all__ = ["pictures"]

BLOCKED, STOPPED = 0.1, 2.0  # seconds: the bars for a blocked window and for a cancel
PATIENCE = 240.0
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def panel(desk: Desk, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Opened, with the product's own Python as the environment; the doctor has looked."""
    monkeypatch.setattr(setup_panel, "clean_environment", lambda startup: runner.environment())
    stage = open_stage(desk, python=runner.python, real=True)
    stage.widget.enter()
    wait_for(stage, "Idle", PATIENCE)
    stage.load_sample()
    assert stage.state == "Ready"
    stage.w.sideBox.setCurrentIndex(1)
    if "CXR_CF_SCREENSHOTS" not in os.environ:  # the docs show what a preset gives, as it stands
        stage.w.overridesEdit.setPlainText('{"sampling": {"steps": 4}}')
    yield stage
    close_stage(stage)


class Heart:
    """Beats while something runs, and knows its longest pause in the states that matter."""

    def __init__(self, stage: Stage, states: tuple[str, ...]) -> None:
        self.longest, self.beats = 0.0, 0
        self._stage, self._states, self._last = stage, states, now()
        self._timer = qt.QTimer()
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def _beat(self) -> None:
        beat = now()
        if self._stage.state in self._states:
            self.longest = max(self.longest, beat - self._last)
            self.beats += 1
        self._last = beat


def now() -> float:
    """Seconds, but for those in which a busy machine let this thread wait for a processor."""
    return time.perf_counter() - queued()


def test_from_the_sample_to_the_comparison(panel: Stage, pictures: Path) -> None:
    panel.w.runButton.click()
    heart = Heart(panel, ("Running",))
    wait_for(panel, "Done", PATIENCE)
    assert heart.beats > 50
    assert heart.longest < BLOCKED
    (added,) = history(panel.desk.scene)
    scene, source = panel.desk.scene, panel.session.source
    changed = picture(source) != picture(scene.GetNodeByID(added.volume_ids[0]))
    masks = segment_arrays(scene.GetNodeByID(added.segmentation_id), source)
    may_change = masks["Edit region"] | masks["Edit band"]
    assert changed.any()
    assert not (changed & ~may_change).any()
    assert "largest difference 0" in panel.w.outsideLabel.text()
    assert panel.w.historyBox.count() == 1
    while panel.session.runner.busy:
        qt.QApplication.processEvents()
    panel.w.historySection.setCollapsed(False)
    shoot(panel, pictures / "result.png")
    nothing_is_cut_off(panel)
    panel.w.classifierButton.click()
    end = time.monotonic() + PATIENCE
    while not panel.w.classifierButton.isEnabled() and time.monotonic() < end:
        qt.QApplication.processEvents()
    assert panel.w.answerLabel.text().count(" → ") == 6


def test_the_doctor_and_the_facts_come_from_the_real_runner(panel: Stage) -> None:
    end = time.monotonic() + PATIENCE
    while not panel.w.weightsLabel.text() and time.monotonic() < end:
        qt.QApplication.processEvents()
    assert "non-commercial" in panel.w.weightsLabel.text()
    assert "Everything is in place" in panel.w.doctorLabel.text()
    assert panel.w.findingBox.count() == 21


def test_the_region_is_outlined_by_itself_before_the_run(panel: Stage) -> None:
    end = time.monotonic() + PATIENCE
    while "Outlined" not in panel.w.regionStatusLabel.text() and time.monotonic() < end:
        qt.QApplication.processEvents()
    assert "pixels may change" in panel.w.regionStatusLabel.text()
    scene, source = panel.desk.scene, panel.session.source
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    region = segment_arrays(scene.GetNthNodeByClass(0, "vtkMRMLSegmentationNode"), source)
    assert f" {region['Edit region'].sum()} pixels" in panel.w.regionStatusLabel.text()
    panel.w.sideBox.setCurrentIndex(2)
    assert "Outlined" not in panel.w.regionStatusLabel.text(), "it belongs to the left side"


@pytest.mark.skipif(os.name == "nt", reason="looks at /proc")
def test_cancel_in_mid_step_leaves_no_process_and_no_file(panel: Stage) -> None:
    panel.w.overridesEdit.setPlainText('{"sampling": {"steps": 200}}')
    panel.w.runButton.click()
    folder = panel.session.runner.out.parent
    end = time.monotonic() + PATIENCE
    while "Drawing" not in panel.w.statusLabel.text() and time.monotonic() < end:
        qt.QApplication.processEvents()
    heart, began = Heart(panel, ("Cancelling",)), now()
    panel.w.cancelButton.click()
    wait_for(panel, "Ready", 10.0)
    assert now() - began < STOPPED
    assert heart.longest < BLOCKED
    assert not folder.exists()
    assert not living(str(folder))
