# SPDX-License-Identifier: Apache-2.0
"""A saved scene explains itself: runs, parameters and pictures come back from an .mrb file."""

import json
from typing import Any

import numpy as np
import pytest
from CXRCounterfactualLib.contract import params
from CXRCounterfactualLib.scene import history, results

from tests.slicer.helpers.runs import Case
from tests.slicer.helpers.scene import Desk, picture, save_and_open


@pytest.fixture
def added(desk: Desk, runs: dict[str, Case]) -> history.Added:
    """The sweep in the scene."""
    source = desk.load(runs["sweep"].source)
    return results.add_results(
        desk.scene, desk.app, source, runs["sweep"].result, runs["sweep"].out
    )


def test_the_history_lists_what_was_added(desk: Desk, added: history.Added) -> None:
    (past,) = history.history(desk.scene)
    kept = {name: getattr(past, name) for name in history._SAVED}
    assert kept == {name: getattr(added, name) for name in history._SAVED}
    assert (past.volume_ids, past.source_id) == (added.volume_ids, added.source_id)


def test_runs_come_back_from_a_saved_scene(
    desk: Desk, runs: dict[str, Case], added: history.Added
) -> None:
    case = runs["plain"]
    source = desk.load(case.source)
    results.add_results(desk.scene, desk.app, source, case.result, case.out)
    opened = save_and_open(desk.scene, desk.folder / "saved.mrb")
    first, second = history.history(opened)
    assert (first.run, first.words, first.choice) == (added.run, added.words, dict(added.choice))
    assert second.choice["prompt"] == "moderate left pleural effusion"
    for now, before in zip(first.volume_ids, added.volume_ids, strict=True):
        restored = picture(opened.GetNodeByID(now))
        assert np.array_equal(restored, picture(desk.scene.GetNodeByID(before)))
    change = opened.GetNodeByID(first.change_id)
    table = change.GetDisplayNode().GetColorNode()
    assert table.GetNumberOfColors() == 255
    assert opened.GetNodeByID(first.source_id).GetName() != opened.GetNodeByID(second.source_id)
    assert opened.GetNodeByID(first.segmentation_id).GetSegmentation().GetNumberOfSegments() == 5


def test_a_run_of_a_saved_scene_can_be_taken_up_again(desk: Desk, added: history.Added) -> None:
    opened = save_and_open(desk.scene, desk.folder / "saved.mrb")
    (past,) = history.history(opened)
    assert past.run == added.run
    results.show_member(opened, past, 2)
    member, source = (opened.GetNodeByID(i) for i in (past.volume_ids[2], past.source_id))
    change = picture(opened.GetNodeByID(past.change_id))
    assert np.array_equal(change, picture(member).astype(float) - picture(source))


def test_the_parameter_node_comes_back_from_a_saved_scene(desk: Desk, added: history.Added) -> None:
    node = desk.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "CXRCounterfactual")
    choice = params.Choice(**{**added.choice, "overrides": {"sampling": {"steps": 4}}})
    wanted = params.Parameters(node)
    wanted.write(choice)
    wanted.source_id = added.source_id
    opened = save_and_open(desk.scene, desk.folder / "saved.mrb")
    found = params.Parameters(opened.GetFirstNodeByName("CXRCounterfactual"))
    assert found.read() == choice
    source = opened.GetNodeByID(found.source_id)
    assert source.GetName() == desk.scene.GetNodeByID(added.source_id).GetName()


def test_the_choice_repeats_the_run_with_the_seeds_that_were_drawn(
    desk: Desk, runs: dict[str, Case], added: history.Added
) -> None:
    choice = params.Choice(**added.choice)
    assert (choice.finding, choice.severity, choice.direction) == ("cardiomegaly", 0.7, "add")
    assert (choice.levels, choice.seeds) == ((0.5, 1.0), (3, 4))
    plain = runs["plain"]
    report = json.loads((plain.out / "report.json").read_text())
    drawn = history.choice_of(report["request"], report["seeds"])
    assert "seeds" not in report["request"]
    assert params.Choice(**drawn).seeds == tuple(report["seeds"])


def test_attributes_say_in_plain_words_how_a_volume_was_made(
    desk: Desk, runs: dict[str, Case], added: history.Added
) -> None:
    report = json.loads((runs["sweep"].out / "report.json").read_text())
    volume = desk.scene.GetNodeByID(added.volume_ids[0])
    read: Any = volume.GetAttribute
    assert read("CXRCF.prompt") == "add severe cardiomegaly"
    assert (read("CXRCF.seed"), read("CXRCF.severity")) == ("3", "0.5")
    assert read("CXRCF.strength") == str(report["strength"])
    for weights in report["weights"]:
        assert f"{weights['name']} sha256:{weights['sha256']}" in read("CXRCF.weights")
    assert read("CXRCF.version") == report["versions"]["monai_cxr_cf"]


def test_a_removed_member_leaves_the_others_with_their_own_labels(
    desk: Desk, added: history.Added
) -> None:
    desk.scene.RemoveNode(desk.scene.GetNodeByID(added.volume_ids[1]))
    (past,) = history.history(desk.scene)
    assert past.labels == tuple(added.labels[i] for i in (0, 2, 3))
    assert (past.seeds, past.levels) == ((3, 4, 4), (0.5, 0.5, 1.0))


def test_removed_nodes_leave_no_id_behind(desk: Desk, added: history.Added) -> None:
    for identifier in (added.change_id, added.segmentation_id, added.source_id):
        desk.scene.RemoveNode(desk.scene.GetNodeByID(identifier))
    (past,) = history.history(desk.scene)
    assert (past.change_id, past.segmentation_id, past.source_id) == ("", "", "")
    assert results.show_member(desk.scene, past, 0) == past.volume_ids[0]
    for identifier in past.volume_ids:
        desk.scene.RemoveNode(desk.scene.GetNodeByID(identifier))
    assert history.history(desk.scene) == []


def test_a_record_that_was_tampered_with_is_left_out(
    desk: Desk, runs: dict[str, Case], added: history.Added
) -> None:
    case = runs["plain"]
    source = desk.load(case.source)
    good = results.add_results(desk.scene, desk.app, source, case.result, case.out)
    for identifier in added.volume_ids:
        desk.scene.GetNodeByID(identifier).SetAttribute(history.RECORD, '{"words": 1')
    assert [past.run for past in history.history(desk.scene)] == [good.run]
