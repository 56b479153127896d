# SPDX-License-Identifier: Apache-2.0
"""The chosen volume -> the original file, or a temporary capture that the reader accepts."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from CXRCounterfactualLib.refused import Refused
from CXRCounterfactualLib.scene import capture, dicom_source, results

from tests.dicom.factory import Spec, save
from tests.slicer.environment import Runner
from tests.slicer.helpers.runs import Case
from tests.slicer.helpers.scene import Desk, load_image, picture


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A phantom DX."""
    return save(tmp_path / "phantom.dcm", Spec())


def bare(desk: Desk, array: Any) -> Any:
    """A volume that no DICOM file is behind, as a PNG that was loaded."""
    from CXRCounterfactualLib.scene.pictures import put_pixels

    node = desk.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "picture")
    put_pixels(node, array)
    node.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    node.CreateDefaultDisplayNodes()
    return node


def gradient() -> Any:
    """Values without symmetry."""
    return np.arange(80 * 70, dtype=np.uint16).reshape(80, 70)


def test_the_original_file_is_used_byte_by_byte(desk: Desk, source: Path) -> None:
    volume = desk.load(source)
    found = dicom_source.find_source(desk.app, volume, desk.folder)
    assert (found.in_database, found.warning) == (True, "")
    assert Path(found.path).read_bytes() == source.read_bytes()


def test_a_file_that_left_the_database_is_replaced_by_a_copy_and_told(
    desk: Desk, source: Path
) -> None:
    volume = desk.load(source)
    (kept,) = desk.app.files_for_instance(desk.app.instance_uids(volume)[0])
    Path(kept).unlink()
    found = dicom_source.find_source(desk.app, volume, desk.folder)
    assert not found.in_database
    assert "patient and study data are missing" in found.warning


def test_a_capture_holds_the_same_values_and_nothing_about_a_patient(desk: Desk) -> None:
    volume = bare(desk, gradient())
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(3000, 2500)
    found = dicom_source.find_source(desk.app, volume, desk.folder)
    ds = pydicom.dcmread(found.path)
    assert np.array_equal(ds.pixel_array, gradient())
    assert (ds.WindowWidth, ds.WindowCenter) == (3000, 2500)
    assert not any(ds.get(keyword) for keyword in ("PatientName", "PatientID", "StudyDate"))
    assert not any(keyword in ds for keyword in ("PixelSpacing", "ImagerPixelSpacing"))
    again = load_image(desk.scene, [found.path], "again")
    assert np.array_equal(picture(again), picture(volume))


def test_the_same_picture_gives_the_same_identifiers(desk: Desk, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.dcm", "two.dcm", "other.dcm")]
    arrays = (gradient(), gradient(), gradient() + 1)
    for path, array in zip(paths, arrays, strict=True):
        capture.write_capture(bare(desk, array), path)
    one, two, other = (pydicom.dcmread(path).SOPInstanceUID for path in paths)
    assert one == two != other
    assert one.is_valid


@pytest.mark.parametrize("values", ["unsigned", "signed", "whole floats"])
def test_the_products_reader_takes_a_capture(
    values: str, desk: Desk, runner: Runner, root: Path
) -> None:
    array = {
        "unsigned": gradient(),
        "signed": gradient().astype(np.int16) - 100,
        "whole floats": gradient().astype(np.float32),
    }[values]
    found = dicom_source.find_source(desk.app, bare(desk, array), desk.folder)
    words = [runner.python, "-m", "monai_cxr_cf.cli", "read", found.path, "--json"]
    done = subprocess.run(
        words, check=False, capture_output=True, text=True, cwd=root,
        env=runner.environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


@pytest.mark.parametrize(
    "array",
    [gradient() / 3, gradient().astype(np.int32) + 70_000, gradient().astype(np.float64) - 40_000],
)
def test_values_that_a_capture_would_have_to_change_are_refused(desk: Desk, array: Any) -> None:
    with pytest.raises(Refused, match="whole numbers") as refused:
        dicom_source.find_source(desk.app, bare(desk, array), desk.folder)
    assert refused.value.hint
    assert not list(desk.folder.glob("*.dcm"))


def test_a_picture_that_lies_otherwise_is_refused(desk: Desk) -> None:
    volume = bare(desk, gradient())
    volume.SetIJKToRASDirections(1, 0, 0, 0, -1, 0, 0, 0, 1)
    with pytest.raises(Refused, match="lie"):
        dicom_source.find_source(desk.app, volume, desk.folder)


def wrong(desk: Desk, what: str, source: Path) -> Any:
    """A node that no run can start from."""
    import vtk

    if what == "nothing":
        return None
    node = desk.load(source)
    image = node.GetImageData()
    if what == "no image":
        node.SetAndObserveImageData(None)
    elif what == "stack":
        image.SetDimensions(20, 20, 3)
        image.AllocateScalars(vtk.VTK_SHORT, 1)
    elif what == "colour":
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    elif what == "instances":
        node.SetAttribute("DICOM.instanceUIDs", "1.2 1.3")
    return node


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("nothing", "No radiograph is chosen"),
        ("no image", "No radiograph is chosen"),
        ("stack", "3 images"),
        ("instances", "2 images"),
        ("colour", "in colour"),
    ],
)
def test_what_no_run_can_start_from_is_refused_in_a_sentence(
    what: str, words: str, desk: Desk, source: Path
) -> None:
    with pytest.raises(Refused, match=words) as refused:
        dicom_source.check(desk.app, wrong(desk, what, source))
    assert refused.value.hint


def test_a_counterfactual_is_no_source(desk: Desk, runs: dict[str, Case]) -> None:
    case = runs["plain"]
    source = desk.load(case.source)
    added = results.add_results(desk.scene, desk.app, source, case.result, case.out)
    for identifier in (added.volume_ids[0], added.change_id):
        with pytest.raises(Refused, match="synthetic"):
            dicom_source.check(desk.app, desk.scene.GetNodeByID(identifier))
    dicom_source.check(desk.app, source)
