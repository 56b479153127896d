# SPDX-License-Identifier: Apache-2.0
"""Rows that refuse, fail, kill, hang or eat, and disks that are full: each ends itself at most."""

import csv
import json

import pytest

from tests.batch.folders import batch, keys, leftovers, lines, start, states, write_manifest
from tests.posix import posix

pytestmark = posix
ROWS = 10


def run(tmp_path, do, **told):
    """A batch of ten rows, some of which misbehave."""
    manifest = write_manifest(tmp_path / "in", ROWS, do)
    return batch(tmp_path / "run", manifest, **told)


def quarantine(tmp_path):
    """Rows of quarantine.csv."""
    with (tmp_path / "run" / "quarantine.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_a_refused_row_is_done_with_and_never_tried_again(tmp_path):
    code, counts = run(tmp_path, {3: "refuse"})
    assert (code, counts["done"], counts["refused"]) == (0, 9, 1)
    assert states(tmp_path / "run")["refused"] == 1
    told = {"id": "r3", "state": "refused", "code": "not_a_chest", "attempts": "1"}
    assert quarantine(tmp_path) == [{**told, "sentence": "It shows a hand; expected a chest."}]
    manifest = tmp_path / "in" / "manifest.csv"
    assert batch(tmp_path / "run", manifest, how={"retry": True})[0] == 0
    assert states(tmp_path / "run")["refused"] == 1


def test_a_failing_row_is_tried_three_times_and_its_text_is_not_told(tmp_path):
    code, counts = run(tmp_path, {3: "fail"})
    assert (code, counts["done"], counts["failed"]) == (1, 9, 1)
    failed = [line for line in lines(tmp_path / "run") if line["state"] == "failed"]
    assert [(line["attempt"], line["final"]) for line in failed] == [
        (1, False), (2, False), (3, True),
    ]  # fmt: skip
    assert "PATIENT" not in json.dumps(lines(tmp_path / "run")) + counts["stderr"]
    assert quarantine(tmp_path)[0]["attempts"] == "3"


def test_a_row_that_was_given_up_is_tried_again_only_if_asked(tmp_path):
    flag = tmp_path / "flag"
    flag.touch()
    code, counts = run(tmp_path, {3: f"once:{flag}"}, how={"attempts": 1})
    assert (code, counts["failed"]) == (1, 1)
    manifest = tmp_path / "in" / "manifest.csv"
    assert batch(tmp_path / "run", manifest)[0] == 1
    code, counts = batch(tmp_path / "run", manifest, how={"retry": True})
    assert (code, counts["done"], counts["failed"]) == (0, ROWS, 0)
    assert not (tmp_path / "run" / "quarantine.csv").exists()


@pytest.mark.parametrize("rows", [ROWS, 100], ids=["a row at a time", "many at once"])
def test_a_poisoned_row_is_put_aside_after_two_workers(rows, tmp_path):
    manifest = write_manifest(tmp_path / "in", rows, {rows - 7: "die"})
    code, counts = batch(tmp_path / "run", manifest, shard=64)
    assert (code, counts["done"], counts["failed"]) == (1, rows - 1, 1)
    killed = [line for line in lines(tmp_path / "run") if line["state"] == "killed"]
    assert [(line["id"], line["final"]) for line in killed] == [
        (f"r{rows - 7}", False), (f"r{rows - 7}", True),
    ]  # fmt: skip
    assert quarantine(tmp_path)[0]["code"] == "killed"


def test_a_row_that_hangs_is_ended_and_told(tmp_path):
    code, counts = run(tmp_path, {3: "hang"}, how={"timeout": 3, "attempts": 2})
    assert (code, counts["done"], counts["failed"]) == (1, 9, 1)
    (told,) = quarantine(tmp_path)
    assert (told["id"], told["code"], told["attempts"]) == ("r3", "row_time", "2")
    assert told["sentence"] == "It took more than 3 s."


def test_a_row_that_eats_memory_is_ended_and_told(tmp_path):
    code, counts = run(tmp_path, {3: "eat"}, how={"memory": 300_000_000, "attempts": 1})
    assert (code, counts["done"], counts["failed"]) == (1, 9, 1)
    assert quarantine(tmp_path)[0]["sentence"] == "It took more than 0.3 GB of memory."


def test_a_full_disk_stops_the_run_and_costs_no_attempt(tmp_path):
    code, counts = run(tmp_path, {3: "fill"})
    assert code == 3
    assert counts["stopped"] == "The disk is full: make room."
    assert not states(tmp_path / "run")["failed"]
    assert not leftovers(tmp_path / "run")
    write_manifest(tmp_path / "in", ROWS)  # room was made


def test_too_many_failures_stop_the_run(tmp_path):
    do = dict.fromkeys(range(40), "fail")
    manifest = write_manifest(tmp_path / "in", 40, do)
    told = {"workers": 1, "attempts": 1, "stop_after": "3"}
    code, counts = batch(tmp_path / "run", manifest, how=told)
    assert code == 3
    assert counts["stopped"] == "3 of 3 rows failed."
    assert counts["left"] >= 36


def test_two_runners_share_a_folder(tmp_path):
    manifest = write_manifest(tmp_path / "in", 40)
    told = {"work": {"seconds": 0.05, "log": str(tmp_path / "log")}, "shard": 4}
    runners = [start(tmp_path / "run", manifest, **told) for _ in range(2)]
    ended = [runner.communicate(timeout=240) for runner in runners]
    assert [runner.returncode for runner in runners] == [0, 0], ended
    assert all(json.loads(out)["done"] == 40 for out, _ in ended)
    assert len(keys(tmp_path / "run")) == 40
    built = (tmp_path / "log").read_text().split()
    assert sorted(built) == sorted(set(built))  # nothing was done twice
