# SPDX-License-Identifier: Apache-2.0
"""The model grid pads, never stretches, and gives masks and fields back where they were."""

import numpy as np
import pytest

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.grid import ModelGrid

SHAPES = [(300, 200), (200, 300), (257, 256), (64, 900), (1024, 1024), (70, 71)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_mask_comes_back_where_it_was(shape):
    grid = ModelGrid(shape, 256)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    mask = (np.hypot(rows / shape[0] - 0.4, columns / shape[1] - 0.6) < 0.25).astype(bool)
    model = grid.mask_to_model(mask) >= 0.5
    back = grid.to_native(model.astype(np.float32)) >= 0.5
    assert 2 * (mask & back).sum() / (mask.sum() + back.sum()) > 0.95


@pytest.mark.parametrize("shape", SHAPES)
def test_the_pad_is_empty_and_aspect_is_kept(shape):
    grid = ModelGrid(shape, 128)
    model = grid.to_model(np.ones(shape, np.float32))
    assert (model > 0).sum() == grid.inner[0] * grid.inner[1]
    assert abs(grid.inner[0] / grid.inner[1] - shape[0] / shape[1]) <= 2 * shape[0] / shape[
        1
    ] / min(grid.inner)


def test_zero_fields_stay_zero_and_constants_stay_constant():
    grid = ModelGrid((333, 222), 128)
    assert not grid.to_native(np.zeros((128, 128), np.float32)).any()
    assert np.allclose(grid.to_native(np.full((128, 128), 0.3, np.float32)), 0.3, atol=1e-6)


def test_anisotropic_pixels_become_square_on_the_model_grid():
    grid = ModelGrid((100, 200), 128, aspect=2.0)
    assert grid.inner == (128, 128)


def test_points_follow_the_image():
    grid = ModelGrid((300, 200), 256)
    image = np.zeros((300, 200), np.float32)
    image[100:110, 40:50] = 1
    y, x = np.unravel_index(grid.to_model(image).argmax(), (256, 256))
    native = grid.points_to_native(np.array([x + 0.5, y + 0.5], np.float32))
    assert np.abs(native - [45, 105]).max() < 4


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(BadRequest, match="pixel grid"):
        ModelGrid((30, 20), 64).mask_to_model(np.ones((31, 20), bool))
