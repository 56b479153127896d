# SPDX-License-Identifier: Apache-2.0
"""A small batch of real edits by the tiny backbone, exported in every kind and read again."""

import csv
import io
import json
import os
import shutil
import tarfile
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from monai_cxr_cf.batch.begin import Plan, lay_out
from monai_cxr_cf.batch.edit_work import EditWork
from monai_cxr_cf.batch.export.export import export
from monai_cxr_cf.batch.export.labels import SHARES
from monai_cxr_cf.batch.export.samples import ARMS, Wanted, samples
from monai_cxr_cf.batch.perform import Desk, perform
from monai_cxr_cf.batch.store.files import make_folders
from monai_cxr_cf.batch.store.packs import pack
from monai_cxr_cf.batch.store.results import Results
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.cli import main
from monai_cxr_cf.data.folder import load_image, load_organ_mask, read_index
from monai_cxr_cf.dicom.png_origin import TOOL, png_origin
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.errors import BadRequest
from tests.dicom.factory import Spec, save

ANY = Wanted(SHARES, any_verdict=True)


@pytest.fixture(scope="module")
def run(tiny_folder, root, tmp_path_factory):
    """Four done rows on the example and a copy of it with another name, one sham, one refused."""
    base = tmp_path_factory.mktemp("batch")
    for name in ("a.dcm", "b.dcm"):
        (base / name).write_bytes((root / "docs" / "example.dcm").read_bytes())
    save(base / "hand.dcm", Spec().with_(BodyPartExamined="HAND"))
    path = base / "m.csv"
    with path.open("w") as stream:
        stream.write("path,prompt,sham,patient,group,labels,view,overrides.sampling.steps\n")
        stream.write("a.dcm,cardiomegaly,,p1,train,Edema,PA,1\n")
        stream.write("a.dcm,no edema,,p1,train,Edema,PA,1\n")
        stream.write("a.dcm,cardiomegaly,true,p1,train,Edema,PA,1\n")
        stream.write("b.dcm,cardiomegaly,,p2,test,No Finding,PA,1\n")
        stream.write("hand.dcm,cardiomegaly,,p3,test,,PA,1\n")
    folder = RunFolder(base / "run")
    lay_out(folder, Plan(path, common={"backbone": str(tiny_folder), "strength": 1.0, "png": True}))
    work = EditWork(backbone=str(tiny_folder), device="cpu")
    desk = Desk(work, work.load(), folder)
    results = Results(folder.results(0))
    rows = list(folder.read_plan(0))
    results.append([{**r, "t": 1.0} for row in rows for r in perform(desk, [row], base / "aside")])
    results.close()
    return folder


def rows(path):
    """Of an index."""
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_three_arms_as_data_folders(run, tmp_path):
    out = tmp_path / "data"
    told = export(run, out, "folder", ANY).as_dict()
    assert [told[arm] for arm in ARMS] == [2, 3, 3]
    assert told["left_out"] == {"refused": 1, "sham": 1}
    assert {path.name for path in out.iterdir()} == {*ARMS, "augmentation.md"}
    found = {arm: rows(out / arm / "index.csv") for arm in ARMS}
    assert [len(found[arm]) for arm in ARMS] == [2, 5, 5]
    for arm in ("duplicates", "counterfactuals"):
        assert Counter(row["arm"] for row in found[arm]) == {"real": 2, arm: 3}
    edited = [row for row in found["counterfactuals"] if row["arm"] != "real"]
    assert [(row["patient"], row["split"], row["labels"]) for row in edited] == [
        ("p1", "train", "Edema|cardiomegaly"), ("p1", "train", ""), ("p2", "test", "cardiomegaly"),
    ]  # fmt: skip
    copies = [row for row in found["duplicates"] if row["arm"] != "real"]
    assert [row["labels"] for row in copies] == ["Edema", "Edema", "No Finding"]
    assert [row["organ_mask"] for row in edited] == ["", "lungs+heart", ""]
    for arm in ARMS:
        patients = {}
        for row in found[arm]:
            assert patients.setdefault(row["patient"], row["split"]) == row["split"]


