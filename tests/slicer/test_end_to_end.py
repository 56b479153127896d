# SPDX-License-Identifier: Apache-2.0
"""The whole way with nothing stood in for but the application: DX in the scene -> real runner ->
series, SEG and change map in the study -> saved scene -> the same parameters again.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from CXRCounterfactualLib.contract import jobs, params
from CXRCounterfactualLib.contract.events import Result
from CXRCounterfactualLib.process.backend import Backend
from CXRCounterfactualLib.process.commands import local_command
from CXRCounterfactualLib.scene import dicom_source, history, results, segments

from tests.dicom.factory import Spec, phantom_masks, save
from tests.slicer.environment import Runner
from tests.slicer.helpers.driving import drive
from tests.slicer.helpers.scene import Desk, picture, save_and_open, segment_arrays

PATIENCE = 240.0
CHOICE = params.Choice(
    prompt="moderate left pleural effusion", overrides={"sampling": {"steps": 4}}
)


@pytest.fixture
def radiograph(desk: Desk, tmp_path: Path) -> Any:
    """A phantom DX, loaded from the database."""
    return desk.load(save(tmp_path / "phantom.dcm", Spec()))


def organs(folder: Path) -> Path:
    """The phantom's organs as a label picture, which no segmenter has to find."""
    from PIL import Image

    labels = np.zeros((120, 96), np.uint8)
    for value, mask in enumerate(phantom_masks(120, 96).values(), 1):
        labels[mask] = value
    Image.fromarray(labels).save(folder / "labels.png")
    return folder / "labels.png"


def edit(desk: Desk, volume: Any, runner: Runner, **more: Any) -> tuple[history.Added, Any]:
    """Source -> job file -> real process -> events -> scene; the run and its result event."""
    source = dicom_source.find_source(desk.app, volume, desk.folder)
    masks = organs(desk.folder)
    request = jobs.make_request(CHOICE, source=source.path, masks=masks, **more)
    job, out = jobs.write_job(request, desk.folder), desk.folder / "out"
    command = local_command(runner.python, job, out, environment=runner.environment())
    told = drive(Backend(), command, patience=PATIENCE)
    assert told.end.exit_code == 0, told.end.stderr_tail
    (result,) = told.of(Result)
    return results.add_results(desk.scene, desk.app, volume, result, out), result


@pytest.mark.timeout(600)
def test_from_a_dx_in_the_scene_to_its_study_and_back_from_a_saved_scene(
    desk: Desk, radiograph: Any, runner: Runner, application: object
) -> None:
    node = desk.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "CXRCounterfactual")
    parameters = params.Parameters(node)
    parameters.write(CHOICE)
    parameters.source_id = radiograph.GetID()
    added, result = edit(desk, radiograph, runner)

    header = pydicom.dcmread(result.of("cf")[0].path, stop_before_pixels=True)
    (original,) = desk.app.files_for_instance(desk.app.instance_uids(radiograph)[0])
    asked = pydicom.dcmread(original, stop_before_pixels=True)
    assert header.StudyInstanceUID == asked.StudyInstanceUID
    assert header.SeriesInstanceUID != asked.SeriesInstanceUID

    masks = segment_arrays(desk.scene.GetNodeByID(added.segmentation_id), radiograph)
    seg = pydicom.dcmread(result.of("seg")[0].path)
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns) != 0
    for item, frame in zip(seg.SegmentSequence, frames, strict=True):
        assert np.array_equal(masks[str(item.SegmentLabel)], frame)

    counterfactual = desk.scene.GetNodeByID(added.volume_ids[0])
    changed = picture(counterfactual) != picture(radiograph)
    assert changed.any()
    assert not (changed & ~(masks["Edit region"] | masks["Edit band"])).any()

    opened = save_and_open(desk.scene, desk.folder / "saved.mrb")
    again = params.Parameters(opened.GetFirstNodeByName("CXRCounterfactual"))
    assert again.read() == CHOICE
    (past,) = history.history(opened)
    assert (past.run, past.choice) == (added.run, dict(added.choice))
    source = opened.GetNodeByID(again.source_id)
    assert np.array_equal(picture(source), picture(radiograph))
    restored = opened.GetNodeByID(past.volume_ids[0])
    assert np.array_equal(picture(restored), picture(counterfactual))


@pytest.mark.timeout(600)
def test_a_region_drawn_by_the_user_is_where_the_picture_changes(
    desk: Desk, radiograph: Any, runner: Runner, application: object
) -> None:
    y, x = np.mgrid[0:120, 0:96]
    wedge = (y > 40) & (x > 55) & (y + x < 150)
    node = segments.add_masks(desk.scene, radiograph, {"heart": wedge}, "Segmentation")
    drawn = node.GetSegmentation().GetNthSegmentID(0)
    path = segments.region_to_file(node, drawn, radiograph, desk.folder / "region.png")
    added, _ = edit(desk, radiograph, runner, roi=path)
    masks = segment_arrays(desk.scene.GetNodeByID(added.segmentation_id), radiograph)
    assert np.array_equal(masks["Edit region"], wedge)
    changed = picture(desk.scene.GetNodeByID(added.volume_ids[0])) != picture(radiograph)
    assert changed.any()
    assert not (changed & ~(wedge | masks["Edit band"])).any()
    assert added.facts["region"] == "region drawn by the user"
