# SPDX-License-Identifier: Apache-2.0
"""The example radiograph: a truthful header, valid, and readable without any permission."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from benchmarks.make_example import make_example
from monai_cxr_cf.dicom.reading.read import read_source
from tests.dicom.factory import Spec, save
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
    assert "pydicom-data" in example.ImageComments


def test_reader_takes_it_as_the_picture_that_it_is(root: Path, example: Dataset) -> None:
    radiograph = read_source(root / "docs" / "example.dcm")
    assert max(radiograph.shape) == 1024
    shown = np.rint(radiograph.pixels * 255).astype(np.uint8)
    assert np.array_equal(shown, example.pixel_array)


@pytest.mark.conformance
def test_dciodvfy_finds_no_error(root: Path) -> None:
    assert not dciodvfy_errors(root / "docs" / "example.dcm")


def test_the_maker_gives_the_shipped_file_from_the_public_one(
    shared: Path, example: Dataset
) -> None:
    made = make_example(read_source(shared / "data" / "dicom" / "RG1_UNCR.dcm"))
    assert made.SOPInstanceUID == example.SOPInstanceUID
    difference = np.frombuffer(made.PixelData, np.uint8).astype(int)[: example.pixel_array.size]
    assert np.abs(difference - example.pixel_array.ravel()).max() <= 1  # another resampler build


def test_the_maker_gives_the_same_file_twice(tmp_path: Path) -> None:
    source = read_source(save(tmp_path / "a.dcm", Spec(photometric="MONOCHROME1", bits=14)))
    one, two = make_example(source), make_example(source)
    assert one.SOPInstanceUID == two.SOPInstanceUID
    assert one.PixelData == two.PixelData
