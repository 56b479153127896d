# SPDX-License-Identifier: Apache-2.0
"""A user's DICOM Segmentation into named masks on the source's grid (``--masks``, ``--roi``).

In: a SEG file drawn over the source, e.g. in Slicer. Out: HxW bool masks under our names, matched
by coded concepts, else by label. Nothing is resampled: a SEG of another image or grid is refused.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian

from monai_cxr_cf.dicom import codes
from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.seg_plane import seg_turn
from monai_cxr_cf.dicom.turn import Turn
from monai_cxr_cf.errors import BadRequest, CxrError, UnreadableInput

SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # SEG, LABELMAP
MAX_FRAMES = 64
_REDRAW = "Draw the masks on the source image itself and export them without cropping."


def read_segmentation(path: Path, radiograph: Radiograph) -> dict[str, NDArray[np.bool_]]:
    """The masks of a SEG file on the grid of ``radiograph``.

    A segment takes our name (``right_lung``, ``heart``, ``edit_region``, ...) if its codes or its
    label say so; any other keeps its label in snake case.

    Returns:
        Name -> HxW bool, in segment order.

    Raises:
        UnreadableInput: not a DICOM Segmentation, damaged, or its pixels do not decode.
        BadRequest: drawn on another image or grid, FRACTIONAL, or one name twice.
    """
    try:
        return _masks(path, radiograph)
    except (CxrError, MemoryError):
        raise
    except Exception as error:  # pydicom's converters raise many types on hostile bytes
        raise UnreadableInput(
            "The segmentation's header lacks something or cannot be parsed.",
            code="mask_damaged",
            hint="Export the segmentation again.",
        ) from error


def _masks(path: Path, radiograph: Radiograph) -> dict[str, NDArray[np.bool_]]:
    ds = _open(path)
    turn = _check(ds, radiograph)
    frames = radiograph.turn.apply(turn.apply(_frames(ds)))
    masks: dict[str, NDArray[np.bool_]] = {}
    for segment in ds.SegmentSequence:
        number = int(segment.SegmentNumber)
        if ds.SegmentationType == "LABELMAP" and number == 0:
            continue  # background of a label map
        name = segment_name(segment)
        if name in masks:
            raise BadRequest(
                f"The segmentation holds two segments that mean {name}.",
                code="mask_twice",
                hint="Merge or rename one of them.",
            )
        masks[name] = _mask(ds, frames, number)
    return masks


def segment_name(segment: Dataset) -> str:
    """Our name of a segment, by its codes, else by its label."""
    label = re.sub(r"[^a-z0-9]+", "_", str(segment.get("SegmentLabel", "")).lower()).strip("_")
    if label in codes.SEGMENTS:
        return label
    kind = _code(segment, "SegmentedPropertyTypeCodeSequence")
    side = _side(segment)
    if kind in codes.RIGHT_LUNG_CODES or (kind in codes.LUNG_CODES and side == "right"):
        return "right_lung"
    if kind in codes.LEFT_LUNG_CODES or (kind in codes.LUNG_CODES and side == "left"):
        return "left_lung"
    if kind in codes.HEART_CODES:
        return "heart"
    if kind in codes.TRACHEA_CODES:
        return "trachea"
    if kind in codes.CLAVICLE_CODES and side:
        return f"{side}_clavicle"
    swapped = "_".join(reversed(label.split("_")))  # "lung left"
    return swapped if swapped in codes.SEGMENTS else label or f"segment_{segment.SegmentNumber}"


def _open(path: Path) -> Dataset:
    """A SEG data set, judged from its header before pixels are touched."""
    wrong = UnreadableInput(
        "The masks are not a DICOM Segmentation.",
        code="not_a_segmentation",
        hint="Give a DICOM SEG, NRRD, NIfTI, PNG or JPEG file.",
    )
    try:
        with withheld():
            head = dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
            deflated = head.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
            if head.get("SOPClassUID") not in SEG_CLASSES or deflated:
                raise wrong
            return dcmread(path)
    except (InvalidDicomError, OSError, AttributeError, EOFError) as error:
        raise wrong from error


def _check(ds: Dataset, radiograph: Radiograph) -> Turn:
    """Refuse masks of another image; else the turn from their frames to the source as stored."""
    grid = (int(ds.get("Rows", 0)), int(ds.get("Columns", 0)))
    shape = radiograph.turn.pair(radiograph.shape)
    if sorted(grid) != sorted(shape):
        raise BadRequest(
            f"The masks are {grid[0]} x {grid[1]}; the source is "
            f"{shape[0]} x {shape[1]} (rows x columns).",
            code="mask_grid",
            hint=_REDRAW,
        )
    referenced = _referenced(ds)
    other = bool(referenced) and radiograph.source_sop_uid not in referenced
    if other and radiograph.header is not None:
        raise BadRequest(
            "The masks refer to another image than the source.",
            code="mask_of_other_image",
            hint=_REDRAW,
        )
    if ds.get("SegmentationType") not in ("BINARY", "LABELMAP"):
        raise BadRequest("The masks are FRACTIONAL; expected BINARY or LABELMAP.", code="mask_kind")
    if not 1 <= int(ds.get("NumberOfFrames", 1)) <= MAX_FRAMES:
        raise BadRequest(f"The masks have no frames or more than {MAX_FRAMES}.", code="mask_frames")
    turn = seg_turn(ds, radiograph)
    if turn.pair(shape) != grid:
        raise BadRequest(
            f"The masks are {grid[0]} x {grid[1]}; the source is {shape[0]} x {shape[1]} (rows x "
            "columns), and their plane does not say that the two are swapped.",
            code="mask_grid",
            hint=_REDRAW,
        )
    return turn


def _referenced(ds: Dataset) -> set[str]:
    return {
        str(instance.ReferencedSOPInstanceUID)
        for series in ds.get("ReferencedSeriesSequence", ())
        for instance in series.get("ReferencedInstanceSequence", ())
    }


def _frames(ds: Dataset) -> NDArray[np.uint8]:
    """FxHxW frames as stored."""
    try:
        with withheld():
            pixels = np.asarray(ds.pixel_array)
    except (AttributeError, ValueError, RuntimeError, NotImplementedError) as error:
        raise UnreadableInput(
            "The pixels of the masks do not decode.", code="mask_pixels",
            hint="Export the segmentation uncompressed.",
        ) from error  # fmt: skip
    return pixels if pixels.ndim == 3 else pixels[np.newaxis]


def _mask(ds: Dataset, frames: NDArray[np.uint8], number: int) -> NDArray[np.bool_]:
    """HxW bool of one segment; a segment without a frame is empty."""
    if ds.SegmentationType == "LABELMAP":
        return np.asarray((frames == number).any(axis=0))
    mask = np.zeros(frames.shape[1:], dtype=bool)
    shared = ds.get("SharedFunctionalGroupsSequence", [Dataset()])[0]
    for index, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        holder = group if "SegmentIdentificationSequence" in group else shared
        if int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber) == number:
            mask |= frames[index] > 0
    return mask


def _side(segment: Dataset) -> str:
    kind = segment.get("SegmentedPropertyTypeCodeSequence", [Dataset()])[0]
    modifier = _code(kind, "SegmentedPropertyTypeModifierCodeSequence")
    if modifier in codes.RIGHT_CODES:
        return "right"
    return "left" if modifier in codes.LEFT_CODES else ""


def _code(ds: Dataset, keyword: str) -> tuple[str, str]:
    """(scheme, value) of the first item of a code sequence; empty strings if there is none."""
    items = ds.get(keyword) or [Dataset()]
    return str(items[0].get("CodingSchemeDesignator", "")), str(items[0].get("CodeValue", ""))
