# SPDX-License-Identifier: Apache-2.0
"""Image files as collections hold them: the same picture, whatever the depth; else refused."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.data.captioned import survey
from monai_cxr_cf.data.folder import load_image, read_index
from monai_cxr_cf.data.picture import depth, fewest_bits, read_grey, significant_bits
from monai_cxr_cf.data.table import load_grey
from monai_cxr_cf.errors import UnreadableInput
from tests.dicom.factory import Spec, save

RAMP = np.tile(np.linspace(0, 1, 64), (64, 1))


def deep(path: Path, bits: int, *, scale: float = 1.0, says: int | None = None) -> None:
    """A 16-bit PNG whose values take ``bits``; ``says``: what its sBIT chunk states."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.round(RAMP * (2**bits - 1) * scale).astype(np.uint16)
    Image.fromarray(values).save(path)
    if says is not None:
        data, body = path.read_bytes(), b"sBIT" + bytes([says])
        chunk = struct.pack(">I", 1) + body + struct.pack(">I", zlib.crc32(body))
        path.write_bytes(data[:33] + chunk + data[33:])  # behind IHDR


def save_as(mode: str, ending: str) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        picture = Image.fromarray(np.round(RAMP * 255).astype(np.uint8))
        picture.convert(mode).save(folder / f"a.{ending}")
        return f"a.{ending}"

    return write


def deep_as(bits: int, says: int | None = None) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        deep(folder / "a.png", bits, says=says)
        return "a.png"

    return write


SAME = {
    "8-bit PNG": save_as("L", "png"),
    "8-bit JPEG": save_as("L", "jpg"),
    "grey in colours, PNG": save_as("RGB", "png"),
    "grey in colours, JPEG": save_as("RGB", "jpg"),
    "palette": save_as("P", "png"),
    "grey with alpha": save_as("LA", "png"),
    "colours with alpha": save_as("RGBA", "png"),
    "CMYK JPEG": save_as("CMYK", "jpeg"),
    "32-bit integers of 8": save_as("L", "PNG"),
    "10 bits in 16": deep_as(10),
    "12 bits in 16": deep_as(12),
    "14 bits in 16": deep_as(14),
    "16 bits": deep_as(16),
    "12 bits, and sBIT says so": deep_as(12, 12),
    "16 bits, and sBIT says so": deep_as(16, 16),
}


@pytest.mark.parametrize("write", SAME.values(), ids=SAME)
def test_the_picture_is_the_same(write: Callable[[Path], str], tmp_path: Path) -> None:
    found = read_grey(tmp_path, write(tmp_path))
    assert found.dtype == np.float32
    assert found.shape == (64, 64)
    assert np.abs(found - RAMP).max() < 0.02


REFUSED = {
    "damaged": lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\nrest"),
    "empty": lambda p: p.write_bytes(b""),
    "truncated": lambda p: (deep(p, 16), p.write_bytes(p.read_bytes()[:120])),
    "a web page": lambda p: p.write_text("<html>log in</html>"),
    "floats": lambda p: Image.fromarray(RAMP.astype(np.float32)).save(p, "TIFF"),
    "gone": lambda p: None,
}


@pytest.mark.parametrize("spoil", REFUSED.values(), ids=REFUSED)
def test_what_is_no_picture_is_named_below_the_folder(
    spoil: Callable[[Path], object], tmp_path: Path
) -> None:
    (tmp_path / "train").mkdir()
    spoil(tmp_path / "train" / "a.png")
    with pytest.raises(UnreadableInput, match=r"cannot be read: train/a\.png") as caught:
        read_grey(tmp_path, "train/a.png")
    assert str(tmp_path) not in caught.value.message


def test_a_dim_image_takes_the_depth_of_its_collection(tmp_path: Path) -> None:
    for n, scale in enumerate((1.0, 0.2, 0.1)):
        deep(tmp_path / f"{n}.png", 12, scale=scale)
    names = [f"{n}.png" for n in range(3)]
    assert depth(tmp_path, names) == 12
    assert depth(tmp_path, names[2:]) == 10
    assert read_grey(tmp_path, "2.png", 12).max() == pytest.approx(0.1, abs=1e-3)
    with pytest.raises(UnreadableInput, match="beyond the 10 bits"):
        read_grey(tmp_path, "0.png", 10)


def test_depths_and_what_a_file_says(tmp_path: Path) -> None:
    assert [fewest_bits(v) for v in (0, 1023, 1024, 4095, 4096, 16383, 16384, 65535)] == [
        10, 10, 12, 12, 14, 14, 16, 16,
    ]  # fmt: skip
    deep(tmp_path / "a.png", 12, scale=0.1, says=12)
    assert significant_bits(tmp_path / "a.png") == 12
    assert read_grey(tmp_path, "a.png", 16).max() == pytest.approx(0.1, abs=1e-3)
    save_as("L", "jpg")(tmp_path)
    assert (significant_bits(tmp_path / "a.jpg"), depth(tmp_path, ["a.jpg"])) == (0, 0)


@pytest.mark.parametrize("ending", ["jpg", "JPG", "jpeg", "png", "PNG"])
def test_the_project_s_own_folder_takes_any_ending(ending: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "index.csv").write_text("id,patient,view,split,labels\na,p,PA,train,Effusion\n")
    save_as("L", ending)(tmp_path / "images")
    (row,), _ = survey("folder", tmp_path)
    assert row.image == f"images/a.{ending}"
    found = load_image(tmp_path, read_index(tmp_path)[0])
    assert np.array_equal(found, load_grey(tmp_path, row))


def test_twelve_bits_are_as_bright_as_eight(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("id,patient,view,split,labels\na,p,PA,train,Effusion\n")
    deep(tmp_path / "images" / "a.png", 12)
    rows, counts = survey("folder", tmp_path)
    assert rows[0].bits == 12
    assert "16-bit files hold 12 bits" in counts.notes
    assert load_image(tmp_path, read_index(tmp_path)[0]).max() == 1.0


def test_dicom_goes_through_the_strict_reader(tmp_path: Path) -> None:
    save(tmp_path / "a.dcm", Spec())
    found = read_grey(tmp_path, "a.dcm")
    assert 0 <= found.min() < found.max() <= 1
    (tmp_path / "b.dcm").write_bytes(b"no DICOM")
    with pytest.raises(UnreadableInput, match=r"b\.dcm is refused"):
        read_grey(tmp_path, "b.dcm")
