# SPDX-License-Identifier: Apache-2.0
"""The data folder is read as it is: every column typed, every array on its image's grid."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monai_cxr_cf.data import folder
from monai_cxr_cf.errors import UnreadableInput


@pytest.fixture(scope="module")
def cxr(shared: Path) -> Path:
    """The reference radiographs."""
    return shared / "data" / "cxr"


@pytest.fixture(scope="module")
def rows(cxr: Path) -> list[folder.Row]:
    """Its index."""
    return folder.read_index(cxr)


def test_index_is_typed(rows: list[folder.Row]) -> None:
    assert len(rows) == len({row.id for row in rows}) > 3000
    assert {row.split for row in rows} == {"train", "judge", "test", "research"}
    assert all(row.age is None or 0 <= row.age <= 120 for row in rows)
    assert all("" not in row.labels for row in rows)
    jsrt = [row for row in rows if row.source == "jsrt"]
    assert all(row.organ_mask == {"right_lung", "left_lung", "heart"} for row in jsrt)


def test_splits_share_no_patient(rows: list[folder.Row]) -> None:
    patients = {
        split: {row.patient for row in rows if row.source == "nih" and row.split == split}
        for split in ("train", "judge", "test")
    }
    assert not patients["train"] & patients["test"]
    assert not patients["train"] & patients["judge"]
    assert not patients["judge"] & patients["test"]


def test_arrays_lie_on_the_image_grid(cxr: Path, rows: list[folder.Row]) -> None:
    row = next(row for row in rows if row.landmarks == {"RL", "LL", "H"})
    image, mask = folder.load_image(cxr, row), folder.load_organ_mask(cxr, row)
    assert image.shape == mask.shape
    assert image.dtype == np.float32
    assert 0.0 <= image.min() < image.max() <= 1.0
    assert set(np.unique(mask)) == {0, 1, 2, 3}
    points = folder.load_landmarks(cxr, row)
    assert {name: len(p) for name, p in points.items()} == {"RL": 44, "LL": 50, "H": 26}
    assert all(p.min() >= 0 and p.max() <= 1 for p in points.values())


def test_right_lung_is_the_patients(cxr: Path, rows: list[folder.Row]) -> None:
    row = next(row for row in rows if row.source == "montgomery")
    mask = folder.load_organ_mask(cxr, row)
    assert np.argwhere(mask == 1)[:, 1].mean() < np.argwhere(mask == 2)[:, 1].mean()


def test_retrocardiac_masks_are_a_separate_thing(cxr: Path, rows: list[folder.Row]) -> None:
    row = next(row for row in rows if row.retrocardiac_mask)
    assert not row.organ_mask
    with pytest.raises(UnreadableInput, match="no organ mask"):
        folder.load_organ_mask(cxr, row)


def test_missing_files_are_named(tmp_path: Path, rows: list[folder.Row]) -> None:
    with pytest.raises(UnreadableInput, match=r"no index\.csv"):
        folder.read_index(tmp_path)
    (tmp_path / "index.csv").write_text("id,source\n1,nih\n")
    with pytest.raises(UnreadableInput, match="lacks the columns"):
        folder.read_index(tmp_path)
    with pytest.raises(UnreadableInput, match=r"images/absent\.jpg"):
        folder.load_image(tmp_path, replace(rows[0], id="absent"))


@pytest.mark.parametrize(
    ("cell", "age"), [("61", 61), ("50+", 50), ("mid 50s", None), ("", None), ("7.0", 7)]
)
def test_ages_of_any_spelling(cell: str, age: int | None) -> None:
    assert folder._age(cell) == age
