# SPDX-License-Identifier: Apache-2.0
"""The composite is exact: nothing outside kappa, nothing for a null edit, in range everywhere.

And the bounds before it: no greys that are not this patient's, nothing against a finding's way.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from monai_cxr_cf.bounds import (
    Bounds,
    Greys,
    Reach,
    heart_greys,
    own_greys,
    patient_bounds,
    within,
)
from monai_cxr_cf.composite import Decoded, kappa, plain, residual, smoothstep
from monai_cxr_cf.grid import ModelGrid
from tests.fuzz import examples

SHAPE, SIDE = (150, 110), 64
K = 8 / 255  # knee of the bounds


def scene(seed, spread=0.2):
    rng = np.random.default_rng(seed)
    image = rng.random(SHAPE, np.float32).round(1)  # saturated pixels included
    source = rng.random((SIDE, SIDE), np.float32)
    edited = np.clip(source + rng.normal(0, spread, source.shape), 0, 1).astype(np.float32)
    region = np.zeros(SHAPE, bool)
    region[60:100, 20:60] = True
    return image, Decoded(edited, source), region


@settings(max_examples=examples(25), deadline=None)
@given(seed=st.integers(0, 10_000), band=st.floats(0, 40))
def test_outside_kappa_the_change_is_exactly_zero_and_the_sum_stays_in_range(seed, band):
    image, decoded, region = scene(seed)
    weight = kappa(region, band)
    change = residual(image, decoded, weight, grid=ModelGrid(SHAPE, SIDE))
    assert not change[weight == 0].any()
    assert change[region].any()
    assert (image + change).min() >= 0
    assert (image + change).max() <= 1 + 1e-6


def test_a_null_edit_changes_nothing_even_inside():
    image, decoded, region = scene(3)
    same = Decoded(decoded.source, decoded.source)
    grid = ModelGrid(SHAPE, SIDE)
    assert not residual(image, same, kappa(region, 12), grid=grid).any()
    assert not residual(image, same, kappa(region, 12), grid=grid, detail=1).any()


def even_with_texture():
    """Grid, native texture, an even source without it on the model grid, and a weight of 1."""
    texture = np.random.default_rng(0).normal(0, 0.05, (256, 256)).astype(np.float32)
    source, weight = np.full((64, 64), 0.4, np.float32), np.ones((256, 256), np.float32)
    return ModelGrid((256, 256), 64), texture, source, weight


def test_native_texture_survives_where_little_changed_and_goes_where_tissue_was_replaced():
    grid, texture, source, weight = even_with_texture()
    image = 0.4 + texture
    slight = residual(image, Decoded(source + 0.01, source), weight, grid=grid)
    strong = residual(image, Decoded(source + 0.3, source), weight, grid=grid)
    assert np.std(image + slight) == pytest.approx(np.std(texture), rel=0.02)
    assert np.std(image + strong) < 0.1 * np.std(texture)


def test_kappa_is_one_inside_zero_beyond_the_band_and_falls_between():
    region = np.zeros((80, 80), bool)
    region[30:50, 30:50] = True
    weight = kappa(region, 12)
    assert (weight[region] == 1).all()
    assert weight[40, 50 + 12 :].max() == 0
    assert (np.diff(weight[40, 49:62]) <= 0).all()
    assert not kappa(np.zeros((5, 5), bool), 12).any()
    assert set(np.unique(kappa(region, 0))) == {0.0, 1.0}


def test_kappa_is_the_published_curve_of_the_distance():
    """1 - (3u^2 - 2u^3) of the Euclidean distance over the band."""
    dot = np.zeros((9, 9), bool)
    dot[4, 4] = True
    weight = kappa(dot, 4)
    assert weight.dtype == np.float32
    assert weight[4, 4:].tolist() == [1, 0.84375, 0.5, 0.15625, 0]
    u = np.sqrt(2) / 4
    assert weight[5, 5] == pytest.approx(1 - (3 * u**2 - 2 * u**3), abs=1e-6)
    assert weight[0, 4] == weight[8, 8] == 0


def blurred(plane):
    """Gaussian of one pixel, mirrored at the edge, cut at four."""
    tap = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    tap /= tap.sum()
    wide = np.pad(plane, 4, mode="symmetric").astype(np.float64)
    rows = sum(w * wide[i : i + len(plane)] for i, w in enumerate(tap))
    return sum(w * rows[:, i : i + plane.shape[1]] for i, w in enumerate(tap))


@pytest.mark.parametrize("side", [32, 64], ids=["model grid", "twice as fine"])
def test_the_change_is_the_formula_of_the_method(side):
    """kappa (U(D(z0')) + U(w) r - x), w from the blurred change, r from D(E(x))."""
    rng = np.random.default_rng(5)
    grid = ModelGrid((side, side), 32)
    image = rng.uniform(0.4, 0.6, (side, side)).astype(np.float32)
    source = rng.uniform(0.45, 0.55, (32, 32)).astype(np.float32)
    edited = source.copy()
    edited[8:24, 8:20] += rng.normal(0, 0.1, (16, 12)).astype(np.float32)
    weight = rng.random((side, side)).astype(np.float32)
    tau = (0.03, 0.09)
    u = np.clip((blurred(np.abs(edited - source)) - tau[0]) / (tau[1] - tau[0]), 0, 1)
    w = (1 - (3 * u**2 - 2 * u**3)).astype(np.float32)
    assert ((w > 0.01) & (w < 0.99)).sum() > 100, "many pixels lie between the thresholds"
    lost = image - grid.to_native(source)
    expected = weight * (grid.to_native(edited) + grid.to_native(w) * lost - image)
    change = residual(image, Decoded(edited, source), weight, grid=grid, tau=tau)
    assert change.dtype == np.float32
    assert np.allclose(change, expected, atol=1e-6)


def test_the_usual_thresholds_are_two_and_eight_percent():
    image, grid = np.full((16, 16), 0.5, np.float32), ModelGrid((16, 16), 16)
    source = np.full((16, 16), 0.4, np.float32)
    kept = {}
    for step in (0.019, 0.05, 0.081):
        change = residual(image, Decoded(source + np.float32(step), source), image + 0.5, grid=grid)
        kept[step] = (change[8, 8] - step + 0.1) / 0.1  # w of r = 0.1
    assert kept[0.019] == pytest.approx(1, abs=1e-4)
    assert kept[0.05] == pytest.approx(0.5, abs=1e-3)
    assert kept[0.081] == pytest.approx(0, abs=1e-4)


def test_the_sum_is_cut_at_black_and_white_and_untouched_pixels_are_never_moved():
    image = np.array([[0.2, 0.9], [1.00001, 0.5]], np.float32)
    grid = ModelGrid((2, 8), 8)
    wide = np.tile(image, (1, 4))
    flat = np.zeros((8, 8), np.float32)
    weight = (wide <= 1).astype(np.float32)
    for step, limit in ((3.0, 1.0), (-3.0, 0.0)):
        change = residual(wide, Decoded(flat + np.float32(step), flat), weight, grid=grid)
        assert (wide + change)[weight > 0] == pytest.approx(limit)
        assert not change[weight == 0].any()


def test_without_a_composite_the_decoder_output_is_the_result():
    image, decoded, _ = scene(1)
    grid = ModelGrid(SHAPE, SIDE)
    assert np.allclose(
        image + plain(image, decoded, grid=grid), grid.to_native(decoded.edited), atol=1e-6
    )


def test_smoothstep_is_a_step_when_its_limits_meet():
    x = np.array([-1, 0, 1], np.float32)
    assert smoothstep(0, 0, x).tolist() == [0, 0, 1]


def chest(side=64):
    """Lungs of .2, their darkest tenth of .1, a mediastinum of .6: image and coverage of organs."""
    image = np.full((side, side), 0.6, np.float32)
    organs = {name: np.zeros((side, side), np.float32) for name in ("right_lung", "left_lung")}
    organs["right_lung"][8:56, 6:26] = organs["left_lung"][8:56, 38:58] = 1
    for cover in organs.values():
        image[cover > 0] = 0.2
        image[8:16][cover[8:16] > 0] = 0.1
    image[:, 31] = 0.7  # brighter than the brightest twentieth begins: not what bounds it
    return image, organs | {"heart": np.zeros((side, side), np.float32)}


def test_the_greys_of_a_patient_lie_between_the_lungs_tenth_and_the_mediastinums_twentieth():
    image, organs = chest()
    middle = image[8:56, 28:37]  # three columns from either lung
    assert own_greys(image, organs) == Greys(
        np.percentile(image[8:56, 6:26], 10), np.percentile(middle, 95)
    )
    assert own_greys(image, organs | {"left_lung": organs["heart"]}).high == np.inf
    assert own_greys(image, {"heart": organs["heart"]}) == Greys(-np.inf, np.inf)


@pytest.mark.parametrize("way", [1, -1])
def test_bounds_move_the_blurred_greys_by_their_formula(way):
    """Beyond the knee the blurred result stops at the bound; one pixel and formula by hand."""
    greys, k, sigma = Bounds(0.2, 0.7), K, 1.5 / 256 * SIDE
    rng = np.random.default_rng(5)
    source = rng.uniform(0.3, 0.6, (SIDE, SIDE)).astype(np.float32)
    edited = source.copy()
    edited[20:40, 20:40] += way * 0.5
    found = within(Decoded(edited, source), greys).edited
    y, s = (gaussian_filter(image, sigma) for image in (edited, source))
    for row, column in ((30, 30), (20, 25), (19, 30), (38, 39), (5, 5)):
        at = row, column
        over = y[at] - max(s[at], greys.high - k / 2)
        under = min(s[at], greys.low + k / 2) - y[at]
        f = [0 if u < 0 else u * u / (2 * k) if u < k else u - k / 2 for u in (over, under)]
        assert found[at] == pytest.approx(edited[at] - f[0] + f[1], abs=1e-6)
    assert found[30, 30] != edited[30, 30]
    assert np.array_equal(found[:15], edited[:15])
    core = gaussian_filter(found, sigma)[26:34, 26:34]
    bound = greys.high if way > 0 else greys.low
    assert core == pytest.approx(np.full(core.shape, bound), abs=0.02)


def test_bounds_leave_alone_what_the_source_shows_and_a_null_edit():
    """Metal and air are brighter and darker than any bound, and stay."""
    rng = np.random.default_rng(6)
    source = rng.random((SIDE, SIDE), np.float32)
    same = within(Decoded(source, source), Bounds(0.4, 0.5))
    assert np.array_equal(same.edited, source)
    kept = within(Decoded(source + np.float32(0.1), source), Bounds(-np.inf, np.inf))
    assert np.array_equal(kept.edited, source + np.float32(0.1))


def test_bounds_keep_fine_texture():
    source = np.full((256, 256), 0.3, np.float32)
    texture = np.random.default_rng(7).normal(0, 0.05, source.shape).astype(np.float32)
    texture -= gaussian_filter(texture, 4)
    bright = Decoded(np.full_like(source, 0.95) + texture, source)
    found = within(bright, Bounds(0.2, 0.7)).edited
    assert found.mean() == pytest.approx(0.7, abs=0.01)
    assert np.std(found) == pytest.approx(np.std(texture), rel=0.15)


@pytest.mark.parametrize("way", [1, -1])
def test_a_finding_of_one_way_moves_nothing_the_other_way(way):
    """Far from its edge a flat move against it keeps half a knee; one with it stays whole."""
    image, organs = chest(SIDE)
    region = np.zeros((SIDE, SIDE), np.float32)
    region[20:50, 8:24] = 1
    bounds = patient_bounds(image, organs, [Reach(region, way)], 0)
    assert (bounds.no_lucent if way > 0 else bounds.no_denser).sum() == region.sum()
    assert not (bounds.no_denser if way > 0 else bounds.no_lucent).any()
    against = within(Decoded(image - np.float32(0.09) * way, image), bounds).edited
    assert against[35, 16] - image[35, 16] == pytest.approx(-way * K / 2, abs=1e-6)
    gone = Decoded(image + np.float32(0.05) * way, image)
    assert within(gone, bounds).edited[35, 16] == pytest.approx(0.2 + 0.05 * way, abs=1e-6)


def test_where_findings_of_both_ways_meet_both_are_open():
    image, organs = chest(SIDE)
    one, other = np.zeros((2, SIDE, SIDE), np.float32)
    one[10:30, 10:30] = other[20:40, 20:40] = 1
    bounds = patient_bounds(image, organs, [Reach(one, 1), Reach(other, -1)], 0)
    assert np.array_equal(bounds.no_lucent, (one > 0) & (other == 0))
    assert np.array_equal(bounds.no_denser, (other > 0) & (one == 0))
    mixed = patient_bounds(image, organs, [Reach(one, 0)], 3)
    assert not mixed.no_lucent.any()
    assert not mixed.no_denser.any()


def test_what_is_added_to_a_heart_is_as_dense_as_the_heart_beside_it():
    image, organs = chest(SIDE)
    heart = np.zeros((SIDE, SIDE), np.float32)
    heart[30:50, 26:42] = 1
    image[heart > 0], organs["heart"] = 0.5, heart
    assert heart_greys(image, heart > 0)[5::9, 5::9] == pytest.approx(np.full((7, 7), 0.5))
    assert np.isinf(heart_greys(image, heart > 1)).all()
    region = np.zeros_like(heart)
    region[25:55, 20:48] = 1
    grown = patient_bounds(image, organs, [Reach(region, 1, heart=True)], 0).high
    assert grown[region > 0] == pytest.approx(0.5)
    own = own_greys(image, organs).high
    assert own > 0.5
    assert (grown[region == 0] == np.float32(own)).all()
    fluid = np.zeros_like(heart)
    fluid[50:, :] = 1
    both = [Reach(region, 1, heart=True), Reach(fluid, 1)]
    assert (patient_bounds(image, organs, both, 0).high[50:] == np.float32(own)).all()
    assert patient_bounds(image, organs, [Reach(region, -1, heart=True)], 0).high == own
