# SPDX-License-Identifier: Apache-2.0
"""Whichever way a file stores a chest, it is read upright and led back exactly, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.options import ORIENTATIONS, ReadOptions
from monai_cxr_cf.dicom.reading.read import read_radiograph
from monai_cxr_cf.dicom.turn import EXIF, Turn
from monai_cxr_cf.errors import BadRequest, UnsupportedImage
from tests.dicom.factory import Spec, save, stored_values

SPEC = Spec(sop="CR", rows=120, columns=96)
UPRIGHT = stored_values(SPEC)
LATERAL = ReadOptions(allow_lateral=True)
# How numpy stores the upright picture so that rows and columns run to these two letters.
STORED: dict[str, Any] = {
    "L/F": lambda a: a,
    "R/F": lambda a: a[:, ::-1],
    "L/H": lambda a: a[::-1],
    "R/H": lambda a: a[::-1, ::-1],
    "F/L": lambda a: a.T,
    "H/L": lambda a: a.T[:, ::-1],
    "F/R": lambda a: a.T[::-1],
    "H/R": lambda a: a.T[::-1, ::-1],
}
COSINES = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1),
           "F": (0, 0, -1)}  # fmt: skip


def made(path: Path, stored: NDArray[Any], **extra: Any) -> Path:
    """A CR that holds these values."""
    return save(path, SPEC.with_(**extra), np.ascontiguousarray(stored))


def plane(letters: str) -> list[float]:
    """ImageOrientationPatient of rows and columns to two letters."""
    return [float(x) for letter in letters.split("/") for x in COSINES[letter]]


def codes(radiograph: Radiograph) -> list[str]:
    """Codes of the warnings."""
    return [code for code, _ in radiograph.warnings]


@pytest.mark.parametrize("letters", STORED)
@pytest.mark.parametrize(
    "said_by", ["PatientOrientation", "ImageOrientationPatient", "both", "flag"]
)
def test_each_of_eight_ways_is_read_upright_and_led_back(
    letters: str, said_by: str, tmp_path: Path
) -> None:
    stored = STORED[letters](UPRIGHT)
    size = {"Rows": stored.shape[0], "Columns": stored.shape[1]}
    extra: dict[str, Any] = {**size, "PatientOrientation": None, "ImagerPixelSpacing": [0.2, 0.1]}
    if said_by in ("PatientOrientation", "both"):
        extra["PatientOrientation"] = letters.split("/")
    if said_by in ("ImageOrientationPatient", "both"):
        extra["ImageOrientationPatient"] = plane(letters)
    options = ReadOptions(orientation=letters) if said_by == "flag" else ReadOptions()
    radiograph = read_radiograph(made(tmp_path / "a.dcm", stored, **extra), options=options)
    assert np.array_equal(radiograph.stored, UPRIGHT)
    back = radiograph.as_stored()
    assert np.array_equal(back.stored, stored)
    assert np.array_equal(radiograph.turn.apply(back.pixels), radiograph.pixels)
    assert back.spacing.display == (0.2, 0.1)
    assert radiograph.spacing.display == ((0.1, 0.2) if letters[0] in "FH" else (0.2, 0.1))
    expected = "orientation_overruled" if said_by == "flag" else "orientation"
    assert (expected in codes(radiograph)) == (said_by == "flag" or letters != "L/F")
    plain = read_radiograph(made(tmp_path / "b.dcm", stored, **size, PatientOrientation=None))
    assert radiograph.sha256 == plain.sha256, "of the pixels as the file has them"


# name -> (PatientOrientation, ImageOrientationPatient, code and words of the refusal, or codes of
# the warnings about direction, and the turn).
TURNED = Turn(flip_columns=True)
STATED: dict[str, tuple[Any, Any, Any]] = {
    "nothing": (None, None, ([], Turn())),
    "empty": ("", None, ([], Turn())),
    "small letters": (["r", "f"], None, (["orientation"], TURNED)),
    "with blanks": (["R ", " F"], None, (["orientation"], TURNED)),
    "finer letters": (["RA", "FP"], None, (["orientation"], TURNED)),
    "three letters": (["LPH", "FAL"], None, ([], Turn())),
    "a carrier beside": (["L", "F"], "L/P", (["plane"], Turn())),
    "a carrier alone": (None, "L/P", (["plane"], Turn())),
    "a carrier beside mirrored": (["R", "F"], "L/P", (["plane", "orientation"], TURNED)),
    "slightly tilted": (None, [0.999, 0.03, 0, 0.0, 0.03, -0.999], ([], Turn())),
    "posterior": (["P", "F"], None, ("lateral", "view is lateral")),
    "anterior": (["A", "F"], None, ("lateral", "view is lateral")),
    "turned lateral": (["F", "P"], None, ("lateral", "view is lateral")),
    "sagittal plane": (None, "P/F", ("lateral", "lateral view")),
    "an axial slice": (["L", "P"], None, ("orientation", "left or right, and head or feet")),
    "a mirrored axial plane": (None, "R/P", ("orientation", "left or right, and head or feet")),
    "left to right": (["L", "R"], None, ("orientation", "left or right, and head or feet")),
    "head to feet": (["H", "F"], None, ("orientation", "left or right, and head or feet")),
    "one value": (["L"], None, ("orientation", "two directions")),
    "three values": (["L", "F", "P"], None, ("orientation", "two directions")),
    "one empty": (["L", ""], None, ("orientation", "two directions")),
    "a word": (["LEFT", "FOOT"], None, ("orientation", "two directions")),
    "of an animal": (["LE", "CD"], None, ("orientation", "two directions")),
    "unknown letters": (["X", "Y"], None, ("orientation", "two directions")),
    "a contradiction": (["L", "F"], "R/F", ("orientation", "says upright.* says mirrored")),
    "oblique": (None, [0.7, 0.7, 0, 0, 0, -1], ("orientation", "no plane along")),
    "zeros": (None, [0, 0, 0, 0, 0, 0], ("orientation", "no plane along")),
    "five numbers": (None, [1, 0, 0, 0, 0], ("orientation", "no plane along")),
}  # fmt: skip


@pytest.mark.parametrize("name", STATED)
def test_what_headers_say_of_direction_is_followed_or_refused(name: str, tmp_path: Path) -> None:
    letters, cosines, expected = STATED[name]
    extra = {"PatientOrientation": letters}
    if cosines is not None:
        extra["ImageOrientationPatient"] = plane(cosines) if isinstance(cosines, str) else cosines
    path = made(tmp_path / "a.dcm", UPRIGHT, **extra)
    if isinstance(expected[0], str):
        with pytest.raises(UnsupportedImage, match=expected[1]) as caught:
            read_radiograph(path)
        assert caught.value.code == expected[0]
        assert "--orientation" in caught.value.hint or "--allow-lateral" in caught.value.hint
        upright = read_radiograph(path, options=ReadOptions(orientation="L/F"))
        assert np.array_equal(upright.stored, UPRIGHT)
        return
    radiograph = read_radiograph(path)
    assert [c for c in codes(radiograph) if c in ("orientation", "plane")] == expected[0]
    assert radiograph.turn == expected[1]
    assert np.array_equal(radiograph.stored, expected[1].apply(UPRIGHT))


@pytest.mark.parametrize(("letters", "way"), [("P/F", "L/F"), ("A/F", "L/F"), ("A/H", "L/H")])
def test_of_an_allowed_lateral_head_and_feet_alone_are_followed(
    letters: str, way: str, tmp_path: Path
) -> None:
    stored = STORED[way](UPRIGHT)
    path = made(tmp_path / "a.dcm", stored, PatientOrientation=letters.split("/"))
    assert np.array_equal(read_radiograph(path, options=LATERAL).stored, UPRIGHT)


@pytest.mark.parametrize("value", EXIF)
@pytest.mark.parametrize("kind", ["png", "jpg", "deep.png"])
def test_the_exif_orientation_of_a_picture_is_followed(
    value: int, kind: str, tmp_path: Path
) -> None:
    grey = (np.indices((40, 30)).sum(0) * 3).astype(np.uint8)
    grey[:6, :4] = 250
    values = grey.astype(np.uint16) * 257 if kind == "deep.png" else grey
    exif = Image.Exif()
    exif[0x0112] = value
    path = tmp_path / f"a.{kind}"
    options = ReadOptions(allow_raster=True, min_side=8)
    shown = Image.fromarray(values)
    how = {"quality": 100} if kind == "jpg" else {}
    shown.save(path, exif=exif, **how)
    with Image.open(path) as image:
        as_viewers_do = np.asarray(ImageOps.exif_transpose(image))
        as_stored = np.asarray(image)
    radiograph = read_radiograph(path, options=options)
    assert np.array_equal(radiograph.stored, as_viewers_do)
    assert np.array_equal(radiograph.as_stored().stored, as_stored)
    assert ("orientation" in codes(radiograph)) == (value != 1)
    assert radiograph.shown == Turn()


def test_an_undefined_exif_orientation_is_refused_and_the_flag_counts_from_the_pixels(
    tmp_path: Path,
) -> None:
    grey = (np.indices((40, 30)).sum(0) * 3).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 9
    Image.fromarray(grey).save(tmp_path / "a.png", exif=exif)
    options = ReadOptions(allow_raster=True, min_side=8)
    with pytest.raises(UnsupportedImage, match="EXIF orientation is 9"):
        read_radiograph(tmp_path / "a.png", options=options)
    exif[0x0112] = 6
    Image.fromarray(grey).save(tmp_path / "b.png", exif=exif)
    flag = ReadOptions(allow_raster=True, min_side=8, orientation="R/H")
    radiograph = read_radiograph(tmp_path / "b.png", options=flag)
    assert np.array_equal(radiograph.stored, grey[::-1, ::-1])
    shown = EXIF[6].apply(grey)
    assert np.array_equal(radiograph.shown.apply(shown), radiograph.stored)


def test_the_flag_takes_eight_values_and_no_other() -> None:
    assert set(ORIENTATIONS) == set(STORED)
    with pytest.raises(BadRequest, match="orientation is 'up'; expected L/F"):
        ReadOptions(orientation="up")


@pytest.mark.parametrize("way", STORED)
def test_a_change_made_upright_lands_on_the_pixel_of_the_file(way: str, tmp_path: Path) -> None:
    stored = np.ascontiguousarray(STORED[way](UPRIGHT))
    path = made(tmp_path / "a.dcm", stored, PatientOrientation=way.split("/"),
                Rows=stored.shape[0], Columns=stored.shape[1])  # fmt: skip
    radiograph = read_radiograph(path)
    change = np.zeros(UPRIGHT.shape, np.float32)
    change[80:90, 60:66] = 0.1
    written = radiograph.turn.undo(radiograph.to_stored(change))
    expected = np.ascontiguousarray(STORED[way](change != 0))
    assert np.array_equal(written != stored, expected)
