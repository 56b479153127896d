# SPDX-License-Identifier: Apache-2.0
"""A SEG lies on its source by the plane it states: the carrier's, the source's own, or turned."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import pack_bits

from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_radiograph
from monai_cxr_cf.dicom.seg_read import read_segmentation
from monai_cxr_cf.dicom.writing.plan import plan_output
from monai_cxr_cf.dicom.writing.seg import write_segmentation
from monai_cxr_cf.errors import BadRequest
from tests.dicom.factory import Spec, save
from tests.dicom.written import RECORD

ROWS, COLUMNS, MM = 120, 96, 0.2
HEART = np.zeros((ROWS, COLUMNS), bool)
HEART[60:90, 50:80] = True
AXIAL, FRONTAL = [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1]
WIDE, HIGH = (COLUMNS - 1) * MM, (ROWS - 1) * MM
OWN = {"ImageOrientationPatient": FRONTAL, "ImagePositionPatient": [-9.0, 5.0, 200.0]}
OWN_AXIAL = {"ImageOrientationPatient": AXIAL, "ImagePositionPatient": [5.0, 6.0, 7.0]}
ANOTHER, NEITHER = "another plane than the source", "neither on the plane that the source states"


def as_is(frame: Any) -> Any:
    """The frame as the source stores it."""
    return frame


def mirrored(frame: Any) -> Any:
    """Columns from the right."""
    return frame[:, ::-1]


def turned(frame: Any) -> Any:
    """By 180 degrees."""
    return frame[::-1, ::-1]


def swapped(frame: Any) -> Any:
    """Columns as rows."""
    return frame.T


def source(folder: Path, **extra: Any) -> Radiograph:
    """A CR with what its header states of a plane."""
    path = save(folder / "source.dcm", Spec(sop="CR", rows=ROWS, columns=COLUMNS).with_(**extra))
    return read_radiograph(path, options=ReadOptions())


def drawn(radiograph: Radiograph, folder: Path, frame: Any, plane: Any) -> Path:
    """A SEG of the heart whose one frame and plane are replaced; a None plane is deleted."""
    stored = radiograph.as_stored()
    seg = write_segmentation(plan_output(stored, (), record=RECORD), {"heart": HEART}, folder).path
    ds = dcmread(seg)
    ds.Rows, ds.Columns = frame.shape
    ds.PixelData = pack_bits(np.ascontiguousarray(frame).astype(np.uint8)[None])
    groups = [*ds.SharedFunctionalGroupsSequence, *ds.PerFrameFunctionalGroupsSequence]
    for group in groups:
        for name in ("PlaneOrientationSequence", "PlanePositionSequence"):
            group.pop(name, None)
    if plane is not None:
        orientation, position = Dataset(), Dataset()
        orientation.ImageOrientationPatient, position.ImagePositionPatient = plane
        groups[0].PlaneOrientationSequence = [orientation]
        groups[-1].PlanePositionSequence = [position]
    ds.save_as(seg)
    return seg


# name -> (what the source states, the SEG's frame, its plane; words of the refusal or None)
PLANES: dict[str, tuple[dict[str, Any], Any, Any, str | None]] = {
    "the carrier": ({}, as_is, (AXIAL, [0, 0, 0]), None),
    "no plane": ({}, as_is, None, None),
    "no plane, source has one": (OWN, as_is, None, None),
    "the carrier, source has one": (OWN, as_is, (AXIAL, [0, 0, 0]), None),
    "the source's own": (OWN, as_is, (FRONTAL, [-9, 5, 200]), None),
    "its own, a hair off": (OWN, as_is, (FRONTAL, [-9.01, 5.01, 200.02]), None),
    "its own axial one": (OWN_AXIAL, as_is, (AXIAL, [5, 6, 7]), None),
    "the carrier, source axial": (OWN_AXIAL, as_is, (AXIAL, [0, 0, 0]), None),
    "carrier, mirrored": ({}, mirrored, ([-1, 0, 0, 0, 1, 0], [WIDE, 0, 0]), None),
    "carrier, turned": ({}, turned, ([-1, 0, 0, 0, -1, 0], [WIDE, HIGH, 0]), None),
    "carrier, swapped": ({}, swapped, ([0, 1, 0, 1, 0, 0], [0, 0, 0]), None),
    "own, mirrored": (OWN, mirrored, ([-1, 0, 0, 0, 0, -1], [-9 + WIDE, 5, 200]), None),
    "own, turned": (OWN, turned, ([-1, 0, 0, 0, 0, 1], [-9 + WIDE, 5, 200 - HIGH]), None),
    "own, swapped": (OWN, swapped, ([0, 0, -1, 1, 0, 0], [-9, 5, 200]), None),
    "moved": ({}, as_is, (AXIAL, [0, 10, 0]), ANOTHER),
    "moved by a pixel": ({}, as_is, (AXIAL, [MM, 0, 0]), ANOTHER),
    "mirrored in place": ({}, mirrored, ([-1, 0, 0, 0, 1, 0], [0, 0, 0]), ANOTHER),
    "frontal, source states none": ({}, as_is, (FRONTAL, [0, 0, 0]), ANOTHER),
    "oblique": ({}, as_is, ([0.7, 0.7, 0, -0.7, 0.7, 0], [0, 0, 0]), ANOTHER),
    "own, moved": (OWN, as_is, (FRONTAL, [-9, 5, 190]), NEITHER),
    "own, sagittal": (OWN, as_is, ([0, 1, 0, 0, 0, -1], [-9, 5, 200]), NEITHER),
    "own axial, moved": (OWN_AXIAL, as_is, (AXIAL, [5, 6, 90]), NEITHER),
    "swapped and unsaid": ({}, swapped, (AXIAL, [0, 0, 0]), "not say that the two are swapped"),
    "cropped": ({}, lambda a: a[:100], (AXIAL, [0, 0, 0]), "100 x 96; the source is 120 x 96"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANES)
def test_masks_lie_where_their_plane_says_or_are_refused(name: str, tmp_path: Path) -> None:
    states, way, plane, words = PLANES[name]
    radiograph = source(tmp_path, **states)
    seg = drawn(radiograph, tmp_path, way(HEART), plane)
    if words is None:
        assert np.array_equal(read_segmentation(seg, radiograph)["heart"], HEART)
        return
    with pytest.raises(BadRequest, match=words) as caught:
        read_segmentation(seg, radiograph)
    assert caught.value.code == "mask_grid"


@pytest.mark.parametrize("letters", [["R", "F"], ["R", "H"], ["L", "H"]])
def test_on_a_source_stored_another_way_masks_come_upright(
    letters: list[str], tmp_path: Path
) -> None:
    radiograph = source(tmp_path, PatientOrientation=letters)
    seg = drawn(radiograph, tmp_path, HEART, (AXIAL, [0, 0, 0]))
    found = read_segmentation(seg, radiograph)["heart"]
    assert np.array_equal(found, radiograph.turn.apply(HEART))
    assert np.array_equal(radiograph.turn.undo(found), HEART)


def test_frames_on_several_planes_are_refused(tmp_path: Path) -> None:
    radiograph = source(tmp_path)
    masks = {"heart": HEART, "left_lung": ~HEART}
    seg = write_segmentation(plan_output(radiograph, (), record=RECORD), masks, tmp_path).path
    ds = dcmread(seg)
    for group in [*ds.SharedFunctionalGroupsSequence, *ds.PerFrameFunctionalGroupsSequence]:
        group.pop("PlaneOrientationSequence", None)
        group.pop("PlanePositionSequence", None)
    planes = ((AXIAL, [0, 0, 0]), ([-1, 0, 0, 0, 1, 0], [WIDE, 0, 0]))
    for group, plane in zip(ds.PerFrameFunctionalGroupsSequence, planes, strict=True):
        orientation, position = Dataset(), Dataset()
        orientation.ImageOrientationPatient, position.ImagePositionPatient = plane
        group.PlaneOrientationSequence, group.PlanePositionSequence = [orientation], [position]
    ds.save_as(seg)
    with pytest.raises(BadRequest, match="several planes"):
        read_segmentation(seg, radiograph)
