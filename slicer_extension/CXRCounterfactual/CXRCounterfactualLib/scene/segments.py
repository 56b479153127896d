# SPDX-License-Identifier: Apache-2.0
"""Masks as Slicer segments: made from arrays, shown as outlines, drawn ones written for a run.

In and out: HxW bool arrays on the source's grid, and segmentation nodes of the same scene.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..refused import Refused
from . import pictures
from .codes import EDITED, SEGMENTS, Coded, terminology
from .hierarchy import nodes, place_beside

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[Any]

PREVIEW = "CXRCF.preview"  # attribute of the one segmentation that shows a region before a run


def add_masks(scene: Any, source: Any, masks: "Mapping[str, Mask]", name: str) -> Any:
    """A segmentation of arrays, coded and coloured as the runner's SEG is; empty ones left out.

    Args:
        source: the volume whose grid the masks lie on.
        masks: names of ``codes.SEGMENTS`` -> HxW.
        name: of the new node.

    Raises:
        Refused: a mask of another shape.
    """
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    put_masks(node, source, masks)
    place_beside(scene, node, source)
    return node


def put_masks(node: Any, source: Any, masks: "Mapping[str, Mask]") -> None:
    """Replace all segments of a node by arrays; see ``add_masks``."""
    node.GetSegmentation().RemoveAllSegments()
    node.SetAndObserveTransformNodeID(source.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(source)
    for name, mask in masks.items():
        if mask.shape != pictures.shape(source):
            raise Refused(
                f"The {name.replace('_', ' ')} mask is {mask.shape[0]} x {mask.shape[1]} pixels, "
                f"the radiograph {pictures.shape(source)[0]} x {pictures.shape(source)[1]}.",
                "Load the radiograph anew from its DICOM file and run again.",
            )
        if mask.any():
            _add_segment(node, source, mask, name)
    show_outlines(node)


def _add_segment(node: Any, source: Any, mask: "Mask", name: str) -> None:
    from slicer import vtkSegment

    coded: Coded = SEGMENTS[name]
    rgb = [channel / 255 for channel in coded.rgb]
    image = _labelmap(mask, source)
    made = node.AddSegmentFromBinaryLabelmapRepresentation(image, coded.label, rgb, name)
    segment = node.GetSegmentation().GetSegment(made)
    segment.SetTag(vtkSegment.GetTerminologyEntryTagName(), terminology(coded))


def _labelmap(mask: "Mask", source: Any) -> Any:
    """A mask as Slicer's oriented image on the source's grid."""
    import vtk
    from slicer import vtkOrientedImageData
    from vtk.util.numpy_support import vtk_to_numpy

    image, matrix = vtkOrientedImageData(), vtk.vtkMatrix4x4()
    image.SetDimensions(mask.shape[1], mask.shape[0], 1)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = mask.ravel() != 0
    source.GetIJKToRASMatrix(matrix)
    image.SetImageToWorldMatrix(matrix)
    return image


def show_outlines(node: Any) -> None:
    """Outlines, no fill; region and band are shown, organs can be switched on in Slicer's list."""
    node.CreateDefaultDisplayNodes()
    display, segmentation = node.GetDisplayNode(), node.GetSegmentation()
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(2)
    edited = {SEGMENTS[name].label for name in EDITED}
    for index in range(segmentation.GetNumberOfSegments()):
        identifier = segmentation.GetNthSegmentID(index)
        name = segmentation.GetNthSegment(index).GetName()
        display.SetSegmentVisibility(identifier, name in edited)


def mask_of(node: Any, segment_id: str, source: Any) -> "Mask":
    """One segment, drawn or loaded, as HxW bool on the source's grid; the scene is not touched.

    Raises:
        Refused: the segment has no picture on that grid, or lies under another transform.
    """
    import numpy as np
    from slicer import vtkOrientedImageData, vtkOrientedImageDataResample
    from slicer import vtkSlicerSegmentationsModuleLogic as Logic

    if node.GetTransformNodeID() != source.GetTransformNodeID():
        raise Refused(
            "The segmentation and the radiograph are under different transforms.",
            "Put both under the same transform, or under none.",
        )
    node.CreateBinaryLabelmapRepresentation()  # a segment may have been made from a surface
    drawn, on_grid = vtkOrientedImageData(), vtkOrientedImageData()
    grid = _labelmap(np.zeros(pictures.shape(source), bool), source)
    read = Logic.GetSegmentBinaryLabelmapRepresentation(node, segment_id, drawn, False)
    resample = vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
    if not read or not resample(drawn, grid, on_grid):
        raise Refused("The segment cannot be read on the radiograph's grid.",
                      "Draw it with the radiograph as source volume.")  # fmt: skip
    # Segments that do not overlap share one picture, each with a value of its own.
    value = node.GetSegmentation().GetSegment(segment_id).GetLabelValue()
    mask: Mask = pictures.of_image(on_grid) == value
    return mask


def region_to_file(node: Any, segment_id: str, source: Any, path: str | Path) -> str:
    """Write a drawn segment for a run's ``roi``: 8-bit PNG, 255 inside, on the source's grid.

    Args:
        node: the user's segmentation.
        segment_id: which of its segments.
        source: the radiograph's volume node.
        path: a new file that ends in ``.png``.

    Raises:
        Refused: no such segment, or none of it lies on the radiograph.
    """
    segmentation = node.GetSegmentation()
    if segmentation.GetSegment(segment_id) is None:
        raise Refused("The chosen segment is gone.", "Choose another, or use the automatic region.")
    mask = mask_of(node, segment_id, source)
    if not mask.any():
        raise Refused(
            "The drawn region has no pixel on the radiograph.",
            "Draw it in Segment Editor with the radiograph as source volume.",
        )
    _write_png(mask, Path(path))
    return str(path)


def _write_png(mask: "Mask", path: Path) -> None:
    """VTK counts rows from the bottom, a picture file from the top."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    image = vtk.vtkImageData()
    image.SetDimensions(mask.shape[1], mask.shape[0], 1)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = mask[::-1].ravel() * 255
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(image)
    writer.Write()


def show_region(scene: Any, source: Any, mask: "Mask") -> str:
    """Outline the region that an edit would act in; the same node is used again and again.

    Args:
        source: the radiograph's volume node.
        mask: HxW on its grid, non-zero inside.

    Returns:
        The segmentation node's id.
    """
    node = _preview(scene)
    if node is None:
        node = add_masks(scene, source, {"edit_region": mask}, "Region to be edited")
        node.SetAttribute(PREVIEW, "1")
    else:
        put_masks(node, source, {"edit_region": mask})
        place_beside(scene, node, source)
    node.GetDisplayNode().SetVisibility(True)
    return str(node.GetID())


def hide_region(scene: Any) -> None:
    """Take the outline off again: a run's own masks show where it acted."""
    node = _preview(scene)
    if node is not None:
        node.GetDisplayNode().SetVisibility(False)


def _preview(scene: Any) -> Any:
    """The segmentation that ``show_region`` made; None before its first call."""
    every = nodes(scene, "vtkMRMLSegmentationNode")
    return next((each for each in every if each.GetAttribute(PREVIEW)), None)


def add_empty(node: Any, name: str) -> str:
    """A segment to draw into; its id."""
    from slicer import vtkOrientedImageData, vtkSegment, vtkSegmentationConverter

    segment = vtkSegment()
    segment.SetName(name)
    kind = vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segment.AddRepresentation(kind, vtkOrientedImageData())
    node.GetSegmentation().AddSegment(segment)
    return str(node.GetSegmentation().GetSegmentIdBySegment(segment))
