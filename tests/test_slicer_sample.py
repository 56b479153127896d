# SPDX-License-Identifier: Apache-2.0
"""The sample radiograph of the Slicer module: drawn, valid, read, and a chest to the segmenter."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from benchmarks.make_slicer_sample import HEART, SIDE, TARGET, _filled, draw_chest, make_sample
from monai_cxr_cf.anatomy.organs import check
from monai_cxr_cf.anatomy.segment import load_segmenter
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.measures.masks import dice
from monai_cxr_cf.weights import models_folder
from tests.dicom.peers import dciodvfy_errors


@pytest.fixture(scope="module")
def sample(root: Path) -> Path:
    """The shipped file."""
    return root / TARGET


def test_it_is_what_the_script_draws(sample: Path) -> None:
    shipped, made = pydicom.dcmread(sample), make_sample(draw_chest())
    difference = shipped.pixel_array.astype(int) - np.frombuffer(made.PixelData, "<u2").reshape(
        shipped.pixel_array.shape
    )
    assert np.abs(difference).max() <= 2  # another build of the filters
    assert shipped.PatientName == made.PatientName == "Drawn^Chest"


def test_it_names_no_person_no_place_and_no_time(sample: Path) -> None:
    ds = pydicom.dcmread(sample)
    assert not any((ds.PatientBirthDate, ds.PatientSex, ds.StudyDate, ds.ReferringPhysicianName))
    assert "drawing" in ds.ImageComments
    assert sample.stat().st_size < 300_000


@pytest.mark.conformance
def test_dciodvfy_finds_no_error(sample: Path) -> None:
    assert not dciodvfy_errors(sample)


@pytest.mark.weights
def test_it_is_read_without_permission_and_seen_as_a_chest(sample: Path) -> None:
    radiograph = read_source(sample)
    found = load_segmenter("hybridgnet", models_folder())(radiograph.pixels, radiograph.valid)
    check(found.organs, agreement=found.agreement)
    assert dice(found.organs.heart, _filled(HEART, SIDE) > 0.5) > 0.8
