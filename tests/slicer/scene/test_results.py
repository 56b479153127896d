# SPDX-License-Identifier: Apache-2.0
"""A DX in the scene -> series, masks and change map in its study, by Slicer's own libraries."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from CXRCounterfactualLib.scene import loading, results
from CXRCounterfactualLib.scene.history import SYNTHETIC, Added

from tests.slicer.helpers.runs import Case
from tests.slicer.helpers.scene import Desk, picture, segment_arrays

KINDS = ("plain", "mono1", "calibrated", "same", "sweep", "example")


def bring(desk: Desk, case: Case, **how: Any) -> tuple[Any, Added]:
    """The source loaded as the user would, and the run added to it."""
    source = desk.load(case.source)
    return source, results.add_results(desk.scene, desk.app, source, case.result, case.out, **how)


def shown(desk: Desk, added: Added) -> list[Any]:
    """The member volumes."""
    return [desk.scene.GetNodeByID(identifier) for identifier in added.volume_ids]


def study_of(desk: Desk, identifier: str) -> tuple[str, str]:
    """(study UID, patient's item name) that the subject hierarchy files a node under."""
    import slicer

    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(desk.scene)
    study = tree.GetItemParent(tree.GetItemByDataNode(desk.scene.GetNodeByID(identifier)))
    return tree.GetItemUID(study, "DICOM"), tree.GetItemUID(tree.GetItemParent(study), "DICOM")


def file_masks(path: Path) -> dict[str, Any]:
    """Segment label -> HxW bool, straight from the DICOM SEG."""
    ds = pydicom.dcmread(path)
    frames = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    labels = [str(item.SegmentLabel) for item in ds.SegmentSequence]
    return {label: frame != 0 for label, frame in zip(labels, frames, strict=True)}


def images(case: Case) -> list[Any]:
    """The counterfactual files of a run."""
    return [pydicom.dcmread(path) for path in sorted((case.out / "cf").glob("*.dcm"))]


@pytest.mark.parametrize("kind", KINDS)
def test_everything_lands_in_the_sources_study(
    kind: str, desk: Desk, runs: dict[str, Case]
) -> None:
    source, added = bring(desk, runs[kind])
    header = pydicom.dcmread(runs[kind].source, stop_before_pixels=True)
    expected = (header.StudyInstanceUID, header.PatientID)
    assert study_of(desk, source.GetID()) == expected
    for identifier in (*added.volume_ids, added.segmentation_id, added.change_id):
        assert study_of(desk, identifier) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_loaded_masks_equal_the_segs(kind: str, desk: Desk, runs: dict[str, Case]) -> None:
    source, added = bring(desk, runs[kind])
    loaded = segment_arrays(desk.scene.GetNodeByID(added.segmentation_id), source)
    expected = file_masks(runs[kind].out / "seg.dcm")
    assert set(loaded) == set(expected)
    for name, mask in expected.items():
        assert mask.any(), name
        assert np.array_equal(loaded[name], mask), name


@pytest.mark.parametrize("kind", KINDS)
def test_changed_pixels_lie_within_region_and_band(
    kind: str, desk: Desk, runs: dict[str, Case]
) -> None:
    source, added = bring(desk, runs[kind])
    masks = segment_arrays(desk.scene.GetNodeByID(added.segmentation_id), source)
    allowed = masks["Edit region"] | masks["Edit band"]
    assert added.outside == 0
    for volume in shown(desk, added):
        changed = picture(volume) != picture(source)
        assert changed.any()
        assert not (changed & ~allowed).any()


@pytest.mark.parametrize("kind", ["plain", "calibrated", "same", "sweep"])
def test_the_volumes_hold_the_files_values_member_by_member(
    kind: str, desk: Desk, runs: dict[str, Case]
) -> None:
    _, added = bring(desk, runs[kind])
    files = images(runs[kind])
    assert len(files) == len(added.volume_ids)
    for volume, ds in zip(shown(desk, added), files, strict=True):
        assert np.array_equal(picture(volume), ds.pixel_array)


@pytest.mark.parametrize("kind", KINDS)
def test_a_counterfactual_lies_and_looks_as_its_source(
    kind: str, desk: Desk, runs: dict[str, Case]
) -> None:
    import vtk

    source, added = bring(desk, runs[kind])
    wanted, found = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    source.GetIJKToRASMatrix(wanted)
    for volume in shown(desk, added):
        volume.GetIJKToRASMatrix(found)
        for i in range(4):
            for j in range(4):
                assert found.GetElement(i, j) == pytest.approx(wanted.GetElement(i, j))
        ours, theirs = volume.GetDisplayNode(), source.GetDisplayNode()
        assert (ours.GetWindow(), ours.GetLevel()) == (theirs.GetWindow(), theirs.GetLevel())
        assert ours.GetColorNodeID() == theirs.GetColorNodeID()
        assert not ours.GetAutoWindowLevel()


def test_another_spacing_of_the_result_gives_way_and_is_told(
    desk: Desk, runs: dict[str, Case]
) -> None:
    source, added = bring(desk, runs["calibrated"])
    ds = images(runs["calibrated"])[0]
    assert float(ds.PixelSpacing[0]) != pytest.approx(source.GetSpacing()[1])
    assert results.GEOMETRY in added.notes


def test_the_window_of_monochrome1_is_turned_over_with_its_pixels(
    desk: Desk, runs: dict[str, Case]
) -> None:
    source, _ = bring(desk, runs["mono1"])
    ds = pydicom.dcmread(runs["mono1"].source)
    ends = (1 << ds.BitsStored) - 1
    assert np.array_equal(picture(source), ends - ds.pixel_array), "Slicer's reader inverts"
    assert source.GetDisplayNode().GetLevel() == pytest.approx(ends - float(ds.WindowCenter))
    assert source.GetDisplayNode().GetWindow() == pytest.approx(float(ds.WindowWidth))


@pytest.mark.parametrize("kind", ["mono1", "plain"])
@pytest.mark.parametrize("scene_only", [True, False])
def test_a_source_that_another_reader_read_keeps_its_polarity(
    kind: str, scene_only: bool, desk: Desk, runs: dict[str, Case]
) -> None:
    desk.app.database.reader = (
        "DCMTK"  # leaves MONOCHROME1 as it is stored; files alone go through GDCM
    )
    source, added = bring(desk, runs[kind], scene_only=scene_only)
    assert np.array_equal(picture(source), pydicom.dcmread(runs[kind].source).pixel_array)
    (volume,) = shown(desk, added)
    masks = segment_arrays(desk.scene.GetNodeByID(added.segmentation_id), source)
    changed = picture(volume) != picture(source)
    assert changed.any()
    assert not (changed & ~(masks["Edit region"] | masks["Edit band"])).any()
    level = source.GetDisplayNode().GetLevel()
    assert level == pytest.approx(float(pydicom.dcmread(runs[kind].source).WindowCenter))


def test_levels_and_seeds_are_members_in_order(desk: Desk, runs: dict[str, Case]) -> None:
    _, added = bring(desk, runs["sweep"])
    assert (added.seeds, added.levels) == ((3, 3, 4, 4), (0.5, 1.0, 0.5, 1.0))
    assert added.labels[1] == "seed 3, severity 1.00"
    assert added.main == 1
    for volume, label in zip(shown(desk, added), added.labels, strict=True):
        assert volume.GetName() == f"SYNTHETIC add severe cardiomegaly ({label})"


def test_the_severity_slider_moves_the_change_map_along(desk: Desk, runs: dict[str, Case]) -> None:
    source, added = bring(desk, runs["sweep"])
    change = desk.scene.GetNodeByID(added.change_id)
    for index in (0, 3, 1):
        identifier = results.show_member(desk.scene, added, index)
        assert identifier == added.volume_ids[index]
        member = picture(desk.scene.GetNodeByID(identifier)).astype(float)
        assert np.array_equal(picture(change), member - picture(source))


def test_a_source_that_was_moved_takes_its_results_along(desk: Desk, runs: dict[str, Case]) -> None:
    case = runs["plain"]
    source = desk.load(case.source)
    transform = desk.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    source.SetAndObserveTransformNodeID(transform.GetID())
    added = results.add_results(desk.scene, desk.app, source, case.result, case.out)
    for identifier in (*added.volume_ids, added.segmentation_id, added.change_id):
        assert desk.scene.GetNodeByID(identifier).GetTransformNodeID() == transform.GetID()


def test_everything_made_by_the_model_says_so(desk: Desk, runs: dict[str, Case]) -> None:
    source, added = bring(desk, runs["plain"])
    for volume in (*shown(desk, added), desk.scene.GetNodeByID(added.change_id)):
        assert volume.GetName().startswith("SYNTHETIC")
        assert volume.GetAttribute(SYNTHETIC) == "YES"
    assert source.GetAttribute(SYNTHETIC) is None
    assert desk.scene.GetNodeByID(added.segmentation_id).GetAttribute(SYNTHETIC) is None


def test_without_a_seg_reader_the_masks_come_from_the_arrays(
    desk: Desk, runs: dict[str, Case]
) -> None:
    desk.app.database.seg_reader = False  # Slicer 5.10
    source, added = bring(desk, runs["plain"])
    loaded = segment_arrays(desk.scene.GetNodeByID(added.segmentation_id), source)
    expected = file_masks(runs["plain"].out / "seg.dcm")
    assert {name: mask.sum() for name, mask in loaded.items()} == {
        name: mask.sum() for name, mask in expected.items()
    }
    assert all(np.array_equal(loaded[name], mask) for name, mask in expected.items())
    assert any("reader did not load" in note for note in added.notes)


def test_without_arrays_the_seg_itself_is_read(desk: Desk, runs: dict[str, Case]) -> None:
    case = runs["plain"]
    files = tuple(file for file in case.result.files if file.role != "arrays")
    case = replace(case, result=replace(case.result, files=files))
    source, added = bring(desk, case, scene_only=True)
    loaded = segment_arrays(desk.scene.GetNodeByID(added.segmentation_id), source)
    expected = file_masks(case.out / "seg.dcm")
    assert set(loaded) == set(expected)
    assert all(np.array_equal(loaded[name], mask) for name, mask in expected.items())


@pytest.mark.parametrize("kind", ["plain", "mono1", "sweep"])
def test_scene_only_leaves_the_database_alone_and_refers_to_no_file(
    kind: str, desk: Desk, runs: dict[str, Case]
) -> None:
    source, added = bring(desk, runs[kind], scene_only=True)
    assert all(not desk.app.files_for_instance(str(ds.SOPInstanceUID)) for ds in images(runs[kind]))
    assert study_of(desk, added.segmentation_id) == study_of(desk, source.GetID())
    for volume in shown(desk, added):
        assert volume.GetStorageNode() is None
        assert (picture(volume) != picture(source)).any()
        assert study_of(desk, volume.GetID()) == study_of(desk, source.GetID())


def test_a_database_that_refuses_costs_a_note_not_the_result(
    desk: Desk, runs: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = desk.load(runs["plain"].source)
    monkeypatch.setattr(desk.app, "importDicom", lambda folder: False)
    case = runs["plain"]
    added = results.add_results(desk.scene, desk.app, source, case.result, case.out)
    assert added.notes == (loading.NOT_IMPORTED,)
    assert len(added.volume_ids) == 1
