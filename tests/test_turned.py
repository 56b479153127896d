# SPDX-License-Identifier: Apache-2.0
"""A source stored mirrored or turned gives the edit of the upright one, on its own pixels."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.turn import EXIF, EXIF_TAG, Turn
from monai_cxr_cf.pipeline import run
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.runs.networks import Networks
from tests.dicom.factory import Spec, phantom, phantom_masks, save, stored_values

SPEC = Spec(sop="CR", rows=120, columns=96)
LETTERS = {("R", "F"): Turn(flip_columns=True), ("R", "H"): Turn(False, True, True),
           ("F", "R"): Turn(swap=True, flip_columns=True)}  # fmt: skip
LABELS = np.zeros((120, 96), np.uint8)
for _value, _mask in enumerate(phantom_masks(120, 96).values(), 1):
    LABELS[_mask] = _value


@pytest.fixture(scope="module")
def networks() -> Networks:
    """Loaded once."""
    return Networks()


def edited(folder: Path, tiny: Path, networks: Networks, *, letters: tuple[str, str]) -> Path:
    """The output folder of an edit of the phantom as ``letters`` store it."""
    turn = LETTERS.get(letters, Turn())
    stored, labels = turn.undo(stored_values(SPEC)), turn.undo(LABELS)
    folder.mkdir()
    spec = SPEC.with_(PatientOrientation=list(letters), Rows=stored.shape[0],
                      Columns=stored.shape[1])  # fmt: skip
    source = save(folder / "source.dcm", spec, stored)
    Image.fromarray(labels).save(folder / "labels.png")
    request = EditRequest(
        source=str(source), masks=str(folder / "labels.png"), backbone=str(tiny), seeds=(3,),
        prompt="moderate left pleural effusion", overrides={"sampling": {"steps": 3}},
    )  # fmt: skip
    run(request, folder / "out", networks=networks, arrays=True)
    return folder / "out"


def test_every_output_lies_as_the_source_and_is_the_upright_edit(
    tiny_folder: Path, networks: Networks, tmp_path: Path
) -> None:
    plain = edited(tmp_path / "plain", tiny_folder, networks, letters=("L", "F"))
    expected = {name: dcmread(plain / name).pixel_array
                for name in ("cf/0001.dcm", "diff/0001.dcm", "seg.dcm")}  # fmt: skip
    with np.load(plain / "masks.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    for number, (letters, turn) in enumerate(LETTERS.items()):
        out = edited(tmp_path / str(number), tiny_folder, networks, letters=letters)
        source = dcmread(out.parent / "source.dcm")
        for name, values in expected.items():
            ds = dcmread(out / name)
            assert np.array_equal(turn.apply(ds.pixel_array), values), (letters, name)
            assert ds.PatientOrientation == list(letters)
            assert (ds.Rows, ds.Columns) == (source.Rows, source.Columns)
        with np.load(out / "masks.npz") as archive:
            for name, values in arrays.items():
                assert np.array_equal(turn.apply(archive[name]), values), (letters, name)
        report = json.loads((out / "report.json").read_text())
        assert report["source"]["rows"] == source.Rows
        assert report["outside_max_diff"] == 0
        assert "orientation" in [warning["code"] for warning in report["warnings"]]


def test_a_jpeg_turned_by_its_exif_is_edited_as_shown_and_written_as_stored(
    tiny_folder: Path, networks: Networks, tmp_path: Path
) -> None:
    grey = (phantom(120, 96) * 255).astype(np.uint8)
    exif = Image.Exif()
    exif[EXIF_TAG] = 6
    stored = EXIF[6].undo(grey)
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(EXIF[6].undo(LABELS)).save(tmp_path / "labels.png", exif=exif)
    request = EditRequest(
        source=str(tmp_path / "a.png"), masks=str(tmp_path / "labels.png"), seeds=(3,),
        backbone=str(tiny_folder), reading=ReadOptions(allow_raster=True),
        prompt="moderate left pleural effusion", overrides={"sampling": {"steps": 3}},
    )  # fmt: skip
    run(request, tmp_path / "out", networks=networks)
    changed = dcmread(tmp_path / "out" / "cf" / "0001.dcm").pixel_array != stored
    heart_side = EXIF[6].apply(changed)
    rows, columns = np.nonzero(heart_side)
    assert columns.mean() > 48, "the patient's left lies on the right of the upright picture"
    assert rows.mean() > 60
    masks = dcmread(tmp_path / "out" / "seg.dcm").pixel_array
    assert np.array_equal(EXIF[6].apply(masks[0]), LABELS == 1)
