# SPDX-License-Identifier: Apache-2.0
"""The module as Slicer sees it: description, import, life of the widget, sample, self test."""

import subprocess
import sys
import unittest
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest
import slicer

from tests.slicer.helpers.panel import Stage, close_stage, load_module, open_stage, ready, stage
from tests.slicer.helpers.scene import Desk, open_desk, save_and_open
from tests.slicer.standins import widgets

__all__ = ["ready", "stage"]
IMPORT_BAR = 0.3  # seconds of work, whoever else uses the machine; slicer-core is loaded before
FRESH = 5  # processes; the median counts
IMPORT = """
import sys, time
import qt, slicer, vtk
from types import SimpleNamespace
from tests.slicer.standins import scripted
sys.modules["slicer.ScriptedLoadableModule"] = scripted
before, start = set(sys.modules), time.process_time()
import CXRCounterfactual
print(time.process_time() - start, *{n.partition(".")[0] for n in set(sys.modules) - before})
"""


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    """An empty scene."""
    yield from open_desk(tmp_path)


def test_import_is_fast_and_loads_nothing_heavy(
    root: Path, record_property: Callable[[str, object], None]
) -> None:
    module = root / "slicer_extension" / "CXRCounterfactual"
    paths = [str(root), str(module), str(root / "tests" / "slicer" / "standins")]
    script = f"import sys; sys.path[:0] = {paths!r}\n{IMPORT}"
    took = []
    for _ in range(FRESH):
        done = subprocess.run(
            [sys.executable, "-c", script], check=True, capture_output=True, text=True
        )
        seconds, *loaded = done.stdout.split()
        took.append(float(seconds))
        assert not {"numpy", "pydicom", "torch", "monai", "highdicom", "ctk"} & set(loaded)
    record_property("import_s", round(median(took), 3))
    assert median(took) < IMPORT_BAR


def test_the_stand_in_hears_the_scenes_own_events() -> None:
    scene = slicer.vtkMRMLScene
    assert scene.NodeAddedEvent == widgets.NODE_ADDED
    assert scene.NodeRemovedEvent == widgets.NODE_REMOVED
    assert scene.EndCloseEvent == widgets.END_CLOSE


def test_the_module_describes_itself(desk: Desk) -> None:
    parent = SimpleNamespace()
    load_module(desk).CXRCounterfactual(parent)
    assert parent.title == "CXR Counterfactual"
    assert parent.categories
    assert parent.dependencies == []
    assert "never for diagnosis" in parent.helpText
    assert "does not contain geometry information" in parent.helpText


def test_the_sample_is_registered_and_loads(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    module, told = load_module(desk), {}
    logic = SimpleNamespace(registerCustomSampleDataSource=lambda **words: told.update(words))
    monkeypatch.setitem(sys.modules, "SampleData", SimpleNamespace(SampleDataLogic=logic))
    module.register_sample()
    assert Path(told["thumbnailFileName"]).is_file()
    node = module.CXRCounterfactualLogic(desk.app).load_sample()
    assert node.GetImageData().GetDimensions() == (384, 384, 1)
    assert callable(told["customDownloader"])


def test_the_self_test_runs_and_passes(desk: Desk) -> None:
    module = load_module(desk)

    class Test(module.CXRCounterfactualTest):  # type: ignore[name-defined,misc]
        application = staticmethod(lambda: desk.app)

    outcome = unittest.TestResult()
    Test().run(outcome)
    assert outcome.testsRun == 1
    assert not outcome.errors + outcome.failures, (outcome.errors + outcome.failures)[0][1]


def test_the_self_test_can_fail(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load_module(desk)

    class Test(module.CXRCounterfactualTest):  # type: ignore[name-defined,misc]
        application = staticmethod(lambda: desk.app)

    from CXRCounterfactualLib.refused import Refused
    from CXRCounterfactualLib.scene import results

    def refuse(*words: Any, **more: Any) -> None:
        raise Refused("Not today.")

    monkeypatch.setattr(results, "add_results", refuse)
    outcome = unittest.TestResult()
    Test().run(outcome)
    assert outcome.failures


def test_a_saved_scene_brings_its_settings_back(ready: Stage, tmp_path: Path) -> None:
    ready.w.findingBox.setCurrentIndex(ready.w.findingBox.findData("nodule"))
    ready.w.seedsEdit.setText("7")
    before = ready.session.read()[0]
    opened = save_and_open(ready.desk.scene, tmp_path / "scene.mrb")
    from tests.slicer.standins.app import StandInApp

    again = open_stage(Desk(opened, StandInApp(opened, tmp_path), tmp_path))
    again.widget.enter()
    assert again.session.read()[0] == before
    assert again.session.source.GetName() == ready.session.source.GetName()
    close_stage(again)
    slicer.mrmlScene = ready.desk.scene


def test_leaving_the_module_gives_the_views_back(ready: Stage) -> None:
    layout = ready.desk.app.current_layout()
    ready.w.runButton.click()
    from tests.slicer.helpers.panel import rehearsed, wait_for

    ready.runs.tell(rehearsed(ready))
    wait_for(ready, "Done")
    assert ready.desk.app.current_layout() != layout
    ready.widget.exit()
    assert ready.desk.app.current_layout() == layout


def test_reloading_the_module_stops_everything(ready: Stage) -> None:
    session = ready.session
    ready.w.runButton.click()
    folder = session.runner.out.parent
    ready.runs.command = None  # as killed by close()
    ready.widget.cleanup()
    assert ready.runs.closed
    assert ready.questions.closed
    assert not folder.exists()
    assert ready.widget.session is None
    ready.desk.scene.Clear(0)  # nobody listens any more
