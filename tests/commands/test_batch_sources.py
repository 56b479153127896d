# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf batch plan`` from a zip file, a DICOMDIR and a DICOMweb store."""

import json
import shutil
import zipfile

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

from monai_cxr_cf.batch.begin import Plan, lay_out
from monai_cxr_cf.batch.forecast import dry_run
from monai_cxr_cf.batch.rows.columns import read_row
from monai_cxr_cf.batch.store.fetched import local
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.cli import main
from monai_cxr_cf.dicom.reading import archive
from monai_cxr_cf.errors import BadRequest, RemoteFailure
from tests.commands.test_batch_plan import plan, rows
from tests.dicom.store.small_store import Answer, small_store

WORDS = ("--prompt", "edema", "--out")


@pytest.fixture
def scans(root, tmp_path):
    """Two DICOM files of two patients."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("A1", "A2"):
        ds = dcmread(root / "docs" / "example.dcm")
        ds.PatientID = f"MRN{name}"
        ds.save_as(folder / name)
    return folder


def packed(path, members):
    """A zip file of names and bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def test_a_zip_file_is_unpacked_beside_the_manifest(scans, tmp_path, capsys):
    one, two = ((scans / name).read_bytes() for name in ("A1", "A2"))
    members = [("x/", b""), ("../../out.dcm", one), ("x/MRN.dcm", two), ("x/a.txt", b"no")]
    path = packed(tmp_path / "some.zip", [*members, ("__MACOSX/._a.dcm", one)])
    assert plan(path, *WORDS, tmp_path / "m.csv") == 0
    found = rows(tmp_path / "m.csv")
    names = ["m-unpacked/1-1/000001.dcm", "m-unpacked/1-1/000002.dcm"]
    assert [(row["path"], row["patient"]) for row in found] == list(
        zip(names, ["p1", "p2"], strict=True)
    )
    assert [(tmp_path / name).read_bytes() for name in names] == [one, two]
    assert not (tmp_path.parent / "out.dcm").exists()
    assert lay_out(RunFolder(tmp_path / "run"), Plan(tmp_path / "m.csv"))[0].rows == 2
    (tmp_path / "m.csv").unlink()
    assert plan(path, *WORDS, tmp_path / "m.csv") == 2
    assert "'m-unpacked' is there already" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["cut", "no image", "too large"])
def test_a_zip_file_that_is_no_good_leaves_nothing(what, scans, tmp_path, capsys, monkeypatch):
    members = [("a.txt", b"no")] if what == "no image" else [("a", (scans / "A1").read_bytes())]
    path = packed(tmp_path / "some.zip", members)
    if what == "cut":
        data = path.read_bytes()
        path.write_bytes(data[:200] + b"#" * 400 + data[600:])
    monkeypatch.setattr(archive, "MOST_BYTES", 1000 if what == "too large" else 10**9)
    assert plan(path, *WORDS, tmp_path / "m.csv") == 2
    said = {"cut": "damaged, locked", "no image": "holds 1 files and no image",
            "too large": "larger than 1,000 bytes"}  # fmt: skip
    assert said[what] in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scans", "some.zip"]


def dicomdir(folder, names):
    """A DICOMDIR that lists files."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = archive.DIRECTORY
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    ds.DirectoryRecordSequence = Sequence([Dataset(), *(Dataset() for _ in names)])
    ds.DirectoryRecordSequence[0].DirectoryRecordType = "PATIENT"
    for record, name in zip(ds.DirectoryRecordSequence[1:], names, strict=True):
        record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", name
    ds.save_as(folder / "DICOMDIR", enforce_file_format=True)
    return folder / "DICOMDIR"


def test_a_dicomdir_gives_the_files_it_lists(scans, tmp_path):
    (scans / "SUB").mkdir()
    shutil.copy(scans / "A1", scans / "SUB" / "A3")
    path = dicomdir(scans, [["SUB", "A3"], "A2"])
    assert plan(path, *WORDS, tmp_path / "m.csv") == 0
    found = [(row["path"], row["patient"]) for row in rows(tmp_path / "m.csv")]
    assert found == [("scans/SUB/A3", "p1"), ("scans/A2", "p2")]


@pytest.mark.parametrize("names", [["A1", "A9"], ["A1", ["..", "A2"]]])
def test_a_dicomdir_that_lists_what_is_not_there_is_refused(names, scans, tmp_path, capsys):
    assert plan(dicomdir(scans, names), *WORDS, tmp_path / "m.csv") == 2
    assert "lists 2 files; 1 of them are not there" in capsys.readouterr().err


def told(**values):
    """One entry of a store's list."""
    ds = Dataset()
    for name, value in values.items():
        setattr(ds, name, value)
    return ds.to_json_dict()


