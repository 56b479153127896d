# SPDX-License-Identifier: Apache-2.0
"""Figures of the segmentation evaluation are right on masks with known answers."""

import numpy as np
import pytest

from monai_cxr_cf.evaluation.segmentation import hausdorff, table


def square(top: int, left: int, side: int = 10) -> np.ndarray:
    """A filled square on 40 x 40."""
    mask = np.zeros((40, 40), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_hausdorff_is_the_shift_and_symmetric() -> None:
    assert hausdorff(square(5, 5), square(5, 5)) == 0.0
    assert hausdorff(square(5, 5), square(5, 12)) == 7.0
    dot = square(5, 5) | square(35, 35, 2)
    assert (
        hausdorff(square(5, 5), dot) == hausdorff(dot, square(5, 5)) == pytest.approx(22 * 2**0.5)
    )
    assert hausdorff(square(5, 5), np.zeros((40, 40), bool)) == float("inf")


def test_hausdorff_agrees_with_monai() -> None:
    import torch
    from monai.metrics import compute_hausdorff_distance

    rng = np.random.default_rng(0)
    for _ in range(3):
        a, b = (square(*rng.integers(2, 20, 2), int(rng.integers(5, 15))) for _ in range(2))
        theirs = compute_hausdorff_distance(
            torch.tensor(a)[None, None].float(), torch.tensor(b)[None, None].float(), True
        )
        assert hausdorff(a, b) == pytest.approx(float(theirs[0, 0]))


def test_table_shows_every_figure_and_each_bar() -> None:
    result = {
        "segmenter": "hybridgnet",
        "collections": {
            "jsrt": {"images": 2, "dice_lungs": 0.97, "dice_heart": 0.9},
            "montgomery": {"images": 1, "dice_lungs": 0.95},
        },
        "bars": [
            {"collection": "jsrt", "figure": "dice_heart", "at_least": 0.933, "reached": False}
        ],
    }
    text = table(result)
    assert "0.9700" in text
    assert "jsrt dice_heart >= 0.933: MISSED" in text
    assert text.splitlines()[3].split() == ["dice_heart", "0.9000", "-"]
