# SPDX-License-Identifier: Apache-2.0
"""Organ masks are cleaned, keep the patient's sides, and are refused if they cannot be a chest."""

import numpy as np
import pytest
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.learn_limits import limits_of
from monai_cxr_cf.anatomy.organs import Organs, check, learnt_limits, measures
from monai_cxr_cf.errors import BadRequest, UnsupportedImage


def ellipse(centre: tuple[float, float], radii: tuple[float, float]) -> NDArray[np.bool_]:
    """A filled ellipse on a 200 x 200 grid."""
    y, x = np.mgrid[:200, :200]
    return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 <= 1


def chest(shift: float = 0.0) -> Organs:
    """A plausible chest; ``shift`` moves the heart towards the feet, in rows."""
    labels = np.zeros((200, 200), np.uint8)
    labels[ellipse((95, 55), (65, 28))] = 1
    labels[ellipse((95, 145), (65, 27))] = 2
    labels[ellipse((120 + shift, 108), (26, 32))] = 3
    return Organs.from_labels(labels)


def test_labels_and_masks_are_inverse() -> None:
    organs = chest()
    assert np.array_equal(Organs.from_labels(organs.labels()).labels(), organs.labels())
    assert list(organs.as_dict()) == ["right_lung", "left_lung", "heart"]
    assert organs.union.sum() == sum(mask.sum() for mask in organs.as_dict().values())


def test_cleaning_keeps_the_largest_piece_and_fills_holes() -> None:
    organs = chest()
    dirty = organs.labels()
    dirty[80:84, 50:54] = 0
    dirty[190:195, 190:195] = 1
    cleaned = Organs.from_labels(dirty).clean()
    assert np.array_equal(cleaned.labels(), organs.labels())


def test_overlaps_go_to_the_heart() -> None:
    organs = chest()
    overlapping = Organs(organs.right_lung | organs.heart, organs.left_lung, organs.heart).clean()
    assert not (overlapping.right_lung & overlapping.heart).any()
    assert np.array_equal(overlapping.heart, organs.heart)


def test_user_masks_win_over_the_segmenter() -> None:
    organs = chest()
    bigger = organs.heart | ellipse((120, 130), (30, 40))
    merged = organs.replaced({"heart": bigger})
    assert np.array_equal(merged.heart, bigger)
    assert not (merged.left_lung & bigger).any()
    with pytest.raises(BadRequest, match="mask is"):
        organs.replaced({"heart": np.ones((3, 3), bool)})


def test_masks_of_different_shapes_cannot_be_organs() -> None:
    with pytest.raises(BadRequest, match="shapes"):
        Organs(np.ones((4, 4), bool), np.ones((4, 5), bool), np.ones((4, 4), bool))


def test_measures_do_not_depend_on_mirroring_or_size() -> None:
    here = measures(chest())
    mirror = measures(Organs(*(m[:, ::-1] for m in chest().as_dict().values())))
    large = measures(
        Organs(*(np.kron(m, np.ones((3, 3), bool)) for m in chest().as_dict().values()))
    )
    assert mirror == pytest.approx(here, abs=1e-3)
    assert large == pytest.approx(here, abs=0.02)


def test_limits_widen_what_was_seen_and_agreement_has_no_upper_limit() -> None:
    rng = np.random.default_rng(0)
    found = [
        {"lungs_share": float(x), "agreement": float(y)}
        for x, y in zip(rng.uniform(0.2, 0.4, 400), np.linspace(0, 1, 400), strict=True)
    ]
    limits = limits_of(found)
    assert limits["lungs_share"][0] < 0.2 < 0.4 < limits["lungs_share"][1] < 0.6
    assert limits["agreement"] == [0.01, 1.0]  # the least sure per cent is refused


def test_plausible_chest_passes_the_learnt_limits() -> None:
    found = check(chest(), agreement=0.95)
    assert set(learnt_limits()) <= set(found)


def _missing_heart() -> Organs:
    return Organs(chest().right_lung, chest().left_lung, np.zeros((200, 200), bool))


def _tiny_lung() -> Organs:
    return Organs(chest().right_lung, ellipse((95, 145), (12, 6)), chest().heart)


def _swapped_heart() -> Organs:
    return Organs(chest().right_lung, chest().heart, chest().left_lung)


@pytest.mark.parametrize(
    "implausible", [_missing_heart, _tiny_lung, _swapped_heart, lambda: chest(shift=75)]
)
def test_implausible_anatomy_is_refused_with_advice(implausible) -> None:
    with pytest.raises(UnsupportedImage) as refusal:
        check(implausible())
    assert refusal.value.code == "implausible_anatomy"
    assert "--masks" in refusal.value.hint


def test_unsure_segmenter_is_refused() -> None:
    with pytest.raises(UnsupportedImage, match="agreement"):
        check(chest(), agreement=0.2)