def listing(*entries):
    """A store's answer to a query."""
    return Answer(json.dumps(entries).encode())


@pytest.fixture
def store(monkeypatch):
    """A store of two studies of one patient, by path."""
    uids = [("1.2", "1.2.1", "1.2.1.1"), ("1.3", "1.3.1", "1.3.1.1")]
    parts = [dict(zip(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"), u, strict=True))
             for u in uids]  # fmt: skip
    with small_store(listing()) as found:

        def answer(path):
            if "offset=" in path and "offset=0" not in path:
                return listing()
            if "/instances?" in path or path.endswith("/instances"):
                part = parts["1.3" in path]
                return listing(told(**part, Modality="DX", PatientID="MRN5"))
            if "/series" in path and "Modality=DX" in path:
                return listing(*(told(**part, Modality="DX") for part in parts))
            return listing()

        class Answers(dict):
            def __getitem__(self, name):
                return (
                    answer(found.asked[-1][1]) if name == "dicom" else dict.__getitem__(self, name)
                )

        found.answers = Answers()
        yield found


def test_a_store_is_asked_for_all_that_it_has(store, tmp_path, capsys):
    assert plan(store.url, "--date", "20260101", *WORDS, tmp_path / "m.csv") == 0
    found = rows(tmp_path / "m.csv")
    assert found[0] == {"path": "", "prompt": "edema", "pacs": store.url, "study": "1.2",
                        "series": "1.2.1", "instance": "1.2.1.1", "patient": "p1"}  # fmt: skip
    assert [(row["study"], row["patient"]) for row in found] == [("1.2", "p1"), ("1.3", "p1")]
    assert any("StudyDate=20260101" in path for _, path, _ in store.asked)
    assert "MRN5" not in (tmp_path / "m.csv").read_text() + capsys.readouterr().out
    looked = dry_run(Plan(tmp_path / "m.csv"))
    assert (looked.rows, looked.elsewhere, looked.bad) == (2, 2, ())
    run, _ = lay_out(RunFolder(tmp_path / "run"), Plan(tmp_path / "m.csv"))
    assert run.rows == 2
    assert main(["batch", "run", str(tmp_path / "m.csv"), "--out", "x", "--dry-run"]) == 0
    assert "2 rows of a DICOM store were not looked at" in capsys.readouterr().out


def test_a_source_in_a_store_is_fetched_once(scans, tmp_path):
    data = (scans / "A1").read_bytes()
    with small_store(Answer(data, "application/dicom")) as found:
        cells = {"pacs": found.url, "study": "1.2", "series": "1.3", "instance": "1.4"}
        row = read_row(1, {**cells, "prompt": "edema"}, tmp_path, {})
        for _ in range(2):
            here = local(row, tmp_path / "sources")
            assert (tmp_path / "sources", data) == (
                (path := tmp_path / "sources" / here.path.rpartition("/")[2]).parent,
                path.read_bytes(),
            )
        assert len(found.asked) == 1
        assert found.asked[0][1] == "/dicom/studies/1.2/series/1.3/instances/1.4"
        assert here.digest == row.digest
    shutil.rmtree(tmp_path / "sources")
    with small_store(Answer(b"", "application/dicom", 404)) as found:
        row = read_row(1, {**cells, "pacs": found.url, "prompt": "edema"}, tmp_path, {})
        with pytest.raises(BadRequest, match="no such instance"):
            local(row, tmp_path / "sources")
    with pytest.raises(RemoteFailure, match="cannot be used"):
        local(row, tmp_path / "sources")
    assert not list((tmp_path / "sources").iterdir())
