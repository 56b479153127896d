# SPDX-License-Identifier: Apache-2.0
"""A data folder of three patients: one real radiograph in three contrasts, small."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.dicom.reading.read import read_source

FILMS = [("a", "PA", "No Finding"), ("b", "AP", "No Finding"), ("c", "PA", "Cardiomegaly")]


@pytest.fixture(scope="session")
def films(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``index.csv`` and ``images/``; all of split test."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "images").mkdir()
    pixels = read_source(str(root / "docs" / "example.dcm")).pixels
    with (folder / "index.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "patient", "view", "labels", "split"])
        for number, (name, view, labels) in enumerate(FILMS):
            grey = np.rint(255 * np.clip(pixels, 0, 1) ** (0.9 + 0.05 * number)).astype(np.uint8)
            picture = Image.fromarray(grey)
            picture.thumbnail((256, 256))
            picture.save(folder / "images" / f"{name}.png")
            writer.writerow([name, f"p{number}", view, labels, "test"])
    return folder
