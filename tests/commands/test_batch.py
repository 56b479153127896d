# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf batch`` as a user meets it; rows are done by a stub, what is around them is real."""

import csv
import io
import json
import shutil

import pytest

from monai_cxr_cf import cli
from monai_cxr_cf.cli import main
from monai_cxr_cf.commands.batch import look, run
from monai_cxr_cf.runs.progress import Events
from tests.batch.folders import keys, lines, write_manifest
from tests.batch.stubs import Stub
from tests.posix import posix

pytestmark = posix


@pytest.fixture
def stub(monkeypatch):
    """Rows are done by the stub."""
    for module in (run, look):
        monkeypatch.setattr(module, "work_of", lambda *words: Stub())


@pytest.fixture
def call(capsys, stub):
    """Run a command; exit code, what it said, what it complained of."""

    def called(*words):
        capsys.readouterr()
        code = main(["batch", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return called


def test_all_done_is_0_and_told(call, tmp_path):
    manifest = write_manifest(tmp_path, 4, {1: "refuse"})
    out = tmp_path / "run"
    code, said, warned = call("run", manifest, "--out", out)
    assert code == 0
    assert said.splitlines()[:5] == [
        "done              3",
        "refused           1",
        "failed            0",
        "left              0",
        "rows              4   0 GB",
    ]
    assert f"put aside, and why: {out}/quarantine.csv" in said
    assert "row 2 refused: It shows a hand; expected a chest." in warned
    assert "r1" not in warned  # an identifier may be a patient's
    code, said, _ = call("status", out, "--json")
    told = json.loads(said)
    assert (code, told["done"], told["refused"], told["left"]) == (0, 3, 1, 0)
    assert told["shards_at_work"] == 0


def test_some_failed_is_1_and_more_attempts_are_asked_for(call, tmp_path):
    flag = tmp_path / "flag"
    flag.touch()
    manifest = write_manifest(tmp_path, 4, {1: f"once:{flag}"})
    words = ("run", manifest, "--out", tmp_path / "run", "--json")
    code, said, _ = call(*words, "--max-attempts", 1)
    assert (code, json.loads(said)["failed"]) == (1, 1)
    assert call("status", tmp_path / "run")[0] == 1
    assert call(*words)[0] == 1
    code, said, _ = call(*words, "--retry-failed")
    assert (code, json.loads(said)["done"]) == (0, 4)


def test_stopped_is_3_and_says_why(call, tmp_path):
    manifest = write_manifest(tmp_path, 4, {1: "fill"})
    code, said, _ = call("run", manifest, "--out", tmp_path / "run")
    assert code == 3
    assert "stopped: The disk is full: make room. The same command goes on." in said
    assert call("status", tmp_path / "run")[0] == 3


def test_bad_rows_are_listed_and_nothing_is_made(call, tmp_path):
    manifest = write_manifest(tmp_path, 3)
    manifest.write_text(manifest.read_text().replace("r1,source0", "r1,gone"))
    code, _, warned = call("run", manifest, "--out", tmp_path / "run")
    assert code == 2
    assert "row 2: The file of 'path' is not there." in warned
    assert "1 of 3 rows cannot be run, so nothing was begun." in warned
    assert not (tmp_path / "run").exists()
    code, said, warned = call("run", manifest, "--out", tmp_path / "run", "--skip-bad", "--json")
    assert (code, json.loads(said)["done"]) == (0, 2)
    assert "row 2" in warned


def test_other_settings_are_refused_with_the_field(call, tmp_path):
    manifest = write_manifest(tmp_path, 2)
    assert call("run", manifest, "--out", tmp_path / "run")[0] == 0
    code, _, warned = call("run", manifest, "--out", tmp_path / "run", "--field", "png=true")
    assert code == 2
    assert 'another fields: {}, now {"png": true}' in warned
    code, _, warned = call("run", manifest, "--out", tmp_path / "run", "--precision", "bf16")
    assert 'another precision: "auto", now "bf16"' in warned


def test_events_for_programs(call, monkeypatch, tmp_path):
    manifest, stream = write_manifest(tmp_path, 3, {1: "refuse"}), io.StringIO()
    monkeypatch.setattr(cli, "reporter", lambda kind, check: Events(stream, check))
    assert call("run", manifest, "--out", tmp_path / "run")[0] == 0
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (told[0]["event"], told[0]["rows"], told[0]["shards"]) == ("hello", 3, 1)
    (row,) = [event for event in told if event["event"] == "row"]
    assert (row["n"], row["state"], row["code"]) == (2, "refused", "not_a_chest")
    assert told[-1]["event"] == "result"
    assert (told[-1]["done"], told[-1]["exit_code"]) == (2, 0)


def test_a_shard_at_a_time(call, tmp_path):
    manifest, out = write_manifest(tmp_path, 6), tmp_path / "run"
    words = ("run", manifest, "--out", out, "--shard-size", 2, "--prepare")
    code, said, _ = call(*words)
    assert code == 0
    assert said.splitlines()[0] == f"{out}: 6 rows in 3 shards, 0 to 2"
    assert not (out / "rows").exists()
    code, said, _ = call("shard", out, "--number", 1, "--json")
    assert (code, json.loads(said)["done"], json.loads(said)["left"]) == (0, 2, 0)
    assert call("status", out)[0] == 3
    assert call("shard", out, "--number", 0)[0] == call("shard", out, "--number", 2)[0] == 0
    assert len(keys(out)) == 6
    code, _, warned = call("shard", out, "--number", 3)
    assert code == 2
    assert "There is no shard 3; the batch has 3." in warned


def test_a_sample_is_kept_and_tells_what_the_rest_takes(call, tmp_path):
    manifest, out = write_manifest(tmp_path, 20), tmp_path / "run"
    words = ("run", manifest, "--out", out, "--shard-size", 4)
    code, said, _ = call(*words, "--sample", 5, "--price-per-hour", 2, "--json")
    told = json.loads(said)
    assert (code, told["sample"], told["rows"], told["workers"]) == (0, 5, 15, 1)
    assert {"seconds_a_row", "hours", "gb", "price"} <= set(told)
    assert sorted(line["n"] for line in lines(out)) == [1, 5, 9, 13, 17]
    code, said, _ = call(*words, "--sample", 5, "--json")  # others: those are done
    assert (code, json.loads(said)["sample"], json.loads(said)["rows"]) == (0, 5, 10)
    assert call(*words)[0] == 0
    assert len(keys(out)) == 20
    code, _, warned = call(*words, "--sample", 5)
    assert code == 2
    assert "none is left, or all failed" in warned


def test_a_dry_run_reads_headers_and_writes_nothing(call, root, tmp_path):
    shutil.copy(root / "docs" / "example.dcm", tmp_path / "a.dcm")
    (tmp_path / "b.txt").write_text("no radiograph")
    (tmp_path / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 200)
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,prompt\na.dcm,edema\nb.txt,edema\nc.png,edema\nd,edema\na.dcm,zebra")
    code, said, _ = call("run", manifest, "--out", tmp_path / "run", "--dry-run")
    assert code == 1
    told = said.splitlines()
    assert told[0] == "row 4 bad: The file of 'path' is not there."
    assert told[1].startswith("row 5 bad: ")
    assert told[2].startswith("row 2 would be refused: The file is not DICOM")
    assert "Pass reading.allow_raster=true" in told[3]
    assert told[4] == (
        "5 rows, 3 radiographs: 2 bad rows, 2 that the reader would refuse. Nothing was written."
    )
    assert not (tmp_path / "run").exists()


def test_verify_finds_what_is_missing_damaged_and_stray(call, tmp_path):
    manifest, out = write_manifest(tmp_path, 6), tmp_path / "run"
    call("run", manifest, "--out", out)
    code, said, _ = call("verify", out)
    assert (code, said) == (0, "6 of 6 rows are done and whole, 0 are not done\n")
    found = keys(out)
    folders = {name: out / "rows" / key[:2] / key[2:4] / key for name, key in found.items()}
    shutil.rmtree(folders["r0"])
    (folders["r1"] / "picture").write_text("other")
    shutil.copytree(folders["r2"], folders["r2"].with_name("0" * 64))
    code, said, _ = call("verify", out, "--json")
    told = json.loads(said)
    assert (code, told["ok"], told["whole"]) == (1, False, 4)
    assert [(fault["kind"], fault["of"]) for fault in told["faults"]] == [
        ("missing", "r0"), ("damaged", "r1"), ("stray", "0" * 64),
    ]  # fmt: skip
    (name,) = told["move_away"]
    (out / name).unlink()
    assert call("run", manifest, "--out", out)[0] == 0
    assert keys(out) == found
    assert call("verify", out)[0] == 0


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_compact_makes_one_table_that_repeats(kind, call, tmp_path):
    manifest = write_manifest(tmp_path, 5, {1: "refuse", 2: "fail"})
    tables = []
    for name in ("one", "two"):
        call("run", manifest, "--out", tmp_path / name, "--workers", 2 if name == "two" else 1)
        code, said, _ = call("compact", tmp_path / name, "--to", kind)
        assert (code, said) == (0, f"{tmp_path / name}/results.{kind}\n")
        tables.append((tmp_path / name / f"results.{kind}").read_text())
    assert tables[0] == tables[1]
    if kind == "csv":
        rows = list(csv.DictReader(tables[0].splitlines()))
        assert [row["state"] for row in rows] == ["done", "refused", "failed", "done", "done"]
        assert rows[1]["message"] == "It shows a hand; expected a chest."
        assert (rows[0]["do"], rows[1]["do"], rows[0]["patient"]) == ("", "refuse", "p0")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--field", "severty=1"), "'severty' in --field is no field"),
        (("--field", "preset"), "--field preset is no NAME=VALUE"),
        (("--stop-after-failures", "many"), "--stop-after-failures is 'many'"),
        (("--workers", "0"), "'0' is no whole number from 1"),
        (("--timeout", "-1"), "'-1' is no number above 0"),
        (("--device", "gpu"), "There is no device 'gpu'"),
    ],
)
def test_wrong_flags_are_refused_before_anything(words, said, call, tmp_path):
    manifest = write_manifest(tmp_path, 2)
    code, _, warned = call("run", manifest, "--out", tmp_path / "run", *words)
    assert code == 2
    assert said in warned
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [("nowhere.csv", "The manifest does not exist"), ("scans.txt", "of the kind '.txt'")],
)
def test_what_is_no_manifest_is_refused_and_nothing_is_begun(name, said, call, tmp_path):
    (tmp_path / "scans.txt").write_text("a,b")
    code, _, warned = call("run", tmp_path / name, "--out", tmp_path / "run")
    assert code == 2
    assert said in warned
    assert not (tmp_path / "run").exists()


def test_a_folder_without_a_batch(call, tmp_path):
    for part in ("status", "verify", "compact"):
        code, _, warned = call(part, tmp_path)
        assert code == 2
        assert "The folder holds no batch" in warned
