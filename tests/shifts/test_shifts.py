# SPDX-License-Identifier: Apache-2.0
"""Shifts: nothing at amount 0, the same pixels every time, marks where they belong and only there.

And the same as MONAI dictionary transforms.
"""

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.shifts.table import MARK, SHIFTS, shifted
from monai_cxr_cf.transforms.shifts import RandShiftRadiographd, ShiftRadiographd


@pytest.fixture
def image():
    """A soft pattern without strokes, 120 x 100."""
    y, x = np.mgrid[0:1:120j, 0:1:100j]
    return (0.4 + 0.2 * np.sin(5 * x) * np.cos(4 * y)).astype(np.float32)


@pytest.mark.parametrize("name", SHIFTS)
def test_a_shift_is_exact_and_stays_in_range(image, name):
    before = image.copy()
    assert np.array_equal(shifted(image, name, 0), image)
    full, half = shifted(image, name), shifted(image, name, 0.5)
    assert np.array_equal(shifted(image, name), full)
    assert np.array_equal(image, before)
    assert (full.shape, full.dtype) == (image.shape, np.float32)
    assert 0 <= full.min() <= full.max() <= 1
    moved, less = np.abs(full - image).mean(), np.abs(half - image).mean()
    if name == "marks_erased":
        assert moved == 0  # there are none
    else:
        assert 0 < less < moved or name == "polarity"


PLACES = {  # rows and columns, in shares, that hold all of a mark
    "letter_left": ((0.07, 0.16), (0.83, 0.91)),
    "letter_right": ((0.07, 0.16), (0.07, 0.15)),
    "text_box": ((0.87, 0.96), (0.05, 0.64)),
    "device": ((0.16, 0.68), (0.5, 0.85)),
    "drain": ((0.32, 0.74), (0.0, 0.32)),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_mark_changes_its_place_only(image, name):
    (top, bottom), (left, right) = PLACES[name]
    rows, columns = np.nonzero(shifted(image, name) != image)
    assert top <= rows.min() / 120 <= rows.max() / 120 < bottom
    assert left <= columns.min() / 100 <= columns.max() / 100 < right
    assert SHIFTS[name].kind == MARK


def test_letters_are_drawn_as_letters():
    black = np.zeros((100, 100), np.float32)
    lit = shifted(black, "letter_left") > 0
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    letter = lit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(int)
    assert letter.tolist() == [[1, 0, 0, 0, 0]] * 6 + [[1] * 5]
    assert rows[0] == 8
    assert columns[0] == 84


def test_frames_lie_outside(image):
    assert np.array_equal(shifted(image, "border")[2:-2, 2:-2], image[2:-2, 2:-2])
    assert (shifted(image, "border")[:2] == np.float32(0.95)).all()
    shut = shifted(image, "collimation")
    assert (shut[:9] == 0).all()
    assert np.array_equal(shut[9:-9, 9:-9], image[9:-9, 9:-9])


def test_what_is_written_can_be_taken_away(image):
    for name in ("letter_left", "letter_right", "text_box"):
        marked = shifted(image, name)
        assert np.abs(marked - image).max() > 0.3
        assert np.abs(shifted(marked, "marks_erased") - image).max() < 0.08
    assert np.allclose(shifted(shifted(image, "polarity"), "polarity"), image, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "amount", "shape", "words"),
    [("halo", 1, (20, 20), "Unknown shift 'halo'"), ("border", 2, (20, 20), "expected 0 to 1"),
     ("border", 1, (2, 20, 20), "expected H x W")],
)  # fmt: skip
def test_what_is_no_shift_is_told(name, amount, shape, words):
    with pytest.raises(BadRequest, match=words):
        shifted(np.zeros(shape, np.float32), name, amount)


def test_as_dictionary_transforms(image):
    item = {"image": MetaTensor(torch.from_numpy(image)[None], meta={"a": 1}), "name": "x"}
    out = Compose([ShiftRadiographd("image", "border", 0.5)])(item)
    assert isinstance(out["image"], MetaTensor)
    assert (out["image"].meta["a"], out["name"]) == (1, "x")
    assert np.array_equal(out["image"][0].numpy(), shifted(image, "border", 0.5))
    assert np.array_equal(item["image"][0].numpy(), image)
    random = RandShiftRadiographd("image", prob=1.0).set_random_state(3)
    first, second = (random(item)["image"].numpy() for _ in range(2))
    assert not np.array_equal(first, second)
    random.set_random_state(3)
    assert np.array_equal(random(item)["image"].numpy(), first)
    never = RandShiftRadiographd("image", prob=0.0)({"image": image[None]})["image"]
    assert np.array_equal(never[0], image)
    with pytest.raises(BadRequest, match="Unknown shift"):
        ShiftRadiographd("image", "halo")
    with pytest.raises(BadRequest, match="C x H x W"):
        ShiftRadiographd("image", "border")({"image": image})
