# SPDX-License-Identifier: Apache-2.0
"""The change map: exact signed values, zero in the middle of the table and transparent."""

import numpy as np
import pytest
from CXRCounterfactualLib.scene import change_map, results

from tests.slicer.helpers.runs import Case
from tests.slicer.helpers.scene import Desk, picture


def test_it_is_the_exact_signed_difference_in_display_sense(
    desk: Desk, runs: dict[str, Case]
) -> None:
    for kind in ("plain", "mono1"):
        case = runs[kind]
        source = desk.load(case.source)
        added = results.add_results(desk.scene, desk.app, source, case.result, case.out)
        change = picture(desk.scene.GetNodeByID(added.change_id))
        member = picture(desk.scene.GetNodeByID(added.volume_ids[0])).astype(np.int64)
        assert np.array_equal(change, member - picture(source))
        assert np.abs(change).max() > 0


def test_zero_is_the_middle_of_window_and_table(desk: Desk, runs: dict[str, Case]) -> None:
    case = runs["plain"]
    source = desk.load(case.source)
    added = results.add_results(desk.scene, desk.app, source, case.result, case.out)
    volume = desk.scene.GetNodeByID(added.change_id)
    display = volume.GetDisplayNode()
    assert display.GetLevel() == 0
    assert display.GetWindow() == pytest.approx(2 * np.abs(picture(volume)).max())
    assert display.GetColorNodeID() == change_map.colours(desk.scene).GetID()


def test_the_pipeline_of_slicer_paints_red_up_blue_down_and_nothing_clear(
    desk: Desk, runs: dict[str, Case]
) -> None:
    from vtk.util.numpy_support import vtk_to_numpy

    case = runs["plain"]
    source = desk.load(case.source)
    added = results.add_results(desk.scene, desk.app, source, case.result, case.out)
    volume = desk.scene.GetNodeByID(added.change_id)
    step = volume.GetDisplayNode().GetImageDataConnection().GetProducer()
    step.Update()
    painted = vtk_to_numpy(step.GetOutput().GetPointData().GetScalars()).astype(int)
    change = picture(volume).ravel()
    red, blue, alpha = painted[:, 0], painted[:, 2], painted[:, 3]
    assert (alpha[change == 0] == 0).all()
    strong = np.abs(change) > 0.1 * np.abs(change).max()
    assert (alpha[strong] == 255).all()
    assert (red[strong & (change > 0)] > blue[strong & (change > 0)]).all()
    assert (blue[strong & (change < 0)] > red[strong & (change < 0)]).all()


def test_the_table_deepens_to_both_ends_and_is_made_once(desk: Desk) -> None:
    first, second = change_map.colours(desk.scene), change_map.colours(desk.scene)
    assert first.GetID() == second.GetID()
    assert change_map.entry(0.0)[3] == 0.0
    ramp = [change_map.entry(t) for t in (0.01, 0.1, 0.5, 1.0)]
    assert all(red > blue and alpha == 1 for red, _, blue, alpha in ramp)
    assert [green for _, green, _, _ in ramp] == sorted((c[1] for c in ramp), reverse=True)
    for t in (0.01, 0.1, 0.5, 1.0):
        red, _, blue, alpha = change_map.entry(-t)
        assert (blue > red, alpha) == (True, 1.0)
    assert ramp[-1][:3] == pytest.approx(change_map.RED[1])
    assert first.GetNumberOfColors() == 255
