# SPDX-License-Identifier: Apache-2.0
"""A row is the same edit as ``pipeline.run`` makes, byte for byte, under a key of its own."""

import shutil
from dataclasses import replace

import pytest
from pydicom import dcmread

from monai_cxr_cf import pipeline
from monai_cxr_cf.batch.edit_work import EditWork
from monai_cxr_cf.batch.perform import Desk, perform
from monai_cxr_cf.batch.rows.columns import read_row
from monai_cxr_cf.batch.store.run_folder import RunFolder
from tests.folders import contents

CELLS = {"id": "a", "path": "a.dcm", "prompt": "left pleural effusion", "seeds": "3",
         "overrides.sampling.steps": "2", "overrides.start.strength": "1"}  # fmt: skip


@pytest.fixture(scope="module")
def work(tiny_folder):
    """Edits by the tiny backbone."""
    return EditWork(backbone=str(tiny_folder), device="cpu")


@pytest.fixture(scope="module")
def parts(work):
    """Loaded once."""
    return work.load()


@pytest.fixture
def make(root, tiny_folder, tmp_path):
    """A row of some cells on the example radiograph."""
    shutil.copy(root / "docs" / "example.dcm", tmp_path / "a.dcm")
    common = {"backbone": str(tiny_folder)}
    return lambda **cells: read_row(1, {**CELLS, **cells}, tmp_path, common)


def test_a_row_holds_what_an_edit_writes_and_is_taken_when_it_is_there(work, parts, make, tmp_path):
    row, desk = make(), Desk(work, parts, RunFolder(tmp_path / "run"))
    (record,) = perform(desk, [row], tmp_path / "run" / "aside" / "0")
    assert record["state"] == "done"
    assert (record["id"], record["outside_max_diff"]) == ("a", 0)
    folder = desk.folder.row(record["key"])
    assert record["bytes"] == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    pipeline.run(row.edit, tmp_path / "alone", networks=parts.networks)
    assert contents(folder) == contents(tmp_path / "alone")
    assert not list((tmp_path / "run" / "aside").rglob("*.dcm"))

    (again,) = perform(desk, [row], tmp_path / "run" / "aside" / "0")
    assert again.pop("adopted")
    assert {**again, "seconds": 0} == {**record, "seconds": 0}
    (folder / "preview.png").unlink()
    (made,) = perform(desk, [row], tmp_path / "run" / "aside" / "0")
    assert "adopted" not in made
    assert contents(folder) == contents(tmp_path / "alone")


def test_what_the_reader_refuses_is_a_record(work, parts, make, tmp_path):
    desk, row = Desk(work, parts, RunFolder(tmp_path / "run")), make()
    (tmp_path / "a.dcm").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 200)
    (record,) = perform(desk, [row], tmp_path / "aside")
    assert (record["state"], record["code"]) == ("refused", "raster")
    assert "Pass reading.allow_raster=true" in record["message"]
    (tmp_path / "a.dcm").unlink()  # a share that went away may come back
    (record,) = perform(desk, [row], tmp_path / "aside")
    assert (record["state"], record["code"]) == ("failed", "no_file")


def test_the_key_changes_with_all_that_bytes_depend_on(work, parts, make, tmp_path):
    keys = [work.key(parts, make())]
    assert work.key(parts, make(id="b", patient="p", group="g")) == keys[0]
    for cells in ({"seeds": "4"}, {"png": "true"}, {"prompt": "edema"}, {"iod": "same"}):
        keys.append(work.key(parts, make(**cells)))
    row = make()
    ds = dcmread(tmp_path / "a.dcm")
    ds.PatientName = "Another^Patient"  # the same pixels: the output carries the header
    ds.save_as(tmp_path / "a.dcm")
    keys.append(work.key(parts, row))
    keys.append(EditWork(backbone=work.backbone, arrays=True).key(parts, row))
    assert len(set(keys)) == len(keys) == 7


def test_of_a_row_that_keeps_its_report_nothing_else_is_kept(work, parts, make, tmp_path):
    desk = Desk(replace(work, keep="report"), parts, RunFolder(tmp_path / "run"))
    (record,) = perform(desk, [make()], tmp_path / "aside")
    folder = desk.folder.row(record["key"])
    assert [path.name for path in folder.rglob("*")] == ["report.json"]
    assert (record["state"], record["bytes"]) == ("done", (folder / "report.json").stat().st_size)
    (again,) = perform(desk, [make()], tmp_path / "aside")
    assert again["adopted"]


def test_weights_are_those_of_the_row(work, parts, make, tiny_folder):
    of_row = work.weights(parts, make())
    assert of_row == work.weights(parts, None)
    assert list(of_row) == [f"{tiny_folder} hybridgnet"]
    assert work.weights(parts, make(segmenter="unet")) != of_row
