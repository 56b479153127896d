# SPDX-License-Identifier: Apache-2.0
"""The calls into the application: the stand-in has the same, and Slicer's helpers take ours."""

import ast
import inspect
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import CXRCounterfactualLib
import pytest
import slicer
import vtk
from CXRCounterfactualLib.scene.app_services import SlicerApp

from tests.slicer.helpers.scene import Desk, application_logic
from tests.slicer.standins.app import StandInApp

FOLDER = Path(CXRCounterfactualLib.__file__).parent
ALLOWED = "app_services.py"


def public(kind: type) -> dict[str, inspect.Signature]:
    """Public methods by name."""
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: inspect.signature(each) for name, each in found if name[0] != "_"}


def calls_of_util() -> list[ast.Call]:
    """Every ``slicer.util.X(...)`` of the services."""
    tree = ast.parse((FOLDER / "scene" / ALLOWED).read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Attribute)]
    return [call for call in named if ast.unparse(call.func.value) == "slicer.util"]


def test_the_stand_in_has_the_same_methods_with_the_same_signatures() -> None:
    assert public(StandInApp) == public(SlicerApp)


@pytest.mark.parametrize("call", calls_of_util(), ids=lambda call: call.func.attr)
def test_slicers_own_helpers_take_the_arguments_we_give(call: ast.Call) -> None:
    helper = getattr(slicer.util, call.func.attr)
    words = {keyword.arg: None for keyword in call.keywords if keyword.arg}
    bound = inspect.signature(helper).bind(*([None] * len(call.args)), **words)
    assert bound.args or bound.kwargs or not call.args


def test_no_other_file_calls_the_application() -> None:
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and path.name != ALLOWED:
                text = ast.unparse(node)
                assert not text.startswith(("slicer.app", "slicer.util", "slicer.modules")), path
                assert not text.startswith(("slicer.mrmlScene", "slicer.dicomDatabase")), path


class Manager:
    """Stands for qSlicerLayoutManager: one slice view, a layout, and a signal when it changes."""

    def __init__(self, scene: Any) -> None:
        self.layout, self.logic = 4, slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application_logic(scene))
        self.logic.SetMRMLScene(scene)
        self.logic.AddSliceNode("Blue")
        self.window, self.renderer = vtk.vtkRenderWindow(), vtk.vtkRenderer()
        self.window.AddRenderer(self.renderer)
        self.listeners: list[Any] = []
        self.layoutChanged = SimpleNamespace(connect=self.listeners.append)

    def setLayout(self, layout: int) -> None:
        self.layout = layout
        for listener in self.listeners:
            listener(layout)

    def sliceViewNames(self) -> tuple[str, ...]:
        return ("Blue",)

    def sliceWidget(self, name: str) -> Any:
        view = SimpleNamespace(renderWindow=lambda: self.window, scheduleRender=self.window.GetSize)
        return SimpleNamespace(sliceLogic=lambda: self.logic, sliceView=lambda: view)


class Database:
    """Stands for ctkDICOMDatabase: instance UID -> file, empty text for an unknown one."""

    isOpen = True

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files

    def fileForInstance(self, uid: str) -> str:
        return self.files.get(uid, "")


def application(monkeypatch: pytest.MonkeyPatch, **attributes: Any) -> None:
    """Give ``slicer`` what only the application has."""
    for name, value in attributes.items():
        monkeypatch.setattr(slicer, name, value, raising=False)


def test_views_and_layouts_come_from_the_layout_manager(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager, app, changes = Manager(desk.scene), SlicerApp(), []
    application(monkeypatch, app=SimpleNamespace(layoutManager=lambda: manager))
    app.on_layout_changed(lambda: changes.append(app.current_layout()))
    app.set_layout(29)
    assert (app.current_layout(), changes) == (29, [29])
    (view,) = app.slice_views()
    assert (view.name, view.node.GetLayoutName()) == ("Blue", "Blue")
    assert view.composite.IsA("vtkMRMLSliceCompositeNode")
    assert view.renderer is manager.renderer
    view.fit()
    view.render()


def test_without_a_main_window_there_are_no_views(monkeypatch: pytest.MonkeyPatch) -> None:
    application(monkeypatch, app=SimpleNamespace(layoutManager=lambda: None))
    app = SlicerApp()
    app.on_layout_changed(lambda: None)
    assert app.slice_views() == []


def test_only_files_that_are_there_are_found_for_an_instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.dcm").touch()
    database = Database({"1.2": str(tmp_path / "one.dcm"), "1.3": str(tmp_path / "gone.dcm")})
    app = SlicerApp()
    application(monkeypatch, dicomDatabase=None)
    assert app.files_for_instance("1.2") == []
    application(monkeypatch, dicomDatabase=database)
    assert app.files_for_instance("1.2") == [str(tmp_path / "one.dcm")]
    assert app.files_for_instance("1.3") == app.files_for_instance("1.4") == []
    database.isOpen = False
    assert app.files_for_instance("1.2") == []


def test_import_copies_and_loading_names_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def importDicom(dicomDataDir: str, dicomDatabase: Any = None, copyFiles: bool = False) -> bool:
        asked.append((dicomDataDir, dicomDatabase, copyFiles))
        return dicomDataDir == "good"

    def loadSeriesByUID(
        seriesUIDs: list[str], messages: Any = None, progressCallback: Any = None
    ) -> list[str] | None:
        return ["vtkMRMLScalarVolumeNode1"] if seriesUIDs == ["1.2"] else None

    utils = SimpleNamespace(importDicom=importDicom, loadSeriesByUID=loadSeriesByUID)
    monkeypatch.setitem(sys.modules, "DICOMLib", SimpleNamespace(DICOMUtils=utils))
    app = SlicerApp()
    assert (app.importDicom("good"), app.importDicom("bad")) == (True, False)
    assert asked == [("good", None, True), ("bad", None, True)]
    assert app.loadSeries(["1.2"]) == ["vtkMRMLScalarVolumeNode1"]
    assert app.loadSeries(["1.3"]) == []


def test_a_file_is_loaded_alone_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def loadVolume(filename: str, properties: dict[str, Any]) -> Any:
        asked.append((filename, properties))
        return SimpleNamespace(GetID=lambda: "vtkMRMLScalarVolumeNode7")

    monkeypatch.setattr(slicer.util, "loadVolume", loadVolume)
    assert SlicerApp().load_file("/x/1.dcm", "name") == "vtkMRMLScalarVolumeNode7"
    assert asked == [("/x/1.dcm", {"name": "name", "singleFile": True, "show": False})]


def test_an_environment_of_our_own_lies_beside_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    application(monkeypatch, app=SimpleNamespace(slicerUserSettingsFilePath="/home/me/S/S.ini"))
    assert SlicerApp().home() == "/home/me/S/CXRCounterfactual"
    assert Path(SlicerApp().slicer_python()).is_file()


def test_a_setting_is_kept_under_the_modules_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt

    store = qt.QSettings(str(tmp_path / "settings.ini"), qt.QSettings.IniFormat)
    monkeypatch.setattr(qt, "QSettings", lambda: store)
    app = SlicerApp()
    assert app.settings("python", "none") == "none"
    app.set_setting("python", "/opt/cxr/bin/python")
    assert app.settings("python", "none") == "/opt/cxr/bin/python"
    assert store.allKeys() == ["CXRCounterfactual/python"]
