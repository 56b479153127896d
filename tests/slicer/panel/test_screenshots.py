# SPDX-License-Identifier: Apache-2.0
"""Pictures of the panel in its states, as the documentation shows them, and what they must show.

    CXR_CF_SCREENSHOTS=slicer_extension/Screenshots pytest tests/slicer/panel/test_screenshots.py

writes them there; without the variable they go to a temporary folder.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import qt
from CXRCounterfactualLib.contract.events import Failed, Hello, Preview, Progressed, Warned
from CXRCounterfactualLib.presenter.states import RegionDrawn
from CXRCounterfactualLib.process.environment import create_commands

from tests.slicer.helpers.panel import SICK, End, Stage, ready, rehearsed, stage

__all__ = ["ready", "stage"]
WIDTH = 440
AMBER = (245, 194, 66)
LOG = "reading\nsegment: hybridgnet\nsample: torch.OutOfMemoryError, 3.1 GiB asked, 2.2 GiB free\n"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures go."""
    folder = Path(os.environ.get("CXR_CF_SCREENSHOTS") or tmp_path / "pictures")
    folder.mkdir(exist_ok=True)
    return folder


def shoot(stage: Stage, path: Path) -> Any:
    """The whole panel, as high as it needs to be; the picture."""
    panel = stage.widget.parent
    panel.resize(WIDTH, 10)
    panel.show()
    stage.settle()
    layout = panel.layout()
    panel.resize(WIDTH, max(layout.heightForWidth(WIDTH), layout.minimumSize().height()))
    stage.settle()
    picture = panel.grab()
    assert picture.save(str(path), None, 100)  # WebP without loss
    return picture.toImage()


def show_plain_paths(stage: Stage) -> None:
    """Paths of nobody's machine."""
    made, package = Path("/home/you/cxr-cf"), "/home/you/monai-cxr-cf"
    plan = create_commands(made, package, python="/usr/bin/python3.12")
    stage.session.setup.card.plan = lambda: plan


def colours(image: Any) -> set[tuple[int, int, int]]:
    """All colours of a picture, every second pixel looked at."""
    pixels = (
        image.pixelColor(x, y) for x in range(0, image.width(), 2)
        for y in range(0, image.height(), 2)
    )  # fmt: skip
    return {(colour.red(), colour.green(), colour.blue()) for colour in pixels}


def shown(widget: Any) -> bool:
    """Visible, and in no folded section."""
    parent, folded = widget, False
    while parent is not None:
        folded = folded or bool(parent.property("collapsed"))
        parent = parent.parentWidget()
    return widget.isVisible() and not folded


def nothing_is_cut_off(stage: Stage) -> None:
    """Every visible text has the room that it asks for."""
    root = stage.w.root
    for label in root.findChildren(qt.QLabel):
        if label.text() and shown(label):
            needed = label.heightForWidth(label.width()) if label.wordWrap() else 0
            assert label.height() >= min(needed, 400), label.objectName()
    for button in root.findChildren(qt.QPushButton):
        if shown(button):
            room = button.width() - button.fontMetrics().horizontalAdvance(button.text())
            assert room > 4, button.objectName()


def test_set_up(stage: Stage, pictures: Path, tmp_path: Path) -> None:
    python = tmp_path / "python3.12"  # all that this computer has
    python.touch(0o755)
    stage.desk.app.startup_environment = lambda: {"PATH": str(tmp_path)}
    stage.w.pythonEdit.setText("")
    stage.desk.app.set_setting("python", "")
    show_plain_paths(stage)
    stage.widget.enter()
    image = shoot(stage, pictures / "setup.webp")
    assert stage.state == "NoRunner"
    assert stage.w.setupCard.isVisible()
    assert "none was found. Press 'Create environment'" in stage.w.setupMessageLabel.text()
    assert not stage.w.runSection.isVisible()
    assert AMBER in colours(image), "the banner is always there"
    nothing_is_cut_off(stage)


def test_idle(stage: Stage, pictures: Path) -> None:
    stage.widget.enter()
    stage.healthy()
    shoot(stage, pictures / "idle.png")
    (pictures / "idle.png").unlink()  # no page shows it
    assert stage.state == "Idle"
    assert stage.w.sampleButton.isVisible()
    nothing_is_cut_off(stage)


