# SPDX-License-Identifier: Apache-2.0
"""The sampled window: where it lies to the pixel, when it does not fit, what it cuts."""

from dataclasses import replace

import numpy as np
import pytest

from monai_cxr_cf.diffusion.task import EditTask, Target
from monai_cxr_cf.diffusion.window import Window, cut_task, fit_window


def box(full, top, bottom, left, right):
    plane = np.zeros((full, full), np.float32)
    plane[top:bottom, left:right] = 1
    return plane


def task(region, kappa=None, *more):
    kappa = region if kappa is None else kappa
    targets = tuple(Target(f"t{i}", (i,), one) for i, one in enumerate((region, *more)))
    return EditTask(np.zeros_like(region), {}, "words", targets, kappa)


def fit(region, kappa=None, *more, crop=384, multiple=64, factor=8):
    return fit_window(task(region, kappa, *more), roi_crop=crop, multiple=multiple, factor=factor)


@pytest.mark.parametrize(
    ("crop", "multiple", "full", "side"),
    [
        *[(384, 64, 512, 384), (400, 64, 512, 384), (447, 64, 512, 384), (448, 64, 512, 448)],
        *[(384, 64, 128, 64), (384, 8, 256, 192), (100, 8, 256, 48), (1, 1, 512, 1)],
    ],
)
def test_the_side_is_scaled_to_the_model_and_floored(crop, multiple, full, side):
    found = fit(box(full, 0, 1, 0, 1) * 1.0, crop=crop, multiple=multiple, factor=1)
    assert found is None if side == 1 else found == Window(0, 0, side, full)


@pytest.mark.parametrize("crop", [0, 512, 600, 63])
def test_no_window_where_it_is_off_the_whole_image_or_nothing(crop):
    assert fit(box(512, 0, 10, 0, 10), crop=crop) is None


def test_the_region_must_fit_with_a_quarter_to_spare():
    for axis in (0, 1):
        for extent, fits in ((256, True), (257, False)):
            size = [(10, 20), (10, 20)]
            size[axis] = (100, 100 + extent)
            region = box(512, *size[0], *size[1])
            assert (fit(region, crop=320) is not None) == fits


def test_everything_with_weight_must_fit_exactly():
    for axis in (0, 1):
        for end, fits in ((16 + 320, True), (16 + 321, False)):
            size = [(30, 40), (30, 40)]
            size[axis] = (16, end)
            kappa = box(512, *size[0], *size[1]) * 0.01
            found = fit(box(512, 30, 40, 30, 40), kappa, crop=320)
            assert (found is not None) == fits
            if fits:
                assert (found.top, found.left)[axis] == 16


def test_the_window_is_centred_on_the_regions_and_its_corner_lies_on_a_cell():
    assert fit(box(512, 200, 240, 250, 310)) == Window(24, 88, 384, 512)  # 220 - 192, 280 - 192
    assert fit(box(512, 204, 244, 251, 309)) == Window(32, 88, 384, 512)
    assert fit(box(512, 200, 240, 250, 310), factor=1) == Window(28, 88, 384, 512)
    assert fit(box(512, 0, 40, 460, 512)) == Window(0, 128, 384, 512)
    two = fit(box(512, 100, 140, 30, 60), None, box(512, 200, 260, 100, 330), factor=1)
    assert two == Window(0, 0, 384, 512)
    low = fit(box(512, 200, 240, 230, 260), None, box(512, 250, 310, 300, 430), factor=1)
    assert low == Window(63, 128, 384, 512)  # rows 200..310; columns 230..430, held at 512 - 384


def test_the_window_moves_just_enough_to_hold_the_band():
    region = box(512, 100, 140, 200, 240)
    far = np.maximum(region, box(512, 100, 400, 200, 210) * 0.1)
    assert fit(region, far, factor=1) == Window(16, 28, 384, 512)
    assert fit(region, far) == Window(16, 24, 384, 512)
    farther = np.maximum(region, box(512, 100, 401, 200, 210) * 0.1)
    assert fit(region, farther) == Window(24, 24, 384, 512)  # rounded down it would cut one row
    near = np.maximum(box(512, 400, 440, 200, 240), box(512, 90, 440, 200, 210) * 0.1)
    assert fit(box(512, 400, 440, 200, 240), near, factor=1) == Window(90, 28, 384, 512)
    assert fit(box(512, 400, 440, 200, 240), near) == Window(88, 24, 384, 512)


def test_a_band_that_fits_between_no_two_cells_is_refused():
    region = box(512, 200, 240, 200, 240)
    kappa = np.maximum(region, box(512, 60, 444, 200, 201) * 0.5)  # 384 rows, from row 60
    assert fit(region, kappa, factor=1) == Window(60, 28, 384, 512)
    assert fit(region, kappa) is None
    assert fit(region.T.copy(), kappa.T.copy()) is None


def test_cutting_and_putting_back():
    window = Window(top=1, left=2, side=2, full=4)
    plane = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert window.cut(plane).tolist() == [[6, 7], [10, 11]]
    assert window.cut(np.stack([plane, -plane])).tolist() == [
        [[6, 7], [10, 11]],
        [[-6, -7], [-10, -11]],
    ]
    pieces = np.full((3, 2, 2), 99, np.float32)
    whole = window.put(pieces, plane)
    assert whole.shape == (3, 4, 4)
    assert whole[2].tolist() == [[0, 1, 2, 3], [4, 5, 99, 99], [8, 9, 99, 99], [12, 13, 14, 15]]
    assert plane.max() == 15
    assert window.as_dict() == {"top": 1, "left": 2, "side": 2, "full": 4}


def test_a_task_is_cut_in_all_its_planes_and_keeps_its_words():
    rng = np.random.default_rng(0)
    region, other, kappa, image, lung = rng.random((5, 4, 4)).astype(np.float32)
    whole = replace(task(region, kappa, other), image=image, organs={"left_lung": lung})
    window = Window(top=1, left=0, side=2, full=4)
    part = cut_task(whole, window)
    assert np.array_equal(part.image, image[1:3, :2])
    assert np.array_equal(part.kappa, kappa[1:3, :2])
    assert np.array_equal(part.organs["left_lung"], lung[1:3, :2])
    for target, plane in zip(part.targets, (region, other), strict=True):
        assert np.array_equal(target.region, plane[1:3, :2])
    assert (part.prompt, part.side) == ("words", 2)
