# SPDX-License-Identifier: Apache-2.0
"""Figures of masks are right on masks with known answers."""

import numpy as np
import pytest

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.measures.masks import cardiothoracic_ratio, dice


def square(top: int, left: int, side: int = 10) -> np.ndarray:
    """A filled square on 40 x 40."""
    mask = np.zeros((40, 40), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_dice_of_shifted_squares() -> None:
    assert dice(square(5, 5), square(5, 5)) == 1.0
    assert dice(square(5, 5), square(5, 10)) == pytest.approx(0.5)
    assert dice(square(5, 5), square(25, 25)) == 0.0
    empty = np.zeros((4, 4), bool)
    assert dice(empty, empty) == 1.0


def test_cardiothoracic_ratio_of_known_widths() -> None:
    labels = np.zeros((50, 100), np.uint8)
    labels[10:40, 0:40], labels[10:40, 60:100], labels[25:40, 30:80] = 1, 2, 3
    assert cardiothoracic_ratio(Organs.from_labels(labels).as_dict()) == pytest.approx(0.5)


def test_without_heart_or_lungs_there_is_no_ratio() -> None:
    chest = {"heart": square(5, 5), "left_lung": square(5, 20), "right_lung": square(25, 5)}
    assert cardiothoracic_ratio(chest) == pytest.approx(10 / 25)
    assert cardiothoracic_ratio({**chest, "heart": square(0, 0, 0)}) is None
    assert cardiothoracic_ratio({"heart": chest["heart"]}) is None
    empty = np.zeros((40, 40), bool)
    assert cardiothoracic_ratio({"heart": chest["heart"], "left_lung": empty}) is None
