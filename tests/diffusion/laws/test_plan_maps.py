# SPDX-License-Identifier: Apache-2.0
"""Masks at attention cells: Ω, membership, bridge, levels, and what a plan refuses."""

import numpy as np
import pytest

from monai_cxr_cf.diffusion.laws import priors
from monai_cxr_cf.diffusion.laws.priors import latent_edit_mask
from monai_cxr_cf.errors import BadRequest
from tests.diffusion.small import (
    LATENT,
    ORGANS,
    REGION,
    SIDE,
    box,
    small_unet,
)


@pytest.fixture(scope="module")
def unet():
    return small_unet()


def dot(row, column, size=1):
    return box(row, row + size, column, column + size)


# --- pooling and Ω -------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [(16, 16), (8, 8), (5, 7), (3, 11), (200, 130)], ids=str)
def test_area_pooling_keeps_the_mean_for_any_ratio(grid):
    plane = np.random.default_rng(0).random((SIDE, SIDE))
    pooled = priors.area_pool(plane, grid)
    assert pooled.shape == grid
    assert pooled.mean() == pytest.approx(plane.mean())


def test_area_pooling_is_the_block_mean_and_loses_no_thin_structure():
    plane = box(0, SIDE, 63, 64)
    pooled = priors.area_pool(plane, (16, 16))
    assert np.allclose(pooled, plane.reshape(16, 8, 16, 8).mean((1, 3)))
    assert pooled[:, 7] == pytest.approx(1 / 8)


@pytest.mark.parametrize("grid", [(16, 16), (8, 8), (4, 4), (6, 9)], ids=str)
@pytest.mark.parametrize("region", [REGION, dot(3, 3, 9), box(0, SIDE, 0, SIDE)], ids=range(3))
def test_prior_lies_in_unit_range_with_maximum_one(region, grid):
    omega = priors.roi_prior(region, grid, (4, 4))
    assert omega.min() >= 0
    assert omega.max() == 1.0


def test_blur_has_the_same_physical_width_at_all_levels():
    region = dot(48, 48, 32)

    def width(cells):
        omega = priors.roi_prior(region, (cells, cells), (4, 4))
        share = omega.sum(0) / omega.sum()
        at = (np.arange(cells) + 0.5) / cells
        return np.sqrt((share * (at - (share * at).sum()) ** 2).sum())

    # variance = box of a quarter side + Gaussian of half a coarsest cell (1/8 of the side)
    expected = np.sqrt(0.25**2 / 12 + 0.125**2)
    assert width(64) == pytest.approx(expected, rel=0.02)
    assert width(32) == pytest.approx(expected, rel=0.02)
    assert width(16) == pytest.approx(expected, rel=0.03)


def test_a_speck_vanishes_at_the_coarse_level_only():
    speck = dot(40, 40) * 0.4
    assert priors.roi_prior(speck, (4, 4), (4, 4)) is None
    assert priors.roi_prior(speck, (64, 64), (64, 64)) is not None


def test_priors_follow_the_mask_on_a_mirrored_image():
    plain = priors.roi_prior(REGION, (8, 8), (4, 4))
    mirrored = priors.roi_prior(REGION[:, ::-1], (8, 8), (4, 4))
    assert np.allclose(mirrored, plain[:, ::-1])


# --- organs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [(16, 16), (4, 4), (5, 7)], ids=str)
def test_membership_sums_to_one_for_soft_overlapping_organs(grid):
    rng = np.random.default_rng(1)
    organs = {name: rng.random((SIDE, SIDE)) for name in priors.ORGANS}
    p = priors.membership(organs, grid)
    assert p.shape == (4, *grid)
    assert p.min() >= 0
    assert np.allclose(p.sum(0), 1)


def test_overlaps_go_to_the_heart():
    classes = priors.organ_classes(ORGANS)
    overlap = (ORGANS["heart"] > 0) & (ORGANS["left_lung"] > 0)
    assert overlap.any()
    assert (classes[2][overlap] == 1).all()
    assert (classes[1][overlap] == 0).all()


def test_sides_follow_mask_labels_on_a_mirrored_image():
    mirrored = {name: plane[:, ::-1] for name, plane in ORGANS.items()}
    assert np.allclose(
        priors.membership(mirrored, (8, 8)), priors.membership(ORGANS, (8, 8))[:, :, ::-1]
    )


def test_union_and_organ_priors_are_shares_of_the_cell():
    union = np.maximum.reduce(list(ORGANS.values()))
    assert np.allclose(priors.organ_union(ORGANS, (4, 4)), priors.area_pool(union, (4, 4)))
    lungs = priors.organ_prior(ORGANS, "lungs", (8, 8))
    sides = [priors.organ_prior(ORGANS, f"{side}_lung", (8, 8)) for side in ("right", "left")]
    assert np.allclose(lungs, sum(sides))
    with pytest.raises(BadRequest, match="spleen"):
        priors.organ_prior(ORGANS, "spleen", (8, 8))


def test_a_region_inside_one_organ_is_not_bridged_and_a_crossing_one_is():
    assert not priors.spans_organs(box(20, 40, 90, 110), ORGANS)
    assert priors.spans_organs(box(60, 104, 70, 100), ORGANS)


def test_bridged_cells_lose_their_membership_where_omega_is_one():
    p = priors.membership(ORGANS, (8, 8))
    omega = np.zeros((8, 8))
    omega[6, 6] = 1
    out = priors.bridged(p, [omega])
    assert (out[:, 6, 6] == 0).all()
    omega[6, 6] = 0
    assert np.array_equal(priors.bridged(p, [omega]), p)


def test_latent_mask_covers_every_touched_cell():
    kappa = np.zeros((SIDE, SIDE))
    kappa[8, 16] = 1e-6
    mask = latent_edit_mask(kappa, LATENT)
    assert mask.dtype == bool
    assert mask.sum() == 1
    assert mask[1, 2]
    assert not latent_edit_mask(np.zeros((SIDE, SIDE)), LATENT).any()
