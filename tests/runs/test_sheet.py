# SPDX-License-Identifier: Apache-2.0
"""The contact sheet: every picture in its place, the maps of the ensemble, only for a series."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.diffusion.modes import ensemble
from monai_cxr_cf.pipeline import run
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.sheet import Series, changed, layout, mean_change, mosaic, sheet
from tests.dicom.factory import Spec
from tests.test_pipeline import made, request_on

TAU = 4 / 255
SHAPE = (120, 96)


def series(pictures: int, levels: int, shape: tuple[int, int] = SHAPE) -> Series:
    """A grey source; picture k changes the first k rows by 5 k grey levels."""
    changes = [np.zeros(shape, np.float32) for _ in range(pictures)]
    for number, change in enumerate(changes):
        change[:number] = 5 * number / 255
    region = np.zeros(shape, bool)
    region[: shape[0] // 2, : shape[1] // 2] = True
    labels = [f"seed {number}, severity 1.00: passed" for number in range(pictures)]
    source = np.full(shape, 0.25, np.float32)
    return Series(source, region, changes, labels, levels, TAU, ("add left pleural effusion",))


@pytest.mark.parametrize(
    ("pictures", "levels", "grid"),
    [
        (6, 3, (2, 3)), (8, 4, (2, 4)), (2048, 32, (64, 32)),  # seeds x levels
        (4, 4, (1, 4)), (32, 32, (4, 8)),  # one seed
        (3, 1, (1, 3)), (8, 1, (1, 8)), (11, 1, (2, 8)), (64, 1, (8, 8)),  # one level
    ],
)  # fmt: skip
def test_seeds_are_rows_and_levels_columns_or_lines_are_broken(
    pictures: int, levels: int, grid: tuple[int, int]
) -> None:
    assert layout(pictures, levels) == grid


def test_every_picture_stands_in_its_cell() -> None:
    data = series(6, 3)
    page, corners, width = mosaic(data, 3)
    assert width == 96
    assert [corner[0] for corner in corners] == [0] * 3 + [corners[3][0]] * 3
    for (y, x), change in zip(corners, data.changes, strict=True):
        np.testing.assert_allclose(page[y : y + 120, x : x + 96], 0.25 + change)
    assert page[:, width].min() == 1, "white between them"


def test_the_maps_are_those_of_the_ensemble() -> None:
    data = series(5, 1)
    maps = ensemble(np.stack(data.changes), tau=TAU)
    np.testing.assert_allclose(mean_change(data), maps.mean, atol=1e-7)
    np.testing.assert_allclose(changed(data), maps.exceed, atol=1e-7)
    assert changed(data)[0, 0] == pytest.approx(0.8)
    large = series(3, 1, (2400, 1800))
    whole = ensemble(np.stack(large.changes), tau=TAU).exceed
    assert changed(large).shape == (800, 600)
    np.testing.assert_allclose(
        changed(large), whole.reshape(800, 3, 600, 3).mean((1, 3)), atol=1e-6
    )


def test_the_sheet_has_the_same_bytes_and_a_bounded_size(tmp_path: Path) -> None:
    for name in ("one", "two"):
        sheet(series(6, 3), tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    sheet(series(40, 1, (1500, 1200)), tmp_path / "many.png")
    with Image.open(tmp_path / "many.png") as image:
        assert image.size[0] == 1836
        assert image.size[1] < 3600


def test_a_series_has_a_sheet_and_a_single_edit_none(tiny_folder: Path, tmp_path: Path) -> None:
    phantom, networks = made(tmp_path, Spec()), Networks()
    one = request_on(phantom, tiny_folder, preset="fast")
    roles = [file.role for file in run(one, tmp_path / "one", networks=networks).files]
    assert "sheet" not in roles
    two = request_on(phantom, tiny_folder, preset="fast", seeds=(1, 2), levels=(0.5, 1.0))
    outcome = run(two, tmp_path / "two", networks=networks)
    (found,) = [file for file in outcome.files if file.role == "sheet"]
    assert found.path == tmp_path / "two" / "sheet.png"
    listed = json.loads(outcome.report.read_text())["files"]
    assert found.sha256 in {entry["sha256"] for entry in listed}
