# SPDX-License-Identifier: Apache-2.0
"""The geometry judge sees what was drawn, on the side where it was drawn, whatever the contrast."""

import numpy as np
import pytest

from monai_cxr_cf.errors import BadRequest, UnsupportedImage
from monai_cxr_cf.judges.geometry import (
    deviation,
    frame,
    gain,
    measure,
    measure_of,
    normals,
    side_of,
)
from monai_cxr_cf.judges.learn_normals import auc, statistics
from tests.dicom.factory import phantom, phantom_masks

SHAPE = (240, 200)


@pytest.fixture(scope="module")
def organs():
    return {name.replace(" ", "_"): mask for name, mask in phantom_masks(*SHAPE).items()}


@pytest.fixture(scope="module")
def image():
    return phantom(*SHAPE)


def opacity(image, organs, side, zone="lower"):
    """The image with a real opacity drawn into one zone."""
    drawn = image.copy()
    drawn[frame(image, organs).zones[f"{zone}_{side}"]] += 0.3
    return drawn


@pytest.mark.parametrize(("side", "other"), [("left", "right"), ("right", "left")])
def test_an_effusion_gains_on_its_own_side_only(image, organs, side, other) -> None:
    within = frame(image, organs)
    before = measure(image, organs, within)
    after = measure(opacity(image, organs, side, "costophrenic"), organs, within)
    asked = {"finding": "pleural effusion", "side": side}
    assert gain(asked, before, after) > 1
    assert gain({**asked, "side": other}, before, after) < -1
    assert gain({**asked, "direction": "remove"}, before, after) < -1
    assert gain({**asked, "direction": "remove"}, after, before) > 1


def test_a_named_zone_is_measured_there(image, organs) -> None:
    within = frame(image, organs)
    before = measure(image, organs, within)
    after = measure(opacity(image, organs, "left", "lower"), organs, within)
    asked = {"finding": "consolidation", "side": "left"}
    lower = gain({**asked, "zone": "lower"}, before, after)
    assert lower > 1
    assert gain({**asked, "zone": "upper"}, before, after) == 0


def test_a_wider_heart_is_a_gain_of_cardiomegaly(image, organs) -> None:
    before = measure(image, organs)
    wide = organs | {"heart": organs["heart"] | np.roll(organs["heart"], 20, axis=1)}
    after = measure(image, wide, frame(image, organs))
    assert after["cardiothoracic_ratio"] > before["cardiothoracic_ratio"]
    assert gain({"finding": "cardiomegaly"}, before, after) > 1


def test_a_lung_that_its_segmenter_shrinks_does_not_hide_the_opacity(image, organs) -> None:
    drawn = opacity(image, organs, "left")
    lung = organs["left_lung"] & ~frame(image, organs).zones["lower_left"]
    shrunk = measure(drawn, organs | {"left_lung": lung}, frame(image, organs))
    whole = measure(drawn, organs, frame(image, organs))
    assert shrunk["lower_left"] == whole["lower_left"]


def test_contrast_and_brightness_of_the_film_do_not_count(image, organs) -> None:
    plain = measure(image, organs)
    darker = measure((0.6 * image + 0.1).astype(np.float32), organs)
    for name in ("lower_left", "costophrenic_difference", "lung_mean"):
        assert darker[name] == pytest.approx(plain[name], abs=0.02)


def test_a_brighter_image_is_no_one_sided_finding(image, organs) -> None:
    within = frame(image, organs)
    before, after = (measure(x, organs, within) for x in (image, image + 0.1))
    assert gain({"finding": "consolidation", "side": "left"}, before, after) == pytest.approx(0)


def test_every_finding_of_the_vocabulary_has_a_learnt_measure() -> None:
    from monai_cxr_cf.prompts.findings import VOCABULARY

    for name, finding in VOCABULARY.items():
        for side in ("left", "right", None) if finding.sided else (None,):
            key, sign = measure_of(name, side)
            assert key in normals()["spread"]
            assert sign in (-1, 1)


def test_the_side_of_an_effusion_is_the_denser_one_against_normals(image, organs) -> None:
    mean = normals()["views"]["PA"]["costophrenic_difference"][0]
    assert side_of({"costophrenic_difference": mean}, "PA") is None
    assert side_of({"costophrenic_difference": mean + 0.3}, "AP") == "left"
    assert side_of({"costophrenic_difference": mean - 0.3}, "PA") == "right"
    assert deviation("costophrenic_difference", mean, "PA") == 0


def test_no_lung_and_no_such_direction_are_refused(image, organs) -> None:
    with pytest.raises(UnsupportedImage, match="left lung"):
        measure(image, organs | {"left_lung": np.zeros(SHAPE, bool)})
    with pytest.raises(BadRequest, match="direction"):
        gain({"finding": "nodule", "direction": "sideways"}, {}, {})


def test_statistics_are_of_each_view_and_spread_within_views() -> None:
    from tests.evaluation.edits.rows import index_row

    found = [(index_row("a", view="PA"), {"x": 1.0}), (index_row("b", view="PA"), {"x": 3.0})]
    found += [(index_row("c", view="AP"), {"x": 11.0}), (index_row("d", view="AP"), {"x": 13.0})]
    learnt = statistics(found)
    assert learnt["views"]["PA"]["x"] == (2.0, round(2**0.5, 5))
    assert learnt["views"]["AP"]["x"][0] == 12.0
    assert learnt["spread"]["x"] == pytest.approx((4 / 3) ** 0.5, abs=1e-4)
    with pytest.raises(BadRequest, match="AP normals"):
        statistics(found[:2])


def test_auc_counts_pairs() -> None:
    assert auc([2, 3], [0, 1]) == 1
    assert auc([1, 1], [1, 1]) == 0.5
    assert auc([0, 2], [1]) == 0.5
