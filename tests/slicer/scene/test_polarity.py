# SPDX-License-Identifier: Apache-2.0
"""A counterfactual read otherwise than its source comes to the source's values, by the pixels."""

from typing import Any

import numpy as np
import pytest
from CXRCounterfactualLib.scene import pictures

from tests.slicer.helpers.scene import Desk, picture

TOP12, TOP15, TOP16 = 4095, 32767, 65535
# name -> (source as it was read, counterfactual as it was read, was it brought over), of the values
# v in the source's file and w in the counterfactual's.
READERS: dict[str, tuple[Any, Any, bool]] = {
    "both as stored": (lambda v: v, lambda w: w, False),
    "both inverted over 12 bits": (lambda v: TOP12 - v, lambda w: TOP12 - w, False),
    "source inverted": (lambda v: TOP12 - v, lambda w: w, True),
    "result inverted": (lambda v: v, lambda w: TOP12 - w, True),
    "stream of 16 bits, 12 stored": (lambda v: TOP16 - v, lambda w: TOP12 - w, True),
    "stream of 16 bits, 15 stored": (lambda v: TOP16 - v, lambda w: TOP15 - w, True),
    "stream of 15 bits, 16 stored": (lambda v: TOP15 - v, lambda w: TOP16 - w, True),
    "16 bits against as stored": (lambda v: TOP16 - v, lambda w: w, True),
    "rescaled by an intercept": (lambda v: v + 1024, lambda w: w, True),
}


def volume(desk: Desk, values: Any) -> Any:
    """A volume node of these values."""
    node = desk.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "made")
    pictures.put_pixels(node, np.ascontiguousarray(values.astype(np.uint16)))
    return node


@pytest.mark.parametrize("name", READERS)
def test_values_follow_the_source_whatever_each_reader_did(name: str, desk: Desk) -> None:
    chance = np.random.default_rng(4)
    stored = chance.integers(200, 3800, (90, 70))
    edited = stored.copy()
    edited[50:80, 10:60] += 150  # 24 % of the pixels
    read_source, read_result, moved = READERS[name]
    source, result = volume(desk, read_source(stored)), volume(desk, read_result(edited))
    assert pictures.match_polarity(source, result) is moved
    expected = read_source(edited).astype(np.uint16)
    assert np.array_equal(picture(result), expected)


def test_pictures_that_have_nothing_in_common_are_left_alone(desk: Desk) -> None:
    chance = np.random.default_rng(5)
    one, other = (volume(desk, chance.integers(0, TOP12, (60, 50))) for _ in range(2))
    before = picture(other).copy()
    assert pictures.match_polarity(one, other) is False
    assert np.array_equal(picture(other), before)


def test_values_beyond_the_source_s_type_stop_at_its_end(desk: Desk) -> None:
    stored = np.full((40, 40), 100)
    stored[::2] = 200
    edited = stored.copy()
    edited[:5] = TOP16
    source, result = volume(desk, TOP12 - stored), volume(desk, edited)
    assert pictures.match_polarity(source, result) is True
    assert set(np.unique(picture(result)[:5])) == {0}
    assert np.array_equal(picture(result)[5:], (TOP12 - stored)[5:])
