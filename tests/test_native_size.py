# SPDX-License-Identifier: Apache-2.0
"""What a large radiograph costs less than before, it costs without another bit in the result."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.anatomy.polygon import organs_from_landmarks
from monai_cxr_cf.anatomy.segment import _rasterise
from monai_cxr_cf.composite import kappa, smoothstep
from monai_cxr_cf.judges.evidence import Evidence, Expected
from monai_cxr_cf.judges.preprocess import PERCENTILES, stretch
from monai_cxr_cf.judges.verdict import judge
from monai_cxr_cf.measures.masks import box_of, centre_of
from monai_cxr_cf.runs.pictures import MOST, PreviewData, overlay, preview

NATIVE = (4280, 3520)
MB = 1_000_000


def blobs(seed: int, shape: tuple[int, int] = (150, 130)) -> Any:
    """A mask of a few pieces with holes, some at the edge; H x W bool."""
    chance = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(chance.normal(size=shape), 5)
    return field > np.quantile(field, chance.choice([0.5, 0.8, 0.97]))


def test_a_box_holds_its_mask_with_a_margin_and_a_centre_is_that_of_scipy() -> None:
    for seed in range(12):
        mask = blobs(seed)
        assert np.array_equal(centre_of(mask), ndimage.center_of_mass(mask))
        for margin in (0, 3):
            box = box_of(mask, margin)
            rest = mask.copy()
            rest[box] = False
            assert not rest.any()
    mask = np.zeros((20, 30), bool)
    assert mask[box_of(mask)].shape == (20, 30)
    mask[4, 7] = True
    assert box_of(mask, 2) == (slice(2, 7), slice(5, 10))


@pytest.mark.parametrize("band", [0.0, 0.4, 3.0, 17.5, 400.0])
def test_kappa_near_the_region_is_kappa_of_the_whole_picture(band: float) -> None:
    for seed in range(8):
        region = blobs(seed)
        distance = ndimage.distance_transform_edt(~region).astype(np.float32)
        whole = np.where(region, np.float32(1), 1 - smoothstep(0, band, distance))
        assert np.array_equal(kappa(region, band), whole)


def test_cleaning_in_a_box_is_cleaning_the_picture() -> None:
    for seed in range(10):
        mask = blobs(seed)
        pieces, _ = ndimage.label(mask)
        largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
        empty = np.zeros_like(mask)
        found = Organs(empty, empty, mask).clean().heart
        assert np.array_equal(found, ndimage.binary_fill_holes(largest))


def test_organs_drawn_one_by_one_are_those_of_the_exported_network() -> None:
    for seed in range(6):
        chance = np.random.default_rng(seed)
        points = (chance.random((120, 2)) * (90, 70)).astype(np.float32)
        fractions = torch.from_numpy(points)[None] / torch.tensor([90, 70])
        together = organs_from_landmarks(fractions, 70, 90).argmax(1)[0].byte().numpy()
        assert np.array_equal(_rasterise(points, 70, 90), together)


def test_stretching_by_rows_is_stretching_the_picture() -> None:
    image = np.random.default_rng(1).random((700, 300)).astype(np.float32)
    low, high = np.percentile(image, PERCENTILES)
    whole = np.asarray(np.clip((image - low) / max(high - low, 1 / 255), 0, 1), np.float32)
    assert np.array_equal(stretch(image), whole)


def test_the_grain_around_the_region_is_that_of_the_whole_picture() -> None:
    chance = np.random.default_rng(3)
    source = chance.random((600, 500)).astype(np.float32)
    region = np.zeros(source.shape, bool)
    region[200:330, 300:420] = True
    change = (0.2 * region * chance.random(source.shape)).astype(np.float32)
    item = Expected("pleural effusion", region, 1)
    told = judge(Evidence(source, change, [item], {"heart": region}, {}, 0))
    value = next(c["value"] for c in told["checks"] if c["name"] == "texture")
    sigma = 600 / 256

    def grain(image: Any) -> float:
        return float((image - ndimage.gaussian_filter(image, sigma))[region].std())

    assert value == round(grain(source + change) / max(grain(source), 1 / 255), 3)


def native() -> PreviewData:
    """A scene as large as a detector."""
    region = np.zeros(NATIVE, bool)
    region[2500:3300, 2000:2900] = True
    band = np.zeros(NATIVE, bool)
    band[2400:2500, 2000:2900] = True
    source = np.tile(np.linspace(0, 1, NATIVE[1], dtype=np.float32), (NATIVE[0], 1))
    return PreviewData(
        source, region, band, 0.2 * region.astype(np.float32), ("x",), {"heart": region}
    )


def test_pictures_of_a_native_radiograph_take_little_memory_and_look_alike(tmp_path: Path) -> None:
    data = native()
    step = 4
    assert max(NATIVE) / step <= MOST < max(NATIVE) / (step - 1)
    tracemalloc.start()
    preview(data, tmp_path / "large.png")
    overlay(data.source, {"heart": data.region}, tmp_path / "overlay.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 250 * MB, "the scene itself has 150 MB, drawn in full it took 1,800"
    small = PreviewData(
        *(array[::step, ::step] for array in (data.source, data.region, data.band, data.change)),
        ("x",), {"heart": data.region[::step, ::step]},
    )  # fmt: skip
    preview(small, tmp_path / "small.png")
    with Image.open(tmp_path / "large.png") as one, Image.open(tmp_path / "small.png") as other:
        difference = np.abs(np.asarray(one).astype(int) - np.asarray(other))
    assert difference.mean() < 1
