# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf batch plan``: which radiographs and which edits a manifest gets."""

import csv
import json
import shutil

import pytest

from monai_cxr_cf.batch.begin import Plan, lay_out
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.cli import main


@pytest.fixture
def scans(root, tmp_path):
    """Three DICOM files of two patients, a note, and a DICOMDIR's likes."""
    from pydicom import dcmread

    folder = tmp_path / "scans"
    (folder / "more").mkdir(parents=True)
    for name, patient in (("a.dcm", "MRN77"), ("more/b.dcm", "MRN77"), ("c", "MRN88")):
        ds = dcmread(root / "docs" / "example.dcm")
        ds.PatientID = patient
        ds.save_as(folder / name)
    (folder / "notes.txt").write_text("not an image")
    return folder


def plan(*words):
    """Run the command."""
    return main(["batch", "plan", *map(str, words)])


def rows(path):
    """Of a manifest."""
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_a_folder_with_two_prompts(scans, tmp_path, capsys):
    out = tmp_path / "m.csv"
    assert plan(scans, "--prompt", "edema", "--prompt", "no edema", "--out", out) == 0
    found = rows(out)
    assert [row["path"] for row in found] == [
        *["scans/a.dcm"] * 2, *["scans/c"] * 2, *["scans/more/b.dcm"] * 2,
    ]  # fmt: skip
    assert [row["prompt"] for row in found[:2]] == ["edema", "no edema"]
    assert [row["patient"] for row in found] == ["p1", "p1", "p2", "p2", "p1", "p1"]
    assert "MRN" not in out.read_text()
    said = capsys.readouterr().out
    assert "6 row(s), 3 radiograph(s) of 2 patient(s), 2 edit(s) each" in said
    assert lay_out(RunFolder(tmp_path / "run"), Plan(out))[0].rows == 6


def test_files_and_globs_each_once(scans, tmp_path):
    out = tmp_path / "m.csv"
    words = (scans / "a.dcm", f"{scans}/**/*.dcm", scans / "c")
    assert plan(*words, "--prompt", "edema", "--out", out) == 0
    assert [row["path"] for row in rows(out)] == ["scans/a.dcm", "scans/more/b.dcm", "scans/c"]


def test_a_grid_and_fields(scans, tmp_path):
    grid = "finding=pleural effusion|edema,severity=0.3|0.7,seed=1|2"
    out = tmp_path / "m.jsonl"
    words = (scans / "c", "--grid", grid, "--field", "png=true", "--field", "preset=fast")
    assert plan(*words, "--out", out) == 0
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(found) == 8
    assert found[0] == {
        "path": "scans/c", "finding": "pleural effusion", "severity": "0.3", "seeds": [1],
        "png": True, "preset": "fast",
    }  # fmt: skip
    assert lay_out(RunFolder(tmp_path / "run"), Plan(out))[0].rows == 8
    (shard,) = [list(RunFolder(tmp_path / "run").read_plan(0))]
    assert shard[7].edit.findings[0].severity == 0.7
    assert (shard[7].edit.seeds, shard[7].edit.png) == ((2,), True)


def test_a_collection_brings_its_patients_splits_and_labels(tmp_path):
    from PIL import Image

    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    lines = ["id,patient,view,split,labels"]
    for name, patient, view, split, label in (
        ("x1", "a", "PA", "train", "Cardiomegaly"),
        ("x2", "a", "PA", "train", "Edema|Cardiomegaly"),
        ("x3", "b", "PA", "test", "No Finding"),
        ("x4", "c", "LATERAL", "train", "Edema"),
    ):
        Image.new("L", (80, 80), 90).save(folder / "images" / f"{name}.png")
        lines.append(",".join((name, patient, view, split, label)))
    (folder / "index.csv").write_text("\n".join(lines))
    out = tmp_path / "m.csv"
    words = (folder, "--layout", "folder", "--splits", "train", "--prompt", "edema")
    assert plan(*words, "--out", out) == 0
    assert rows(out) == [
        {"path": f"data/images/{name}.png", "prompt": "edema", "source_id": name, "patient": "a",
         "group": "train", "view": "PA", "caption": caption, "labels": label,
         "reading.allow_raster": "true"}
        for name, caption, label in (
            ("x1", "cardiomegaly", "Cardiomegaly"),
            ("x2", "pulmonary edema and cardiomegaly", "Edema|Cardiomegaly"),
        )
    ]  # fmt: skip
    assert lay_out(RunFolder(tmp_path / "run"), Plan(out))[0].rows == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere", "--prompt", "edema"), "does not exist; expected files, folders or globs"),
        (("scans/*.png", "--prompt", "edema"), "does not exist; expected files, folders or globs"),
        (("scans",), "says nothing in 'prompt'"),
        (("scans", "--prompt", "a zebra"), "zebra"),
        (("scans", "--grid", "finding"), "'finding' in --grid is no NAME=VALUE"),
        (("scans", "--grid", "colour=red", "--prompt", "edema"), "'colour' is no field"),
        (("scans", "--grid", "severty=1", "--prompt", "edema"), "nearly 'severity'"),
        (("scans/more", "scans", "--layout", "folder", "--prompt", "edema"), "one data folder"),
    ],
)
def test_what_is_refused(words, said, scans, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert plan(*words, "--out", "m.csv") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "m.csv").exists()


def test_a_manifest_that_is_there_is_not_replaced(scans, tmp_path, capsys):
    (tmp_path / "m.csv").write_text("mine")
    assert plan(scans, "--prompt", "edema", "--out", tmp_path / "m.csv") == 2
    assert "is there already" in capsys.readouterr().err
    assert plan(scans, "--prompt", "edema", "--out", tmp_path / "m.xls") == 2
    shutil.rmtree(scans)
    assert (tmp_path / "m.csv").read_text() == "mine"
