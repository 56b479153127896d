# SPDX-License-Identifier: Apache-2.0
"""PNG and JPEG input: only by permission, grey only, and said so."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_radiograph, read_source
from monai_cxr_cf.errors import CxrError, UnreadableInput, UnsupportedImage
from tests.dicom.factory import phantom

ALLOWED = ReadOptions(allow_raster=True)
GREY8 = (phantom(120, 96) * 255).astype(np.uint8)
GREY16 = (phantom(120, 96) * 65535).astype(np.uint16)


def picture(path: Path, values: "np.ndarray[tuple[int, ...], np.dtype[np.integer]]") -> Path:
    """Save an array as a picture of the kind its name says."""
    Image.fromarray(values).save(path)
    return path


def test_refused_without_permission_and_the_flag_is_named(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        with pytest.raises(UnsupportedImage) as caught:
            read_source(picture(tmp_path / name, GREY8))
        assert caught.value.code == "raster"
        assert "--allow-raster" in caught.value.hint


@pytest.mark.parametrize(("values", "bits"), [(GREY8, 8), (GREY16, 16)])
def test_png_is_exact(
    values: "np.ndarray[tuple[int, ...], np.dtype[np.integer]]",
    bits: int,
    tmp_path: Path,
    nothing_left: Callable[[], None],
) -> None:
    path = picture(tmp_path / "a.png", values)
    nothing_left()
    radiograph = read_radiograph(path, options=ALLOWED)
    np.testing.assert_array_equal(radiograph.stored, values)
    assert radiograph.stored.dtype == values.dtype
    assert radiograph.bits_stored == bits
    np.testing.assert_allclose(radiograph.pixels, values / (2**bits - 1), atol=1e-7)
    assert radiograph.header is None
    assert radiograph.spacing.display is radiograph.spacing.physical is None
    assert [code for code, _ in radiograph.warnings] == ["raster", "no_spacing"]
    assert radiograph.voi.origin == "full range"


def test_rgb_with_equal_channels_equals_grey(tmp_path: Path) -> None:
    grey = read_radiograph(picture(tmp_path / "a.png", GREY8), options=ALLOWED)
    for name, values in (
        ("rgb.png", np.stack([GREY8] * 3, axis=2)),
        ("rgba.png", np.stack([GREY8] * 3 + [np.full_like(GREY8, 255)], axis=2)),
    ):
        found = read_radiograph(picture(tmp_path / name, values), options=ALLOWED)
        assert found.sha256 == grey.sha256
        assert found.source_sop_uid == grey.source_sop_uid


def test_jpeg_is_read_close_to_the_original(tmp_path: Path) -> None:
    radiograph = read_radiograph(picture(tmp_path / "a.jpeg", GREY8), options=ALLOWED)
    assert np.abs(radiograph.stored.astype(int) - GREY8).mean() < 4
    assert radiograph.bits_stored == 8


def test_a_change_comes_back_as_grey_steps(tmp_path: Path) -> None:
    change = np.zeros(GREY8.shape, np.float32)
    change[30:60, 20:50] = 0.1
    path = picture(tmp_path / "a.png", GREY8)
    for polarity, sign in ((None, 1), ("mono1", -1)):
        options = ReadOptions(allow_raster=True, polarity=polarity)
        radiograph = read_radiograph(path, options=options)
        step = radiograph.to_stored(change).astype(int) - GREY8
        assert (step[change == 0] == 0).all()
        assert np.median(step[change > 0]) == sign * round(0.1 * 255)


def test_the_uid_is_of_the_pixels_and_valid(tmp_path: Path) -> None:
    first = read_radiograph(picture(tmp_path / "a.png", GREY8), options=ALLOWED)
    other = read_radiograph(picture(tmp_path / "b.png", 255 - GREY8), options=ALLOWED)
    assert first.source_sop_uid.startswith("2.25.")
    assert len(first.source_sop_uid) <= 64
    assert first.source_sop_uid != other.source_sop_uid


COLOUR = np.stack([GREY8, GREY8, 255 - GREY8], axis=2)
CLEAR = np.stack([GREY8] * 4, axis=2)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (COLOUR, "colour"),
        (CLEAR, "colour"),
        (np.full((100, 100), 7, np.uint8), "constant_image"),
        (GREY8[:40], "too_small"),
    ],
)
def test_what_is_no_grey_radiograph_is_refused(
    values: "np.ndarray[tuple[int, ...], np.dtype[np.integer]]", code: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedImage) as caught:
        read_radiograph(picture(tmp_path / "a.png", values), options=ALLOWED)
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_cut_picture_is_unreadable(name: str, tmp_path: Path) -> None:
    path = picture(tmp_path / name, GREY8)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableInput) as caught:
        read_radiograph(path, options=ALLOWED)
    assert caught.value.code == "undecodable"


def test_the_pixel_limit_holds_before_decoding(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", GREY8)
    with pytest.raises(CxrError) as caught:
        read_radiograph(path, options=ReadOptions(allow_raster=True, max_pixels=1000))
    assert caught.value.code == "too_many_pixels"
