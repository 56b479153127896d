# SPDX-License-Identifier: Apache-2.0
"""The composite is exact: nothing outside kappa, nothing for a null edit, in range everywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cxr_cf.composite import Decoded, kappa, plain, residual, smoothstep
from monai_cxr_cf.grid import ModelGrid
from tests.fuzz import examples

SHAPE, SIDE = (150, 110), 64


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
    assert not residual(image, same, kappa(region, 12), grid=ModelGrid(SHAPE, SIDE)).any()


def test_native_texture_survives_where_little_changed_and_goes_where_tissue_was_replaced():
    grid = ModelGrid((256, 256), 64)
    texture = np.random.default_rng(0).normal(0, 0.05, (256, 256)).astype(np.float32)
    source = np.full((64, 64), 0.4, np.float32)
    image = 0.4 + texture
    weight = np.ones((256, 256), np.float32)
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


def test_without_a_composite_the_decoder_output_is_the_result():
    image, decoded, _ = scene(1)
    grid = ModelGrid(SHAPE, SIDE)
    assert np.allclose(
        image + plain(image, decoded, grid=grid), grid.to_native(decoded.edited), atol=1e-6
    )


def test_smoothstep_is_a_step_when_its_limits_meet():
    x = np.array([-1, 0, 1], np.float32)
    assert smoothstep(0, 0, x).tolist() == [0, 0, 1]