def test_ready(stage: Stage, pictures: Path) -> None:
    stage.widget.enter()
    stage.healthy(("nodule", "mass"))
    stage.load_sample()
    stage.w.sideBox.setCurrentIndex(1)
    stage.rest()
    stage.session.feed(RegionDrawn(stage.session.presenter.region.number, 9214))
    shoot(stage, pictures / "ready.png")
    assert stage.state == "Ready"
    assert stage.w.runButton.isEnabled()
    assert not stage.w.cancelButton.isVisible()
    nothing_is_cut_off(stage)


def test_running(ready: Stage, pictures: Path) -> None:
    ready.w.sideBox.setCurrentIndex(1)
    ready.w.runButton.click()
    ready.runs.tell(Hello(1, "0.1.0", "cpu"), Progressed("sample", 12, 20, 8.4))
    ready.runs.tell(Warned("no_spacing", "The image has no spacing; sizes are in pixels."))
    shoot(ready, pictures / "running.png")
    assert ready.state == "Running"
    assert ready.w.cancelButton.isVisible()
    assert ready.w.progressBar.value() > 0
    assert not ready.w.requestSection.isEnabled()
    nothing_is_cut_off(ready)


def test_series(ready: Stage, pictures: Path) -> None:
    ready.w.levelsEdit.setText("0.25, 0.5, 1")
    ready.w.runButton.click()
    ready.runs.tell(Hello(1, "0.1.0", "cpu"), rehearsed(ready))
    ready.settle()
    ready.runs.end(End(0, saw_result=True))
    ready.w.memberSlider.setValue(1)
    ready.w.changeMapCheck.setChecked(True)
    for name in ("sourceSection", "requestSection", "regionSection"):
        getattr(ready.w, name).setCollapsed(True)
    image = shoot(ready, pictures / "series.webp")
    assert ready.state == "Done"
    assert ready.w.badgeLabel.isVisible()
    assert ready.w.memberSlider.isVisible()
    assert AMBER in colours(image)
    assert "largest difference 0" in ready.w.outsideLabel.text()
    nothing_is_cut_off(ready)


def test_error(ready: Stage, pictures: Path) -> None:
    ready.w.runButton.click()
    ready.runs.tell(Hello(1, "0.1.0", "cpu"), Progressed("sample", 3, 20, 18.0), log=LOG)
    hint = "Try --preset fast, or fewer seeds."
    ready.runs.tell(Failed("out_of_memory", "The machine ran out of memory.", hint))
    ready.runs.end(End(4, stderr_tail=LOG))
    ready.w.detailsButton.setChecked(True)
    shoot(ready, pictures / "error.webp")
    assert ready.state == "Failed"
    assert "ran out of memory" in ready.w.statusLabel.text()
    assert "OutOfMemory" in ready.w.detailsEdit.toPlainText()
    nothing_is_cut_off(ready)


def test_doctor(ready: Stage, pictures: Path) -> None:
    for name in ("sourceSection", "requestSection", "regionSection", "runSection"):
        getattr(ready.w, name).setCollapsed(True)
    ready.w.setupSection.setCollapsed(False)
    show_plain_paths(ready)
    ready.w.doctorButton.click()
    ready.questions.end(SICK)
    ready.w.pythonEdit.setText("/home/you/cxr-cf/bin/python")
    shoot(ready, pictures / "doctor.webp")
    assert ready.state == "NoRunner"
    assert "missing: cxr-mini" in ready.w.doctorLabel.text()
    assert "non-commercial" in ready.w.weightsLabel.text()
    nothing_is_cut_off(ready)


def test_a_preview_is_shown_while_it_runs(ready: Stage, pictures: Path) -> None:
    ready.w.runButton.click()
    path = pictures / "preview-of-a-run.png"
    picture = qt.QPixmap(800, 300)
    picture.fill(qt.QColor(10, 200, 30))
    assert picture.save(str(path))
    ready.runs.tell(Hello(1, "0.1.0", "cpu"), Preview(path))
    image = shoot(ready, pictures / "preview.png")
    path.unlink()
    (pictures / "preview.png").unlink()
    assert (10, 200, 30) in colours(image)
    assert ready.w.previewLabel.pixmap().width() <= WIDTH
    ready.runs.tell(Preview(path))
    assert not ready.w.previewLabel.isVisible(), "a picture that is gone is not shown"


def test_a_healthy_answer_without_facts_keeps_the_own_list(stage: Stage) -> None:
    stage.widget.enter()
    stage.questions.end(replace(End(0), document={"checks": []}))
    assert stage.w.findingBox.count() > 10
