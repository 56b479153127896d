# SPDX-License-Identifier: Apache-2.0
"""The compare view as Slicer's pipeline paints it: what a person would see, pixel by pixel.

    CXR_CF_SCREENSHOTS=slicer_extension/Screenshots pytest \\
        tests/slicer/scene/test_compare_picture.py

keeps the strip of source, counterfactual and change map; else it goes to a temporary folder.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from CXRCounterfactualLib.scene import results
from CXRCounterfactualLib.scene.history import Added
from CXRCounterfactualLib.scene.layout import LEFT, RIGHT, Badge, Compare

from tests.slicer.helpers.rendering import photograph
from tests.slicer.helpers.runs import Case
from tests.slicer.helpers.scene import Desk

PIXEL = 2  # of the radiograph, on the screen: a picture is interpolated
MARKED = 50  # rows at the top where SYNTHETIC may stand


@pytest.fixture
def shown(
    desk: Desk, runs: dict[str, Case], request: pytest.FixtureRequest
) -> tuple[Compare, Added]:
    """A run side by side with its source."""
    case = runs[getattr(request, "param", "plain")]
    source = desk.load(case.source)
    added = results.add_results(desk.scene, desk.app, source, case.result, case.out)
    Badge(desk.app).start()
    compare = Compare(desk.app)
    compare.show(added.source_id, added.volume_ids[0])
    return compare, added


def photo(desk: Desk, name: str, side: int = 240) -> Any:
    """A view as it looks now, ``side`` x ``side`` x 3."""
    (view,) = [each for each in desk.app.slice_views() if each.name == name]
    return photograph(desk.scene, view, side).astype(int)


def amber(picture: Any) -> Any:
    """Where a picture is yellow or orange: the mark, and the outlines of region and band."""
    return (picture[..., 0] - picture[..., 2]) > 60


def frames(outlined: Any, marked: Any) -> bool:
    """True if all that is marked lies in the box of the outlines, ``PIXEL`` more on each side."""
    pairs = zip(np.nonzero(outlined), np.nonzero(marked), strict=True)
    return all(
        allowed.min() - PIXEL <= found.min() <= found.max() <= allowed.max() + PIXEL
        for allowed, found in pairs
    )


def test_the_right_view_is_marked_the_left_is_not(desk: Desk, shown: tuple[Compare, Added]) -> None:
    assert amber(photo(desk, RIGHT))[:MARKED].sum() > 200
    assert not amber(photo(desk, LEFT))[:MARKED].any()


def test_both_views_show_the_same_but_for_the_change(
    desk: Desk, shown: tuple[Compare, Added]
) -> None:
    left, right = photo(desk, LEFT)[MARKED:], photo(desk, RIGHT)[MARKED:]
    differs = (left != right).any(axis=2)
    assert differs.sum() > 50
    assert frames(amber(left), differs)


def test_faded_out_the_counterfactual_leaves_nothing_behind(
    desk: Desk, shown: tuple[Compare, Added]
) -> None:
    shown[0].fade(0.0)
    assert np.array_equal(photo(desk, LEFT), photo(desk, RIGHT))


def test_outlines_can_be_taken_off(desk: Desk, shown: tuple[Compare, Added]) -> None:
    compare, added = shown
    assert amber(photo(desk, LEFT)).any()
    compare.outline(added.segmentation_id, False)
    assert not amber(photo(desk, LEFT)).any()


def test_the_change_map_colours_the_change_and_leaves_the_rest_grey(
    desk: Desk, shown: tuple[Compare, Added]
) -> None:
    compare, added = shown
    outlined = amber(photo(desk, LEFT)[MARKED:])
    compare.outline(added.segmentation_id, False)
    plain = photo(desk, LEFT)[MARKED:]
    compare.change_map(added.change_id)
    mapped = photo(desk, RIGHT)[MARKED:]
    coloured = np.ptp(mapped, axis=2) > 12
    assert coloured.sum() > 50
    assert frames(outlined, coloured)
    same = (plain == mapped).all(axis=2)
    assert np.array_equal(same, ~coloured)
    assert same.mean() > 0.9


@pytest.mark.parametrize("shown", ["example"], indirect=True)
def test_the_strip_for_the_documentation_shows_source_counterfactual_and_change(
    desk: Desk, shown: tuple[Compare, Added], tmp_path: Path
) -> None:
    from PIL import Image

    compare, added = shown
    parts = [photo(desk, LEFT, 400), photo(desk, RIGHT, 400)]
    compare.change_map(added.change_id)
    parts.append(photo(desk, RIGHT, 400))
    strip = np.concatenate(parts, axis=1).astype(np.uint8)
    folder = Path(os.environ.get("CXR_CF_SCREENSHOTS") or tmp_path)
    Image.fromarray(strip).save(folder / "compare.jpg", quality=88)
    assert all((a != b).any() for a, b in ((parts[0], parts[1]), (parts[1], parts[2])))
    assert [bool(amber(part)[:MARKED].any()) for part in parts] == [False, True, True]
