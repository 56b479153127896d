# SPDX-License-Identifier: Apache-2.0
"""The example radiograph: a truthful header, valid, and readable without any permission."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from benchmarks.make_example import make_example
from monai_cxr_cf.dicom.read import read_source
from tests.dicom.peers import dciodvfy_errors

INVENTED = (
    *("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "KVP", "Exposure"),
    *("AcquisitionDate", "ContentDate", "SeriesDate", "Manufacturer", "InstitutionName"),
)


@pytest.fixture(scope="module")
def example(root: Path) -> Dataset:
    """The shipped file."""
    return pydicom.dcmread(root / "docs" / "example.dcm")


def test_header_tells_the_truth_and_nothing_more(example: Dataset) -> None:
    assert example.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
    assert (example.ConversionType, example.BitsStored) == ("WSD", 8)
    assert not [keyword for keyword in INVENTED if keyword in example]
    assert not example.StudyDate
    assert str(example.PatientID).startswith("NIH-")
    assert "Wang et al., CVPR 2017" in example.ImageComments


def test_reader_takes_it_as_the_picture_that_was_published(root: Path, example: Dataset) -> None:
    radiograph = read_source(root / "docs" / "example.dcm")
    assert radiograph.shape == (1024, 1024)
    shown = np.rint(radiograph.pixels * 255).astype(np.uint8)
    assert np.array_equal(shown, example.pixel_array)


@pytest.mark.conformance
def test_dciodvfy_finds_no_error(root: Path) -> None:
    assert not dciodvfy_errors(root / "docs" / "example.dcm")


def test_the_maker_refuses_colour_and_other_depths(tmp_path: Path) -> None:
    colour = np.zeros((64, 64, 3), np.uint8)
    colour[..., 0] = 9
    Image.fromarray(colour).save(tmp_path / "colour.png")
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(tmp_path / "deep.png")
    for name in ("colour.png", "deep.png"):
        with pytest.raises(SystemExit):
            make_example(tmp_path / name, image_id="1", view="PA")


def test_the_maker_gives_the_same_identifiers_twice(tmp_path: Path) -> None:
    ramp = np.arange(64 * 64, dtype=np.uint32).reshape(64, 64) % 256
    Image.fromarray(ramp.astype(np.uint8)).save(tmp_path / "a.png")
    one, two = (make_example(tmp_path / "a.png", image_id="1_0", view="AP") for _ in range(2))
    assert one.SOPInstanceUID == two.SOPInstanceUID
    assert one.PixelData == two.PixelData
    assert one.PatientID == "NIH-1"
