# SPDX-License-Identifier: Apache-2.0
"""Mask volumes lie where their header says, or one sentence says why not."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.mask_volumes import AXES
from monai_cxr_cf.anatomy.user_masks import Canvas, Notes, read_masks, read_region
from monai_cxr_cf.dicom.turn import EXIF
from monai_cxr_cf.errors import BadRequest, CxrError

SHAPE = (60, 80)
DRAWN = np.zeros(SHAPE, np.uint8)
DRAWN[34:50, 44:70] = 1
LETTERS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1),
           "F": (0, 0, -1)}  # fmt: skip
# Where rows and columns run to -> how the drawing must be stored to lie where it does.
STORED: dict[str, Any] = {
    "LP": lambda a: a, "RP": lambda a: a[:, ::-1], "LA": lambda a: a[::-1],
    "RA": lambda a: a[::-1, ::-1], "PL": lambda a: a.T, "AL": lambda a: a.T[:, ::-1],
    "PR": lambda a: a.T[::-1], "AR": lambda a: a.T[::-1, ::-1],
    "LF": lambda a: a, "RF": lambda a: a[:, ::-1], "LH": lambda a: a[::-1],
    "RH": lambda a: a[::-1, ::-1], "FL": lambda a: a.T, "HR": lambda a: a.T[::-1, ::-1],
}  # fmt: skip


def direction(letters: str) -> tuple[float, ...]:
    """SimpleITK's nine numbers of a plane and its normal."""
    axes = np.array([LETTERS[letter] for letter in letters], float)
    return tuple(np.stack([*axes, np.cross(*axes)], axis=1).ravel())


def write(
    path: Path, array: NDArray[Any], letters: str, origin: tuple[float, ...] = (7.0, 9.0, 3.0)
) -> Path:
    """A volume of one slice."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array)[None])
    image.SetDirection(direction(letters))
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("suffix", ["nrrd", "nii.gz", "seg.nrrd"])
@pytest.mark.parametrize("letters", STORED)
def test_a_volume_lies_as_its_header_says(letters: str, suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{suffix}", STORED[letters](DRAWN), letters)
    notes: Notes = []
    assert np.array_equal(read_region(path, SHAPE, notes), DRAWN == 1)
    assert notes == []
    organ = write(tmp_path / f"heart.{suffix}", STORED[letters](DRAWN), letters)
    assert np.array_equal(read_masks(organ, SHAPE)["heart"], DRAWN == 1)


@pytest.mark.parametrize("value", EXIF)
@pytest.mark.parametrize("letters", ["LP", "RA", "LF", "HR"])
def test_on_a_turned_source_axial_means_its_pixels_and_frontal_the_patient(
    letters: str, value: int, tmp_path: Path
) -> None:
    turn = EXIF[value]
    on_pixels = turn.undo(DRAWN) if set(letters) & set("PA") else DRAWN
    path = write(tmp_path / "a.nrrd", STORED[letters](on_pixels), letters)
    assert np.array_equal(read_region(path, Canvas(SHAPE, turn, turn)), DRAWN == 1)


@pytest.mark.parametrize(
    ("letters", "code"), [("LP", 3.0), ("LP", 1.5), ("RA", 2.0), ("PL", 1.0), ("AR", 4.0)]
)
def test_slicers_crop_is_put_back_before_the_turn(
    letters: str, code: float, tmp_path: Path
) -> None:
    stored = np.ascontiguousarray(STORED[letters](DRAWN * 2))
    rows, columns = np.flatnonzero(stored.any(1)), np.flatnonzero(stored.any(0))
    part = stored[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    image = sitk.GetImageFromArray(part[None])
    image.SetDirection(direction(letters))
    image.SetSpacing((code, code, 1.0))
    image.SetMetaData("Segment0_Name", "Heart")
    image.SetMetaData("Segment0_LabelValue", "2")
    image.SetMetaData("Segmentation_ReferenceImageExtentOffset", f"{columns[0]} {rows[0]} 0")
    sitk.WriteImage(image, str(tmp_path / "a.seg.nrrd"))
    assert np.array_equal(read_masks(tmp_path / "a.seg.nrrd", SHAPE)["heart"], DRAWN == 1)


def nifti(path: Path, array: NDArray[Any], affine: NDArray[Any] | None) -> Path:
    """A NIfTI as nibabel writes it: ``array[i, j]``, and ``affine`` in RAS; None: no affine."""
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 2, *array.shape, 1, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 2, 8)
    struct.pack_into("<8f", head, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<2f", head, 108, 352, 1)
    if affine is not None:
        struct.pack_into("<2h", head, 252, 0, 2)
        struct.pack_into("<12f", head, 280, *affine[:3].ravel())
    head[344:348] = b"n+1\0"
    path.write_bytes(bytes(head) + array.astype(np.uint8).tobytes(order="F"))
    return path


# name -> (array as given to nibabel, affine, words of the refusal; None where it is read).
NIBABEL: dict[str, tuple[NDArray[Any], Any, str | None]] = {
    "identity, rows first": (DRAWN, np.eye(4), "identity affine"),
    "identity, columns first": (DRAWN.T, np.eye(4), "identity affine"),
    "spacing alone": (DRAWN.T, np.diag([0.2, 0.2, 1, 1]), "identity affine"),
    "no affine": (DRAWN.T, None, "identity affine"),
    "LPS, columns first": (DRAWN.T, np.diag([-1, -1, 1, 1]), None),
    "LPS, spaced": (DRAWN.T, np.diag([-0.2, -0.2, 1, 1]), None),
    "LPS, rows first": (DRAWN, np.diag([-1, -1, 1, 1]), "80 x 60, the image 60 x 80.* swapped"),
    "LPS, rows first and said": (
        DRAWN, np.array([[0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), None,
    ),
    "turned, with its place": (
        DRAWN.T[::-1, ::-1], np.array([[1, 0, 0, -79], [0, 1, 0, -59], [0, 0, 1, 0], [0, 0, 0, 1]]),
        None,
    ),
    "mirrored, and said": (DRAWN.T[::-1], np.diag([1, -1, 1, 1]), None),
    "upside down, and said": (DRAWN.T[:, ::-1], np.diag([-1, 1, 1, 1]), None),
}  # fmt: skip


@pytest.mark.parametrize("name", NIBABEL)
def test_nibabels_affines_are_followed_or_refused(name: str, tmp_path: Path) -> None:
    array, affine, words = NIBABEL[name]
    path = nifti(tmp_path / "a.nii", array, affine)
    if words is None:
        assert np.array_equal(read_region(path, SHAPE), DRAWN == 1)
        return
    with pytest.raises(BadRequest, match=words) as caught:
        read_region(path, SHAPE)
    assert caught.value.hint


def test_a_nrrd_without_directions_is_told_where_a_swap_would_not_show(tmp_path: Path) -> None:
    def bare(array: NDArray[Any]) -> Path:
        path = tmp_path / "a.nrrd"
        head = f"NRRD0004\ntype: uint8\ndimension: 2\nsizes: {array.shape[1]} {array.shape[0]}\n"
        path.write_bytes(f"{head}encoding: raw\n\n".encode() + array.tobytes())
        return path

    notes: Notes = []
    assert np.array_equal(read_region(bare(DRAWN), SHAPE, notes), DRAWN == 1)
    assert notes == []
    square = np.ascontiguousarray(DRAWN[:, 20:])
    assert np.array_equal(read_region(bare(square), (60, 60), notes), square == 1)
    assert notes == [AXES]
    with pytest.raises(BadRequest, match="look swapped"):
        read_region(bare(np.ascontiguousarray(DRAWN.T)), SHAPE)


def tilted(degrees: float) -> tuple[float, ...]:
    """A plane turned about its normal."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0)


