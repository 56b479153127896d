# SPDX-License-Identifier: Apache-2.0
"""Contours are filled like a textbook point-in-polygon test fills them, at any size."""

import numpy as np
import pytest
import torch
from matplotlib.path import Path as Outline

from monai_cxr_cf.anatomy.polygon import fill_polygon, organs_from_landmarks


@pytest.mark.parametrize(("height", "width"), [(31, 47), (64, 64), (7, 120)])
@pytest.mark.parametrize("seed", range(3))
def test_fill_equals_point_in_polygon(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 23))
    radius = rng.uniform(0.15, 0.6, 23)  # leaves the image in places
    points = 0.5 + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    mask = fill_polygon(torch.tensor(points)[None], height, width)[0].numpy()
    y, x = np.mgrid[:height, :width] + 0.5
    centres = np.stack([x.ravel(), y.ravel()], 1)
    expected = Outline(points * [width, height]).contains_points(centres).reshape(height, width)
    assert (mask != expected).sum() == 0


def test_direction_and_starting_point_do_not_matter() -> None:
    square = torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])[None]
    here = fill_polygon(square, 16, 16)
    assert here.sum() == 64
    assert torch.equal(here, fill_polygon(square.flip(1), 16, 16))
    assert torch.equal(here, fill_polygon(square.roll(1, 1), 16, 16))


def test_contour_that_crosses_itself_has_no_hole() -> None:
    star = [
        (0.5 + 0.4 * np.sin(4 * np.pi * k / 5), 0.5 - 0.4 * np.cos(4 * np.pi * k / 5))
        for k in range(5)
    ]
    mask = fill_polygon(torch.tensor(star)[None], 101, 101)[0]
    assert mask[50, 50]


def test_overlaps_go_to_the_heart_and_classes_exclude_each_other() -> None:
    def ring(x: float, count: int) -> torch.Tensor:
        t = torch.linspace(0, 2 * torch.pi, count + 1)[:-1]
        return torch.stack([x + 0.2 * t.cos(), 0.5 + 0.3 * t.sin()], 1)

    landmarks = torch.cat([ring(0.3, 44), ring(0.7, 50), ring(0.5, 26)])[None]
    organs = organs_from_landmarks(landmarks, 64, 64)
    assert torch.equal(organs.sum(1), torch.ones(1, 64, 64))
    assert organs[0, 3, 32, 32] == 1
    assert torch.equal(organs[0, 3], fill_polygon(landmarks[:, 94:], 64, 64)[0].float())