def test_pictures_are_those_of_the_batch(run, tmp_path):
    out = tmp_path / "data"
    export(run, out, "folder", ANY)
    source = read_source(str(run.path.parent / "a.dcm"))
    index = read_index(out / "counterfactuals")  # the project's own reader
    real = next(row for row in index if row.patient == "p1" and "-" not in row.id)
    assert np.abs(load_image(out / "counterfactuals", real) - source.pixels).max() <= 0.51 / 255
    assert set(np.unique(load_organ_mask(out / "counterfactuals", real))) == {0, 1, 2, 3}
    edited = next(row for row in index if row.id.startswith(f"{real.id}-"))
    picture = load_image(out / "counterfactuals", edited)
    mask = np.asarray(Image.open(out / "counterfactuals" / "edit_masks" / f"{edited.id}.png"))
    outside = mask == 0
    assert 0 < outside.mean() < 1
    assert np.abs(picture - source.pixels)[outside].max() <= 0.51 / 255
    assert np.abs(picture - source.pixels)[mask == 1].max() > 2 / 255
    images = out / "counterfactuals" / "images"
    assert png_origin(images / f"{edited.id}.png")[0] == TOOL
    assert png_origin(images / f"{real.id}.png")[0] != TOOL
    same = [(out / arm / "images" / f"{real.id}.png").read_bytes() for arm in ARMS]
    assert len(set(same)) == 1
    told = json.loads((out / "counterfactuals" / "reports" / f"{edited.id}.json").read_text())
    assert told["report"]["notice"].startswith("SYNTHETIC")
    assert (told["source"], told["labels_source"]) == (real.id, ["Edema"])


def test_monai_reads_the_list(run, tmp_path):
    from monai.data import CacheDataset
    from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

    out = tmp_path / "data"
    export(run, out, "folder", Wanted(SHARES, any_verdict=True, side=64))
    listed = json.loads((out / "counterfactuals" / "datalist.json").read_text())
    assert {name: len(items) for name, items in listed.items()} == {"training": 3, "test": 2}
    items = [{"image": str(out / "counterfactuals" / item["image"]), "label": item["label"]}
             for item in listed["training"]]  # fmt: skip
    load = Compose([LoadImaged("image"), EnsureChannelFirstd("image")])
    dataset = CacheDataset(items, load, progress=False)
    assert max(dataset[0]["image"].shape) == 64
    assert dataset[1]["label"] == ["Edema", "cardiomegaly"]


def test_webdataset_shards(run, tmp_path):
    out = tmp_path / "shards"
    export(run, out, "webdataset", ANY)
    assert {path.name for path in out.glob("*.tar")} == {
        f"{arm}-{split}-000000.tar" for arm in ARMS for split in ("train", "test")
    }
    with tarfile.open(out / "counterfactuals-train-000000.tar") as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}
    keys = list(dict.fromkeys(name.partition(".")[0] for name in members))
    assert [name.partition(".")[2] for name in members] == [
        "png", "organs.png", "edit.png", "json",
    ] * len(keys)  # fmt: skip
    told = json.loads(members[f"{keys[0]}.json"])
    assert (told["labels"], told["split"]) == (["Edema", "cardiomegaly"], "train")
    assert Image.open(io.BytesIO(members[f"{keys[0]}.png"])).mode == "L"


def test_parquet_with_pictures(run, tmp_path):
    out = tmp_path / "tables"
    export(run, out, "parquet", ANY)
    table = parquet.read_table(out / "counterfactuals-train.parquet")
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert set(features) == set(table.column_names)
    first = table.to_pylist()[0]
    assert first["labels"] == ["Edema", "cardiomegaly"]
    assert Image.open(io.BytesIO(first["edit"]["bytes"])).mode == "L"
    assert parquet.read_table(out / "real-test.parquet").to_pylist()[0]["edit"] is None