ODD: dict[str, tuple[Any, str]] = {
    "oblique": (tilted(45), "neither axial nor frontal"),
    "tilted too far": (tilted(25), "neither axial nor frontal"),
    "sagittal": (direction("PF"), "neither axial nor frontal"),
    "sagittal, upwards": (direction("AH"), "neither axial nor frontal"),
}


@pytest.mark.parametrize("name", ODD)
def test_planes_of_no_radiograph_are_refused(name: str, tmp_path: Path) -> None:
    numbers, words = ODD[name]
    image = sitk.GetImageFromArray(DRAWN[None])
    image.SetDirection(numbers)
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    with pytest.raises(CxrError, match=words):
        read_region(tmp_path / "a.nrrd", SHAPE)


def test_a_slight_tilt_passes_and_a_single_slice_may_lie_along_any_axis(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(DRAWN[None])
    image.SetDirection(tilted(3))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    assert np.array_equal(read_region(tmp_path / "a.nrrd", SHAPE), DRAWN == 1)
    coronal = sitk.GetImageFromArray(DRAWN[::-1, None, :])  # x to the left, z to the head
    sitk.WriteImage(coronal, str(tmp_path / "b.nrrd"))
    assert np.array_equal(read_region(tmp_path / "b.nrrd", SHAPE), DRAWN == 1)
    thick = sitk.GetImageFromArray(np.stack([DRAWN, DRAWN]))
    sitk.WriteImage(thick, str(tmp_path / "c.nrrd"))
    with pytest.raises(BadRequest, match="2 slices"):
        read_region(tmp_path / "c.nrrd", SHAPE)


VALUES: dict[str, tuple[NDArray[Any], str | None]] = {
    "whole numbers as floats": (DRAWN.astype(np.float32), None),
    "many label values": (DRAWN * 200, None),
    "fractions": (DRAWN * np.float32(0.7), "fractions"),
    "not a number": (np.where(DRAWN, np.float32("nan"), np.float32(0)), "fractions"),
    "colours": (np.dstack([DRAWN * 255, DRAWN, DRAWN]), "3 channels and no named segments"),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_of_a_volume_are_labels(name: str, tmp_path: Path) -> None:
    values, words = VALUES[name]
    image = sitk.GetImageFromArray(values, isVector=values.ndim == 3)
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    if words is None:
        assert np.array_equal(read_region(tmp_path / "a.nrrd", SHAPE), DRAWN == 1)
        return
    with pytest.raises(BadRequest, match=words):
        read_region(tmp_path / "a.nrrd", SHAPE)


def test_size_and_slices_are_judged_before_the_pixels_are_read(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", DRAWN.T, np.diag([-1, -1, 1, 1]))
    head = bytearray(path.read_bytes())
    for sizes, words in (((3, 140, 23868, 256), "256 slices"), ((2, 32000, 32000, 1), "Mpixel")):
        struct.pack_into("<4h", head, 40, *sizes)
        path.write_bytes(bytes(head))
        with pytest.raises(BadRequest, match=words):
            read_region(path, SHAPE)
