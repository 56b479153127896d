# SPDX-License-Identifier: Apache-2.0
"""Masks at attention cells against naive sums, and the limits at which they turn."""

import numpy as np
import pytest

from monai_cxr_cf.diffusion.laws.priors import (
    area_pool,
    bridged,
    covered_cells,
    latent_edit_mask,
    membership,
    organ_classes,
    organ_prior,
    organ_union,
    roi_prior,
    spans_organs,
)
from monai_cxr_cf.errors import BadRequest

NAMES = ("right_lung", "left_lung", "heart")


def plane(*rows):
    return np.array(rows, float)


@pytest.mark.parametrize("grid", [(4, 5), (3, 4), (9, 7), (6, 10)], ids=str)
def test_area_pooling_is_the_mean_of_a_finer_copy_for_any_ratio(grid):
    values = np.random.default_rng(2).random((6, 10))
    fine = np.kron(values, np.ones(grid))  # every pixel cut into rows x columns of the grid
    rows, columns = fine.shape[0] // grid[0], fine.shape[1] // grid[1]
    expected = fine.reshape(grid[0], rows, grid[1], columns).mean((1, 3))
    assert np.allclose(area_pool(values, grid), expected)


def blurred_rows(values, sigma):
    """A Gaussian along the rows' index, edge values repeated, cut at four sigma."""
    reach = int(4 * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    at = np.clip(np.arange(len(values))[:, None] + np.arange(-reach, reach + 1), 0, len(values) - 1)
    return np.einsum("t,rtc->rc", taps, values[at])


def test_the_prior_blurs_rows_and_columns_by_half_a_coarsest_cell():
    region = np.random.default_rng(4).random((24, 24)) > 0.7
    pooled = region.reshape(12, 2, 8, 3).mean((1, 3))
    expected = blurred_rows(pooled, 0.5 * 12 / 3)
    expected = blurred_rows(expected.T, 0.5 * 8 / 4).T
    assert np.allclose(roi_prior(region, (12, 8), (3, 4)), expected / expected.max())


def test_a_region_vanishes_below_a_thousandth_of_a_cell():
    for share, seen in ((1.001e-3, True), (0.999e-3, False)):
        assert (roi_prior(np.full((8, 8), share), (4, 4), (4, 4)) is not None) == seen


# --- organs --------------------------------------------------------------------------------------


def test_where_organs_overlap_the_heart_goes_first_then_the_right_lung():
    organs = {
        "left_lung": plane([0.9, 0.5, 0.2]),
        "right_lung": plane([0.8, 0.6, 0.0]),
        "heart": plane([0.5, 0.0, 0.1]),
    }
    expected = [[0.5, 0.6, 0], [0, 0.4, 0.2], [0.5, 0, 0.1], [0, 0, 0.7]]
    assert np.allclose(organ_classes(organs)[:, 0], expected)
    assert np.allclose(membership(organs, (1, 3))[:, 0], expected)
    assert np.allclose(organ_union(organs, (1, 3)), [[1, 1, 0.3]])
    for name, row in zip(NAMES, expected, strict=False):
        assert np.allclose(organ_prior(organs, name, (1, 3)), [row])
    assert np.allclose(organ_prior(organs, "lungs", (1, 3)), [[0.5, 1.0, 0.2]])


@pytest.mark.parametrize("name", NAMES)
def test_an_organ_that_is_missing_is_empty_and_the_others_stay(name):
    organs = {name: plane([0.25, 1.0])}
    classes = organ_classes(organs)
    assert classes[NAMES.index(name)].tolist() == [[0.25, 1.0]]
    assert classes[3].tolist() == [[0.75, 0.0]]
    assert classes.sum(0).tolist() == [[1, 1]]


def test_empty_organ_masks_are_as_good_as_none():
    with pytest.raises(BadRequest, match="no organ masks"):
        organ_classes({name: np.zeros((2, 2)) for name in NAMES})
    assert organ_classes({"heart": plane([0, 0.1]), "left_lung": plane([0, 0])})[2].max() == 0.1


def test_a_region_spans_an_organ_that_holds_a_twentieth_of_it():
    lung = np.zeros((1, 100))
    lung[0, :50] = 1
    organs = {"right_lung": lung}
    region = np.zeros((1, 100))
    region[0, 31:51] = 1  # 19 cells in the lung, 1 of 20 beside it
    assert spans_organs(region, organs)
    region[0, 30] = 1  # 1 of 21
    assert not spans_organs(region, organs)
    half = np.where(np.arange(100) < 50, 0.5, 0.01)[None]  # coverage weighs: 25 against .5
    assert not spans_organs(half, organs)


def test_bridged_cells_take_the_largest_prior_not_the_sum():
    p = np.full((4, 1, 3), 0.25)
    first, second = plane([0.6, 0.0, 1.0]), plane([0.5, 0.2, 1.0])
    out = bridged(p, [first, second])
    assert np.allclose(out, 0.25 * np.array([0.4, 0.8, 0.0]))
    assert np.array_equal(bridged(p, []), p)


def test_cells_are_counted_by_coverage():
    region = np.zeros((8, 8))
    region[:2, :3] = 0.5
    assert covered_cells(region, (4, 4)) == pytest.approx(0.75)
    assert covered_cells(region, (2, 4)) == pytest.approx(0.375)


def test_any_weight_above_zero_opens_a_latent_cell():
    kappa = np.zeros((16, 16))
    kappa[3, 4] = 1e-9
    kappa[15, 15] = 1.0
    mask = latent_edit_mask(kappa, (4, 8))
    assert np.argwhere(mask).tolist() == [[0, 2], [3, 7]]
