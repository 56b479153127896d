# SPDX-License-Identifier: Apache-2.0
"""Volumes of MONAI Label clients become a picture that lies as their directions say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.server.monailabel.volumes import Geometry, prepare
from tests.dicom.factory import phantom

CHEST = (phantom(120, 96) * 3000).astype(np.int16)
# direction -> how the chest must be stored to lie upright; None: refused with these words.
WAYS: dict[str, tuple[tuple[float, ...], Any]] = {
    "as Slicer has it": ((1, 0, 0, 0, 1, 0, 0, 0, 1), lambda a: a),
    "mirrored": ((-1, 0, 0, 0, 1, 0, 0, 0, 1), lambda a: a[:, ::-1]),
    "upside down": ((1, 0, 0, 0, -1, 0, 0, 0, 1), lambda a: a[::-1]),
    "swapped": ((0, 1, 0, 1, 0, 0, 0, 0, -1), lambda a: a.T),
    "frontal": ((1, 0, 0, 0, 0, 1, 0, -1, 0), lambda a: a),
    "frontal, mirrored": ((-1, 0, 0, 0, 0, 1, 0, -1, 0), lambda a: a[:, ::-1]),
}


def volume(path: Path, values: Any, direction: tuple[float, ...]) -> Path:
    """A file of one slice at a place of its own."""
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values)[None])
    image.SetDirection(direction)
    image.SetOrigin((30.0, 40.0, 50.0))
    SimpleITK.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz"])
@pytest.mark.parametrize("name", WAYS)
def test_a_volume_becomes_an_upright_picture_with_its_own_geometry(
    name: str, suffix: str, tmp_path: Path
) -> None:
    direction, way = WAYS[name]
    stored = way(CHEST)
    file = volume(tmp_path / f"sent{suffix}", stored, direction)
    ready = prepare(str(file), suffix, str(tmp_path))
    radiograph = read_source(tmp_path / "source", ReadOptions(allow_raster=True))
    low, high = np.percentile(CHEST.astype(float), (0.5, 99.5))
    expected = np.clip((CHEST - low) / (high - low), 0, 1)
    np.testing.assert_allclose(radiograph.pixels, expected, atol=2e-5)
    assert radiograph.as_stored().stored.shape == stored.shape
    geometry = Geometry(**ready["geometry"])
    np.testing.assert_allclose(geometry.direction, direction, atol=1e-6)
    np.testing.assert_allclose(geometry.origin, (30, 40, 50), atol=1e-4)


def test_directions_that_cannot_be_told_are_refused(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(CHEST[None])
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    SimpleITK.WriteImage(image, str(tmp_path / "eye.nii.gz"))
    with pytest.raises(BadRequest, match="identity affine"):
        prepare(str(tmp_path / "eye.nii.gz"), ".nii.gz", str(tmp_path))
    sagittal = volume(tmp_path / "b.nrrd", CHEST, (0, 0, 1, 1, 0, 0, 0, -1, 0))
    with pytest.raises(BadRequest, match="neither axial nor frontal"):
        prepare(str(sagittal), ".nrrd", str(tmp_path))
