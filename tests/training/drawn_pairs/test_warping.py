# SPDX-License-Identifier: Apache-2.0
"""The warped heart: it reaches the ratio asked for, and nothing far from it moves."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cxr_cf.training.drawn_pairs.drawing import SEVERITIES
from monai_cxr_cf.training.drawn_pairs.grounding import heart_ratio
from monai_cxr_cf.training.drawn_pairs.warping import (
    border_seen,
    degree,
    displacement,
    enlarge_heart,
    limit,
    move,
    resize_heart,
    shrink_heart,
)
from tests.training.phantom import chest


@pytest.mark.parametrize("wanted", [0.34, 0.52, 0.6])
def test_the_ratio_asked_for_is_reached(wanted: float) -> None:
    image, labels = chest()
    *_, ratio = resize_heart(image, labels, wanted, rng=np.random.default_rng(0))
    assert ratio == pytest.approx(wanted, abs=0.02)


def test_degrees_rise_and_are_called_by_their_names() -> None:
    image, labels = chest()
    ratios = [
        enlarge_heart(image, labels, s, view="PA", rng=np.random.default_rng(1))[2]
        for s in SEVERITIES
    ]
    assert ratios == sorted(ratios)
    assert [degree(ratio, "PA") for ratio in ratios] == list(SEVERITIES)
    assert degree(limit("PA") - 0.01, "PA") == ""


def test_shrinking_an_enlarged_heart_gives_a_normal_one() -> None:
    image, labels = chest()
    rng = np.random.default_rng(2)
    field = displacement(labels, 14.0, shares=(1.0, 0.3), drop=0.2)
    wide, moved = move(image, field), move(labels, field)
    assert heart_ratio(moved) > heart_ratio(labels) + 0.05
    back, weight, ratio = shrink_heart(wide, moved, view="PA", rng=rng)
    assert 0.39 < ratio < 0.49
    beside = (moved == 3) & (labels == 2)
    assert back[beside].mean() < wide[beside].mean() - 0.1  # where heart was, lung is again
    assert weight[beside].mean() > 0.5


def test_nothing_changes_far_from_the_heart() -> None:
    image, labels = chest(3)
    wide, *_ = enlarge_heart(image, labels, "severe", view="PA", rng=np.random.default_rng(3))
    rows = np.flatnonzero((labels == 3).any(1))
    assert np.array_equal(wide[: rows[0] - 30], image[: rows[0] - 30])
    assert np.array_equal(wide[:, :20], image[:, :20])
    assert np.array_equal(wide[:, -20:], image[:, -20:])
    assert not np.array_equal(wide, image)


def test_the_left_border_moves_more_than_the_right() -> None:
    image, labels = chest()
    wide, *_ = enlarge_heart(image, labels, "severe", view="PA", rng=np.random.default_rng(4))
    gained = wide - image > 0.2
    assert gained[labels == 2].sum() > 1.5 * gained[labels == 1].sum() > 0


def test_the_same_generator_warps_the_same() -> None:
    image, labels = chest(5)
    first, second = (
        enlarge_heart(image, labels, "mild", view="AP", rng=np.random.default_rng(5))[0]
        for _ in range(2)
    )
    assert np.array_equal(first, second)


def test_a_hidden_heart_border_is_noticed() -> None:
    image, labels = chest()
    assert border_seen(image, labels)
    image[labels == 2] = 0.75
    assert not border_seen(image, labels)
