# SPDX-License-Identifier: Apache-2.0
"""The source's detail shows through added density, but not in a heart that grows."""

import numpy as np
import pytest

from monai_cxr_cf.bounds import Reach, shown_detail
from monai_cxr_cf.composite import Decoded, residual
from monai_cxr_cf.grid import ModelGrid
from tests.test_composite import even_with_texture


def test_detail_of_the_source_shows_through_added_density_and_not_where_tissue_is_taken_away():
    grid, texture, source, weight = even_with_texture()
    image = 0.4 + texture

    def left(step, detail):
        change = residual(image, Decoded(source + step, source), weight, grid=grid, detail=detail)
        return np.std(image + change) / np.std(texture)

    assert left(0.3, 0.5) == pytest.approx(0.5, abs=0.02)
    assert left(0.3, 1) == pytest.approx(1, abs=0.02)
    assert left(-0.3, 1) < 0.1


def test_detail_under_added_density_is_the_sources_and_its_amount_the_edits():
    grid = ModelGrid((64, 64), 64)
    stripes = np.tile(np.float32([0.02, 0, -0.02, 0]), (64, 16))  # four pixels a period
    source, step = 0.4 + stripes, np.float32(0.3)
    decoded = Decoded(np.full((64, 64), 0.4, np.float32) + step, source)
    weight = np.ones((64, 64), np.float32)
    flat, half, whole = (
        source + residual(source, decoded, weight, grid=grid, detail=d) for d in (0, 0.5, 1)
    )
    assert flat == pytest.approx(0.7, abs=1e-6)
    inner = (slice(8, -8), slice(8, -8))
    fine = stripes[inner] * (1 - np.exp(-((2 * np.pi / 4) ** 2) / 2))  # beyond a Gaussian of 1 px
    assert half[inner] == pytest.approx(0.7 + fine / 2, abs=1e-4)
    assert whole[inner] == pytest.approx(0.7 + fine, abs=1e-4)


def test_no_old_border_shows_in_a_heart_that_grows() -> None:
    heart, fluid = np.zeros((64, 64), np.float32), np.zeros((64, 64), np.float32)
    heart[30:50, 20:44], fluid[40:60, 36:60] = 1, 1
    assert shown_detail(0.5, [Reach(fluid, 1)]) == 0.5
    plane = shown_detail(0.5, [Reach(fluid, 1), Reach(heart, 1, heart=True)])
    assert isinstance(plane, np.ndarray)
    assert np.array_equal(plane, np.where(heart > 0, np.float32(0), np.float32(0.5)))