def test_datasets_loads_the_tables(run, tmp_path):
    datasets = pytest.importorskip("datasets", reason="needs the extra dev")
    out = tmp_path / "tables"
    export(run, out, "parquet", ANY)
    files = {name: str(out / f"counterfactuals-{name}.parquet") for name in ("train", "test")}
    found = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert {name: len(found[name]) for name in found} == {"train": 2, "test": 1}
    first = found["train"][0]
    assert (first["image"].mode, first["image"].size) == ("L", first["edit"].size)
    assert first["labels"] == ["Edema", "cardiomegaly"]
    assert not set(found["train"]["patient"]) & set(found["test"]["patient"])


def test_webdataset_loads_the_shards(run, tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="needs the extra dev")
    out = tmp_path / "shards"
    export(run, out, "webdataset", ANY)
    shard = str(out / "duplicates-train-000000.tar")
    found = list(webdataset.WebDataset(shard, shardshuffle=False).decode("l8"))
    assert [sample["json"]["labels"] for sample in found] == [["Edema"], ["Edema"]]
    assert found[0]["png"].shape == found[0]["organs.png"].shape
    assert set(np.unique(found[0]["organs.png"])) == {0, 1, 2, 3}


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_rows_that_were_packed_export_the_same(kind, run, tmp_path):
    """What ``--output`` leaves of the batch."""
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(run.path, folder.path)
    told = folder.read()
    folder.save(replace(told, fingerprint={**told.fingerprint, "output": kind}))
    make_folders(folder.loose(0))
    for place in list(run.path.glob("rows/*/*/*")):
        shutil.copytree(place, folder.loose(0) / place.name)
    pack(folder, 0)
    for name, place in (("one", run), ("two", folder)):
        export(place, tmp_path / name, "webdataset", ANY)
    for path in (tmp_path / "one").glob("*.tar"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    if kind == "tar":
        return
    datasets = pytest.importorskip("datasets", reason="needs the extra dev")
    rows = datasets.Dataset.from_parquet(str(folder.pack(0)), cache_dir=str(tmp_path / "cache"))
    assert len(rows) == 4
    assert rows[0]["images"][0].mode in ("L", "I;16")
    assert json.loads(rows[0]["report"])["notice"].startswith("SYNTHETIC")
    assert "seg.dcm" in [file["path"] for file in rows[0]["files"]]


def test_reports_alone_cannot_be_exported(run, tmp_path):
    folder, told = RunFolder(tmp_path / "run"), run.read()
    folder.path.mkdir()
    folder.save(replace(told, fingerprint={**told.fingerprint, "keep": "report"}))
    with pytest.raises(BadRequest, match="kept reports alone"):
        export(folder, tmp_path / "out", "folder", ANY)


def test_two_exports_are_the_same_bytes(run, tmp_path):
    for name in ("one", "two"):
        export(run, tmp_path / name, "webdataset", ANY)
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    )
    assert first == second


def test_the_data_sheet_counts_and_warns(run, tmp_path, capsys):
    words = ["--to", "folder", "--out", str(tmp_path / "d"), "--any-verdict", "--side", "32"]
    assert main(["batch", "export", str(run.path), *words]) == 0
    assert "left out: 1 sham" in capsys.readouterr().out
    text = (tmp_path / "d" / "augmentation.md").read_text()
    for said in ("**not anonymous**", "| duplicates | 3 | the control", "of any verdict",
                 "| Edema | 1 | 2 | 1 |", "- sham: 1", "Every source came with labels.",
                 "- counterfactuals train: 2"):  # fmt: skip
        assert said in text
    assert str(run.path) not in text


def test_nothing_that_passed_is_told(run, tmp_path, monkeypatch):
    path = run.results(0)
    text = path.read_text()
    try:
        os.truncate(path, 0)
        with pytest.raises(BadRequest, match=r"holds no counterfactual to export \(5 not done\)"):
            export(run, tmp_path / "d", "folder", ANY)
    finally:
        path.write_text(text)
    assert not (tmp_path / "d").exists()


def test_only_what_passed_unless_asked(run):
    left = Counter()
    found = list(samples(run, Wanted(SHARES), left))
    passed = [sample for sample in found if sample.arm == "counterfactuals"]
    assert all(sample.record["member"]["verdict"] == "passed" for sample in passed)
    assert len(passed) + sum(n for why, n in left.items() if why.startswith("verdict")) == 3
