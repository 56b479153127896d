# SPDX-License-Identifier: Apache-2.0
"""Stands for Slicer's DICOM database and its two readers that matter here.

The database is a folder and a dictionary. Images go through Slicer's own readers (vtkITK), SEG
through dcmqi with the arguments that Slicer's DICOM segmentation reader gives it. Compared: which
attributes, hierarchy items and references the readers leave.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pydicom
import slicer

from tests.slicer.helpers.scene import load_image, read_dicom

SINGLE_LABEL_FILE = 1 | 4  # options of vtkSlicerVolumesLogic: label map, single file


class Database:
    """Stands for ctkDICOMDatabase and DICOMUtils: import by folder, load by series."""

    seg_reader = True  # False: as Slicer 5.10, which has no SEG reader
    reader = "GDCM"  # or DCMTK: a setting of Slicer, and what it falls back to

    def __init__(self, scene: Any, folder: Path) -> None:
        self._scene, self._kept = scene, folder / "database"
        self._known: dict[str, tuple[str, str]] = {}  # instance UID -> series UID, file

    def take(self, folder: str) -> bool:
        """Copy a folder's DICOM files; True as Slicer's, which tells failures by exception."""
        self._kept.mkdir(exist_ok=True)
        for path in sorted(Path(folder).rglob("*.dcm")):
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            copy = self._kept / f"{len(list(self._kept.iterdir())):04d}.dcm"
            shutil.copyfile(path, copy)
            self._known[str(ds.SOPInstanceUID)] = (str(ds.SeriesInstanceUID), str(copy))
        return True

    def files(self, uid: str) -> list[str]:
        """Where an instance lies; empty if unknown or gone."""
        path = self._known.get(uid, ("", ""))[1]
        return [path] if path and Path(path).is_file() else []

    def load(self, series_uid: str) -> None:
        """Load a series as Slicer's reader of most confidence would."""
        instances = [uid for uid, (series, _) in self._known.items() if series == series_uid]
        files = [self._known[uid][1] for uid in instances]
        ds = pydicom.dcmread(files[0], stop_before_pixels=True)
        if ds.Modality != "SEG":
            self._load_volume(files, instances, ds)
        elif self.seg_reader:
            self._load_segmentation(files[0], ds)

    def _load_volume(self, files: list[str], instances: list[str], ds: Any) -> None:
        """As the scalar volume reader: window of the tags, instance UIDs, hierarchy."""
        name = str(ds.get("SeriesDescription", "image"))
        node = read_dicom(self._scene, files[0], name, self.reader)
        node.SetAttribute("DICOM.instanceUIDs", " ".join(instances))
        if ds.get("WindowWidth") is not None:
            node.GetDisplayNode().SetAutoWindowLevel(False)
            node.GetDisplayNode().SetWindowLevel(_first(ds.WindowWidth), _first(ds.WindowCenter))
        self._insert(node, ds)

    def _load_segmentation(self, path: str, ds: Any) -> None:
        """As the SEG reader: dcmqi, one label map a group, codes and colours, geometry."""
        out = Path(tempfile.mkdtemp(dir=self._kept.parent))
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
    logic = slicer.vtkSlicerTerminologiesModuleLogic
    return str(logic.SerializeTerminologyEntry(context, *codes, region, *[""] * 6))
