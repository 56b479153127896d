# SPDX-License-Identifier: Apache-2.0
"""An upside-down chest is refused, one whose heart lies on the right is told; others are not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.organs import Organs, check
from monai_cxr_cf.anatomy.upright import check_upright, heart_along, lungs_swapped
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.errors import UnsupportedImage
from monai_cxr_cf.request import OrganRequest
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.organs import find_organs
from tests.dicom.factory import phantom, phantom_masks

MASKS = phantom_masks(120, 96)
ORGANS = Organs(MASKS["right lung"], MASKS["left lung"], MASKS["heart"])
ROW = np.linspace(0, 1, 120, dtype=np.float32)[:, None]


def chest(above: float, below: float, lung: float, heart: float) -> NDArray[np.float32]:
    """Flat greys above, below and in the organs."""
    picture = np.where(ROW < 0.5, np.float32(above), np.float32(below)) * np.ones((1, 96), "f4")
    picture[ORGANS.lungs], picture[ORGANS.heart] = lung, heart
    return picture


# above, below, lungs, heart -> is it taken for an upright chest
GREYS: dict[str, tuple[tuple[float, float, float, float], bool]] = {
    "a usual one": ((0.4, 0.8, 0.2, 0.7), True),
    "a faint heart": ((0.4, 0.8, 0.3, 0.4), True),
    "white lungs": ((0.4, 0.8, 0.75, 0.7), True),
    "a dark belly": ((0.7, 0.4, 0.2, 0.7), True),
    "as dark below as above": ((0.5, 0.5, 0.3, 0.4), True),
    "upside down": ((0.8, 0.4, 0.4, 0.45), False),
    "upside down, heart darker": ((0.8, 0.3, 0.5, 0.3), False),
    "upside down, nearly as dark": ((0.55, 0.5, 0.4, 0.5), False),
}


@pytest.mark.parametrize("name", GREYS)
def test_dark_below_and_a_heart_like_the_lungs_is_upside_down(name: str) -> None:
    greys, upright = GREYS[name]
    if upright:
        check_upright(ORGANS, chest(*greys))
        return
    with pytest.raises(UnsupportedImage, match="upside down") as caught:
        check_upright(ORGANS, chest(*greys))
    assert caught.value.code == "upside_down"
    assert "--orientation R/H" in caught.value.hint


def test_the_phantom_is_upright_and_padding_does_not_count() -> None:
    picture = phantom(120, 96)
    check_upright(ORGANS, picture)
    valid = np.ones(picture.shape, bool)
    valid[-6:] = False
    black = chest(0.5, 0.6, 0.3, 0.4)
    black[~valid] = 0
    check_upright(ORGANS, black, valid)


def test_lungs_that_reach_the_edges_are_judged_at_their_tips() -> None:
    lungs = np.zeros((90, 80), bool)
    lungs[:, 5:30] = True
    heart = np.zeros_like(lungs)
    heart[40:80, 32:48] = True
    organs = Organs(lungs, lungs[:, ::-1].copy(), heart)
    picture = np.tile(np.linspace(0.2, 0.9, 90, dtype=np.float32)[:, None], (1, 80))
    check_upright(organs, picture)
    with pytest.raises(UnsupportedImage, match="upside down"):
        check_upright(organs, 1 - picture)


def test_a_heart_on_the_right_lies_before_the_middle_and_is_no_refusal() -> None:
    assert heart_along(ORGANS) > 0.5
    mirrored = Organs(*(mask[:, ::-1] for mask in (ORGANS.left_lung, ORGANS.right_lung)),
                      ORGANS.heart[:, ::-1])  # fmt: skip
    assert heart_along(mirrored) == pytest.approx(1 - heart_along(ORGANS))
    limits = {"heart_along": (0.45, 0.72)}
    for share in (0.36, 0.44):
        moved = Organs(ORGANS.right_lung, ORGANS.left_lung, heart_at(share))
        assert heart_along(moved) == pytest.approx(share, abs=0.05)
        check(moved, limits)
    with pytest.raises(UnsupportedImage, match="place of the heart between right"):
        check(Organs(ORGANS.right_lung, ORGANS.left_lung, heart_at(0.1)), limits)
    assert not lungs_swapped(ORGANS)
    assert lungs_swapped(Organs(ORGANS.left_lung, ORGANS.right_lung, ORGANS.heart))


def heart_at(share: float) -> NDArray[np.bool_]:
    """A box at a share of the way from the right lung to the left one."""
    right, left = (np.nonzero(mask)[1].mean() for mask in (ORGANS.right_lung, ORGANS.left_lung))
    column = round(right + share * (left - right))
    heart = np.zeros(ORGANS.shape, bool)
    heart[60:90, column - 3 : column + 4] = True
    return heart


@pytest.mark.weights
def test_the_example_stands_and_its_turned_copies_do_not(root: Path) -> None:
    networks = Networks()
    radiograph = read_source(root / "docs" / "example.dcm")
    choice = OrganRequest("example.dcm")
    found = find_organs(choice, radiograph, networks)
    assert found.refusal is None
    assert found.scene.notes == ()
    expected = {
        "turned": ((slice(None, None, -1), slice(None, None, -1)), "upside_down"),
        "mirrored": ((slice(None), slice(None, None, -1)), "mirrored"),
    }
    for name, (way, code) in expected.items():
        other = moved(radiograph, way)
        found = find_organs(choice, other, networks)
        codes = [note[0] for note in found.scene.notes]
        refused = None if found.refusal is None else found.refusal.code
        assert (refused or codes[0]) == code, name


def moved(radiograph: Radiograph, way: tuple[slice, slice]) -> Radiograph:
    """The same radiograph with its pixels moved, and no header that says so."""
    arrays = {k: np.ascontiguousarray(getattr(radiograph, k)[way])
              for k in ("pixels", "valid", "stored")}  # fmt: skip
    return replace(radiograph, **arrays)
