# SPDX-License-Identifier: Apache-2.0
"""Rows in a file a shard: nothing is lost on the way into it, and all comes out as it was."""

import json
import random
import tarfile
import time

import pytest
from pyarrow import parquet

from monai_cxr_cf.batch.check import check
from monai_cxr_cf.batch.compact import compact, table
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.run import run
from monai_cxr_cf.batch.store import packs
from monai_cxr_cf.batch.store.packs import row_files
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.errors import CxrError
from tests.batch.folders import (
    batch,
    contents,
    keys,
    leftovers,
    lines,
    packed,
    start,
    write_manifest,
)
from tests.batch.stubs import Stub
from tests.posix import posix

pytestmark = posix
ROWS = 10
KINDS = ["tar", "parquet"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Ten rows, one of which is refused."""
    return write_manifest(tmp_path_factory.mktemp("in"), ROWS, {3: "refuse"})


@pytest.fixture(scope="module")
def runs(manifest, tmp_path_factory):
    """The same rows as folders, tar and Parquet."""
    base = tmp_path_factory.mktemp("runs")
    for kind in ("folders", *KINDS):
        settings = {} if kind == "folders" else {"output": kind}
        code, counts = batch(base / kind, manifest, settings=settings)
        assert (code, counts["done"]) == (0, ROWS - 1), counts
    return base


@pytest.mark.parametrize("kind", KINDS)
def test_a_pack_gives_back_what_the_folders_hold(kind, runs):
    folder, plain = RunFolder(runs / kind), contents(runs / "folders")
    assert keys(folder.path) == keys(runs / "folders")
    assert sorted(packed(folder.path)) == [f"0000{n}.{kind}" for n in range(3)]
    assert contents(folder.path) == {}
    found = {}
    for number in range(folder.read().shards):
        for line in map(json.loads, folder.results(number).read_text().splitlines()):
            if line["state"] == "done":
                with row_files(folder, number, line["key"]) as place:
                    for path in place.iterdir():
                        name = f"{line['key'][:2]}/{line['key'][2:4]}/{line['key']}/{path.name}"
                        found[name] = path.read_bytes()
    assert found == plain
    told = check(folder, Stub())
    assert (told.ok, told.whole, told.left) == (True, ROWS - 1, 1)
    done = next(row for row in table(folder) if row["state"] == "done")
    assert done["folder"] == f"packs/00000.{kind}"


def test_a_tar_holds_a_sample_a_row(runs):
    with tarfile.open(runs / "tar" / "packs" / "00000.tar") as tar:
        names = [member.name.partition(".") for member in tar]
        assert {(member.mtime, member.uid, member.mode) for member in tar} == {(0, 0, 0o644)}
    by_row = {line["n"]: line.get("key") for line in lines(runs / "tar")}
    done = [by_row[n] for n in (1, 2, 3)]
    assert [key for key, _, _ in names] == [key for key in done for _ in range(2)]
    assert [name for _, _, name in names] == ["picture", "report"] * len(done)


def test_a_parquet_file_holds_a_line_a_row(runs):
    found = parquet.read_table(runs / "parquet" / "packs" / "00000.parquet").to_pylist()
    assert [(row["number"], row["id"], row["patient"]) for row in found] == [
        (1, "r0", "p0"), (2, "r1", "p0"), (3, "r2", "p0"),
    ]  # fmt: skip
    assert json.loads(found[0]["request"]) == {"prompt": "cardiomegaly", "seeds": [0]}
    assert [file["path"] for file in found[0]["files"]] == ["picture", "report"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("point", ["told", "renamed"])
def test_killed_on_the_way_the_packs_are_the_same_bytes(kind, point, manifest, runs, tmp_path):
    told = {"settings": {"output": kind}}
    batch(tmp_path / "run", manifest, point=point, group=True, flag=str(tmp_path / "f"), **told)
    assert (tmp_path / "f").exists()
    assert batch(tmp_path / "run", manifest, **told)[0] == 0
    assert packed(tmp_path / "run") == packed(runs / kind)
    assert not leftovers(tmp_path / "run")


def test_killed_at_random_moments_the_packs_are_the_same_bytes(manifest, runs, tmp_path):
    chance, kills = random.Random(7), 0
    while True:
        process = start(tmp_path / "run", manifest, settings={"output": "tar"})
        time.sleep(chance.uniform(0.3, 0.9) * 1.3**kills)
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read()
            break
        kills += 1
        process.kill()
        process.communicate()
    assert packed(tmp_path / "run") == packed(runs / "tar")
    assert contents(tmp_path / "run") == {}


@pytest.mark.parametrize("step", ["pack", "remove"])
def test_stopped_before_or_after_a_pack_is_in_its_place(
    step, manifest, runs, tmp_path, monkeypatch
):
    """The lines are written by then: only packing is left to be done."""
    batch(tmp_path / "run", manifest, settings={"output": "tar"}, how={"only": [1, 2]})
    folder, name = RunFolder(tmp_path / "run"), f"monai_cxr_cf.batch.{{}}.{step}"
    name = name.format("engines.open_shard" if step == "pack" else "store.packs")
    with monkeypatch.context() as patched:
        patched.setattr(name, lambda *words: None)
        run(folder, Stub(), How())
    assert contents(folder.path)
    assert bool(list(folder.path.glob("packs/*"))) == (step == "remove")
    for path in (folder.path / "rows").rglob("picture") if step == "remove" else ():
        path.unlink()  # half removed
    assert run(folder, Stub(), How()).exit_code == 0
    assert packed(folder.path) == packed(runs / "tar")
    assert contents(folder.path) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_is_done_later_joins_its_pack(kind, tmp_path):
    flag = tmp_path / "flag"
    flag.touch()
    path = write_manifest(tmp_path / "in", 4, {1: f"once:{flag}"})
    told = {"settings": {"output": kind}, "how": {"attempts": 1}}
    batch(tmp_path / "run", path, **told)
    batch(tmp_path / "run", path, **{**told, "how": {"retry": True}})
    batch(tmp_path / "other", path, **told)
    assert packed(tmp_path / "run") == packed(tmp_path / "other")
    tables = [compact(RunFolder(tmp_path / n), "csv").read_bytes() for n in ("run", "other")]
    assert tables[0] == tables[1]


def test_a_damaged_pack_is_found_and_made_anew(manifest, runs, tmp_path):
    batch(tmp_path / "run", manifest, settings={"output": "tar"})
    folder = RunFolder(tmp_path / "run")
    path = folder.pack(0)
    path.write_bytes(path.read_bytes().replace(b"radiograph", b"RADIOGRAPH").replace(b"r0", b"rX")
                     .replace(b"source0", b"sourceX"))  # fmt: skip
    found = check(folder, Stub())
    assert found.faults[0][0] == "damaged"
    assert found.again == {"results/00000.jsonl", "packs/00000.tar"}
    for name in found.again:
        (folder.path / name).unlink()
    assert batch(tmp_path / "run", manifest, settings={"output": "tar"})[0] == 0
    assert packed(tmp_path / "run") == packed(runs / "tar")


def test_a_name_that_a_sample_cannot_hold_is_refused():
    class Writer(packs._Tar):
        def __init__(self):
            self._tar, self._keys = None, set()

    with pytest.raises(CxrError, match="a tar of samples cannot hold"):
        Writer().add(None, {"key": "k"}, {"a.b/c.d": b""})


def test_another_output_is_refused(manifest, runs):
    code, counts = batch(runs / "tar", manifest, settings={"output": "parquet"})
    assert code == 1
    assert 'another output: "tar", now "parquet"' in counts["stderr"]
