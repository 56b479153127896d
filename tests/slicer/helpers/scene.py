# SPDX-License-Identifier: Apache-2.0
"""Scenes of slicer-core as the tests need them: colours, cache for scene files, slice views."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy


def new_scene(folder: Path) -> Any:
    """An empty scene that can read and write images and scene files."""
    scene = slicer.vtkMRMLScene()
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    (folder / "cache").mkdir(exist_ok=True)
    cache.SetRemoteCacheDirectory(str(folder / "cache"))
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)
    application, colours = slicer.vtkMRMLApplicationLogic(), slicer.vtkMRMLColorLogic()
    application.SetMRMLScene(scene)
    colours.SetMRMLScene(scene)
    application.SetModuleLogic("Colors", colours)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    _kept.append((scene, cache, manager, application, colours))
    return scene


_kept: list[tuple[Any, ...]] = []  # a scene does not own its logics


def application_logic(scene: Any) -> Any:
    """The application logic of a scene made here."""
    return next(kept[3] for kept in _kept if kept[0] is scene)


def load_image(scene: Any, files: list[str], name: str, options: int = 0) -> Any:
    """Image files as one volume by Slicer's own reader."""
    logic, listed = slicer.vtkSlicerVolumesLogic(), vtk.vtkStringArray()
    logic.SetMRMLScene(scene)
    logic.SetMRMLApplicationLogic(application_logic(scene))
    for path in files:
        listed.InsertNextValue(path)
    load = logic.AddArchetypeVolume if options else logic.AddArchetypeScalarVolume
    return load(files[0], name, options, listed)


def read_dicom(scene: Any, path: str, name: str, reader: str) -> Any:
    """A DICOM image as Slicer's scalar volume reader reads it by its own "GDCM" or "DCMTK"."""
    series = slicer.vtkITKArchetypeImageSeriesScalarReader()
    series.SetArchetype(path)
    series.AddFileName(path)
    series.SetSingleFile(0)
    series.SetOutputScalarTypeToNative()
    series.SetDesiredCoordinateOrientationToNative()
    series.SetUseNativeOriginOn()
    getattr(series, f"SetDICOMImageIOApproachTo{reader}")()
    plain = vtk.vtkImageChangeInformation()
    plain.SetInputConnection(series.GetOutputPort())
    plain.SetOutputSpacing(1, 1, 1)
    plain.SetOutputOrigin(0, 0, 0)
    plain.Update()
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAndObserveImageData(plain.GetOutput())
    node.SetRASToIJKMatrix(series.GetRasToIjkMatrix())
    node.CreateDefaultDisplayNodes()
    return node


def slice_pair(scene: Any, name: str) -> tuple[Any, Any]:
    """Composite node and slice node of a view, as a layout makes them."""
    classes = ("vtkMRMLSliceCompositeNode", "vtkMRMLSliceNode")
    composite, node = (scene.CreateNodeByClass(each) for each in classes)
    for each in (composite, node):
        each.UnRegister(None)
        each.SetSingletonTag(name)
        each.SetLayoutName(name)
        each.SetName(name)
        scene.AddNode(each)
    node.SetOrientationToAxial() if name == "Red" else node.SetOrientationToSagittal()
    return composite, node


def names(scene: Any) -> list[str]:
    """Every node's id, for before and after."""
    nodes = scene.GetNodes()
    return [nodes.GetItemAsObject(index).GetID() for index in range(nodes.GetNumberOfItems())]


def picture(volume: Any) -> Any:
    """HxW array of a one-slice volume, read independently of the module under test."""
    image = volume.GetImageData()
    columns, rows, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns)


def segment_arrays(node: Any, reference: Any) -> dict[str, Any]:
    """Segment name -> HxW bool on the grid of ``reference``, by Slicer's own export."""
    found, segmentation = {}, node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        label = node.GetScene().AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "look")
        identifier = segmentation.GetNthSegmentID(index)
        slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode(
            node, [identifier], label, reference
        )
        found[segmentation.GetNthSegment(index).GetName()] = picture(label) != 0
        node.GetScene().RemoveNode(label)
    return found


def save_and_open(scene: Any, path: Path) -> Any:
    """The scene as it is after it was saved as .mrb and opened again."""
    assert scene.WriteToMRB(str(path), None, None)
    opened = new_scene(path.parent)
    assert opened.ReadFromMRB(str(path), True, None)
    return opened


@dataclass
class Desk:
    """A scene, the application around it, and a radiograph loaded from the database."""

    scene: Any
    app: Any
    folder: Path

    def load(self, source: Path) -> Any:
        """Import a DICOM file and load it as the user would."""
        import pydicom

        inbox = Path(self.app.temp_folder())
        (inbox / "source.dcm").write_bytes(source.read_bytes())
        assert self.app.importDicom(str(inbox))
        series = str(pydicom.dcmread(source, stop_before_pixels=True).SeriesInstanceUID)
        nodes = map(self.scene.GetNodeByID, self.app.loadSeries([series]))
        (volume,) = [node for node in nodes if node.IsA("vtkMRMLScalarVolumeNode")]
        return volume


def open_desk(folder: Path) -> Iterator[Desk]:
    """A fresh scene with a database and three slice views; cleared afterwards."""
    from tests.slicer.standins.app import StandInApp

    scene = new_scene(folder)
    yield Desk(scene, StandInApp(scene, folder), folder)
    scene.Clear(1)
    _kept.clear()
    gc.collect()
