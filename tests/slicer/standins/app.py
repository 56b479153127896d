# SPDX-License-Identifier: Apache-2.0
"""Stands for the Slicer application behind ``SlicerApp``, around a scene of slicer-core.

Image files go through Slicer's own readers (vtkITK, vtkSlicerVolumesLogic), SEG through dcmqi with
the arguments that Slicer's DICOM segmentation reader gives it. The DICOM database is a folder and a
dictionary. Compared: which attributes, hierarchy items and references the readers leave.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import slicer
import vtk
from CXRCounterfactualLib.app_services import SliceView

from tests.slicer.scene import load_image, read_dicom, slice_pair

SINGLE_LABEL_FILE = 1 | 4  # options of vtkSlicerVolumesLogic: label map, single file
VIEWS = ("Red", "Yellow", "Green")
Terminologies = slicer.vtkSlicerTerminologiesModuleLogic


class StandInApp:
    """Same methods and signatures as ``SlicerApp``; a test compares them."""

    seg_reader = True  # False: as Slicer 5.10, which has no SEG reader
    reader = "GDCM"  # or DCMTK: a setting of Slicer, and what it falls back to

    def __init__(self, scene: Any, folder: Path) -> None:
        self._scene, self._folder = scene, folder
        self._known: dict[str, tuple[str, str]] = {}  # instance UID -> series UID, file
        self._settings: dict[str, str] = {}
        self._layout = int(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self._layout_changed: list[Callable[[], None]] = []
        self._views = [self._view(name) for name in VIEWS]
        self.errors: list[tuple[str, str]] = []
        self.edited: list[tuple[str, str]] = []  # what segment_editor was opened on

    def importDicom(self, folder: str) -> bool:
        kept = self._folder / "database"
        kept.mkdir(exist_ok=True)
        found = [path for path in sorted(Path(folder).rglob("*")) if path.suffix == ".dcm"]
        for path in found:
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            copy = kept / f"{len(list(kept.iterdir())):04d}.dcm"
            shutil.copyfile(path, copy)
            self._known[str(ds.SOPInstanceUID)] = (str(ds.SeriesInstanceUID), str(copy))
        return bool(found)

    def loadSeries(self, uids: list[str]) -> list[str]:
        before = {node.GetID() for node in self._all()}
        for wanted in uids:
            instances = [uid for uid, (series, _) in self._known.items() if series == wanted]
            files = [self._known[uid][1] for uid in instances]
            ds = pydicom.dcmread(files[0], stop_before_pixels=True)
            if ds.Modality == "SEG":
                self._load_segmentation(files[0], ds)
            else:
                self._load_volume(files, instances, ds)
        return [node.GetID() for node in self._all() if node.GetID() not in before]

    def load_file(self, path: str, name: str) -> str:
        return str(load_image(self._scene, [path], name).GetID())

    def files_for_instance(self, uid: str) -> list[str]:
        path = self._known.get(uid, ("", ""))[1]
        return [path] if path and Path(path).is_file() else []

    def instance_uids(self, node: Any) -> list[str]:
        return (node.GetAttribute("DICOM.instanceUIDs") or "").split()

    def set_layout(self, layout: int) -> None:
        self._layout = layout
        for callback in self._layout_changed:
            callback()

    def current_layout(self) -> int:
        return self._layout

    def on_layout_changed(self, callback: Callable[[], None]) -> None:
        self._layout_changed.append(callback)

    def slice_views(self) -> list[SliceView]:
        return list(self._views)

    def slice_viewer_layers(
        self, background: Any = None, foreground: Any = None, opacity: float | None = None
    ) -> None:
        for view in self._views:
            if background is not None:
                view.composite.SetBackgroundVolumeID(background)
            if foreground is not None:
                view.composite.SetForegroundVolumeID(foreground)
            if opacity is not None:
                view.composite.SetForegroundOpacity(opacity)

    def segment_editor(self, segmentation: Any, source: Any) -> None:
        self.edited.append((segmentation.GetID(), source.GetID()))

    def error(self, text: str, detail: str = "") -> None:
        self.errors.append((text, detail))

    def settings(self, key: str, default: str = "") -> str:
        return self._settings.get(key, default)

    def set_setting(self, key: str, value: str) -> None:
        self._settings[key] = value

    def temp_folder(self) -> str:
        number = sum(1 for _ in self._folder.glob("temporary-*"))
        made = self._folder / f"temporary-{number}"
        made.mkdir()
        return str(made)

    def startup_environment(self) -> dict[str, str]:
        import os

        return dict(os.environ)

    def slicer_python(self) -> str:
        return sys.executable

    def home(self) -> str:
        return str(self._folder / "home")

    def scene(self) -> Any:
        return self._scene

    def _view(self, name: str) -> SliceView:
        composite, node = slice_pair(self._scene, name)
        return SliceView(name, composite, node, vtk.vtkRenderer(), lambda: None, lambda: None)

    def _all(self) -> list[Any]:
        nodes = self._scene.GetNodes()
        return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]

    def _load_volume(self, files: list[str], instances: list[str], ds: Any) -> None:
        """As Slicer's scalar volume reader: window of the tags, instance UIDs, hierarchy."""
        name = str(ds.get("SeriesDescription", "image"))
        node = read_dicom(self._scene, files[0], name, self.reader)
        node.SetAttribute("DICOM.instanceUIDs", " ".join(instances))
        if ds.get("WindowWidth") is not None:
            node.GetDisplayNode().SetAutoWindowLevel(False)
            node.GetDisplayNode().SetWindowLevel(_first(ds.WindowWidth), _first(ds.WindowCenter))
        self._insert(node, ds)

    def _load_segmentation(self, path: str, ds: Any) -> None:
        """As Slicer's SEG reader: dcmqi, one label map a group, codes and colours, geometry."""
        if not self.seg_reader:
            return
        out = Path(self.temp_folder())
        program = Path(sys.executable).with_name("segimage2itkimage")
        words = ["--inputDICOM", path, "--outputDirectory", str(out), "--mergeSegments"]
        done = subprocess.run([str(program), *words], capture_output=True, text=True, check=False)
        if done.returncode:
            return
        node = self._scene.AddNewNodeByClass("vtkMRMLSegmentationNode", str(ds.SeriesDescription))
        node.CreateDefaultDisplayNodes()
        groups = json.loads((out / "meta.json").read_text())["segmentAttributes"]
        for number, group in enumerate(groups, 1):
            self._import_group(node, str(out / f"{number}.nrrd"), group)
        self._insert(node, ds)
        self._refer(node, str(ds.ReferencedSeriesSequence[0].SeriesInstanceUID))
        node.SetAttribute("DICOM.instanceUIDs", str(ds.SOPInstanceUID))

    def _import_group(self, node: Any, path: str, group: list[dict[str, Any]]) -> None:
        label = load_image(self._scene, [path], "group", SINGLE_LABEL_FILE)
        segmentation = node.GetSegmentation()
        first = segmentation.GetNumberOfSegments()
        slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(label, node)
        for index, told in enumerate(group, first):
            segment = segmentation.GetNthSegment(index)
            segment.SetName(told["SegmentLabel"])
            segment.SetColor([channel / 255 for channel in told["recommendedDisplayRGBValue"]])
            segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), _terminology(told))
        self._scene.RemoveNode(label.GetDisplayNode())
        self._scene.RemoveNode(label)

    def _insert(self, node: Any, ds: Any) -> None:
        tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        item = tree.CreateItem(tree.GetSceneItemID(), node)
        tree.SetItemUID(item, "DICOM", str(ds.SeriesInstanceUID))
        slicer.vtkSlicerSubjectHierarchyModuleLogic.InsertDicomSeriesInHierarchy(
            tree, str(ds.PatientID), str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID)
        )

    def _refer(self, node: Any, series_uid: str) -> None:
        """The grid is that of the referenced series, if it is loaded in the same study."""
        tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        item = tree.GetItemByUID("DICOM", series_uid)
        if item and tree.GetItemParent(item) == tree.GetItemParent(tree.GetItemByDataNode(node)):
            node.SetReferenceImageGeometryParameterFromVolumeNode(tree.GetItemDataNode(item))


def _first(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float(value[0])


def _terminology(told: dict[str, Any]) -> str:
    def code(name: str) -> list[str]:
        item = told.get(f"{name}CodeSequence", {})
        return [item.get(key, "") for key in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")]

    kinds = ("SegmentedPropertyCategory", "SegmentedPropertyType", "SegmentedPropertyTypeModifier")
    codes = [word for kind in kinds for word in code(kind)]
    context = "Segmentation category and type - DICOM master list"
    region = "Anatomic codes - DICOM master list"
    return str(Terminologies.SerializeTerminologyEntry(context, *codes, region, *[""] * 6))
