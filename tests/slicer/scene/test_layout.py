# SPDX-License-Identifier: Apache-2.0
"""The compare view on Slicer's own view nodes: what is shown, marked, faded and put back."""

from typing import Any

import pytest
from CXRCounterfactualLib.scene import results
from CXRCounterfactualLib.scene.history import Added
from CXRCounterfactualLib.scene.layout import MARK, Badge, Compare

from tests.slicer.helpers.runs import Case
from tests.slicer.helpers.scene import Desk


@pytest.fixture
def added(desk: Desk, runs: dict[str, Case]) -> Added:
    """A run in the scene."""
    case = runs["plain"]
    source = desk.load(case.source)
    return results.add_results(desk.scene, desk.app, source, case.result, case.out)


def view(desk: Desk, name: str) -> Any:
    """A slice view by its name."""
    (found,) = [each for each in desk.app.slice_views() if each.name == name]
    return found


def layers(desk: Desk, name: str) -> tuple[Any, Any, float]:
    """(background, foreground, opacity) of a view."""
    composite = view(desk, name).composite
    return (
        composite.GetBackgroundVolumeID(),
        composite.GetForegroundVolumeID(),
        composite.GetForegroundOpacity(),
    )


def marked(desk: Desk, name: str) -> bool:
    """Whether a view bears the words SYNTHETIC."""
    actors = view(desk, name).renderer.GetActors2D()
    texts = [actors.GetItemAsObject(index) for index in range(actors.GetNumberOfItems())]
    return any(text.GetInput() == MARK and text.GetVisibility() for text in texts)


def plane(desk: Desk, name: str) -> list[float]:
    """The sixteen numbers of a view's plane."""
    matrix = view(desk, name).node.GetSliceToRAS()
    return [matrix.GetElement(i, j) for i in range(4) for j in range(4)]


def test_side_by_side_shows_source_and_counterfactual_linked_in_one_plane(
    desk: Desk, added: Added
) -> None:
    source, cf = added.source_id, added.volume_ids[0]
    Compare(desk.app).show(source, cf)
    assert desk.app.current_layout() == 29
    assert layers(desk, "Red") == (source, cf, 0.0)
    assert layers(desk, "Yellow") == (source, cf, 1.0)
    assert plane(desk, "Red")[:3] == pytest.approx(plane(desk, "Yellow")[:3])
    for name in ("Red", "Yellow"):
        assert view(desk, name).composite.GetLinkedControl()


def test_fade_and_flicker_go_between_source_and_counterfactual(desk: Desk, added: Added) -> None:
    compare = Compare(desk.app)
    compare.show(added.source_id, added.volume_ids[0])
    for opacity, expected in ((0.3, 0.3), (7.0, 1.0), (-1.0, 0.0)):
        compare.fade(opacity)
        assert layers(desk, "Yellow")[2] == expected
        assert layers(desk, "Red")[2] == 0.0
    compare.flicker(True)
    assert layers(desk, "Yellow")[2] == 1.0
    compare.flicker(False)
    assert layers(desk, "Yellow")[2] == 0.0


def test_one_up_fades_in_one_large_view(desk: Desk, added: Added) -> None:
    compare = Compare(desk.app)
    compare.one_up(added.source_id, added.volume_ids[0])
    assert desk.app.current_layout() == 6
    compare.fade(0.8)
    assert layers(desk, "Red") == (added.source_id, added.volume_ids[0], 0.8)


def test_the_change_map_lies_over_the_source_and_goes_away_again(desk: Desk, added: Added) -> None:
    compare = Compare(desk.app)
    compare.show(added.source_id, added.volume_ids[0])
    compare.change_map(added.change_id)
    assert layers(desk, "Yellow") == (added.source_id, added.change_id, 1.0)
    compare.change_map("")
    assert layers(desk, "Yellow") == (added.source_id, added.volume_ids[0], 1.0)


def test_the_outlines_can_be_hidden(desk: Desk, added: Added) -> None:
    display = desk.scene.GetNodeByID(added.segmentation_id).GetDisplayNode()
    compare = Compare(desk.app)
    compare.outline(added.segmentation_id, False)
    assert not display.GetVisibility()
    compare.outline(added.segmentation_id, True)
    assert display.GetVisibility()
    compare.outline("", True)


def test_leaving_puts_everything_back_as_it_was(desk: Desk, added: Added) -> None:
    layout = desk.app.current_layout()
    view(desk, "Red").composite.SetBackgroundVolumeID(added.segmentation_id)
    view(desk, "Yellow").composite.SetForegroundOpacity(0.25)
    names = ("Red", "Yellow", "Green")
    before = {name: (layers(desk, name), plane(desk, name)) for name in names}
    compare = Compare(desk.app)
    compare.show(added.source_id, added.volume_ids[0])
    compare.one_up(added.source_id, added.volume_ids[0])
    compare.change_map(added.change_id)
    compare.leave()
    assert desk.app.current_layout() == layout
    assert {name: (layers(desk, name), plane(desk, name)) for name in names} == before


def test_leaving_after_the_scene_was_closed_shows_no_ghosts(desk: Desk, added: Added) -> None:
    view(desk, "Red").composite.SetBackgroundVolumeID(added.source_id)
    compare = Compare(desk.app)
    compare.show(added.source_id, added.volume_ids[0])
    for identifier in (added.source_id, added.volume_ids[0], added.change_id):
        desk.scene.RemoveNode(desk.scene.GetNodeByID(identifier))
    compare.leave()
    assert layers(desk, "Red")[0] is None
    compare.leave()


def test_synthetic_stands_on_every_view_that_shows_what_the_model_made(
    desk: Desk, added: Added
) -> None:
    badge, compare = Badge(desk.app), Compare(desk.app)
    badge.start()
    assert not any(marked(desk, name) for name in ("Red", "Yellow", "Green"))
    compare.show(added.source_id, added.volume_ids[0])
    assert (marked(desk, "Red"), marked(desk, "Yellow")) == (False, True)
    compare.fade(0.01)
    assert marked(desk, "Yellow"), "however faint"
    compare.fade(0.0)
    assert not marked(desk, "Yellow")
    compare.change_map(added.change_id)
    assert marked(desk, "Yellow")
    # The user may show it anywhere else, by Slicer's own menus.
    view(desk, "Green").composite.SetBackgroundVolumeID(added.volume_ids[0])
    assert marked(desk, "Green")


def test_the_mark_stays_after_the_comparison_and_goes_with_the_module(
    desk: Desk, added: Added
) -> None:
    badge, compare = Badge(desk.app), Compare(desk.app)
    view(desk, "Green").composite.SetBackgroundVolumeID(added.volume_ids[0])
    badge.start()
    badge.update()
    compare.show(added.source_id, added.volume_ids[0])
    compare.leave()
    assert marked(desk, "Green")
    badge.stop()
    assert not marked(desk, "Green")
    view(desk, "Red").composite.SetBackgroundVolumeID(added.volume_ids[0])
    assert not marked(desk, "Red"), "nothing is watched any more"
