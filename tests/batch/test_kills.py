# SPDX-License-Identifier: Apache-2.0
"""Killed at any point, then begun again: no row is lost, none twice, every byte is equal."""

import os
import random
import signal
import time

import pytest

from monai_cxr_cf.batch.points import POINTS
from monai_cxr_cf.batch.store.lease import take
from tests.batch.folders import (
    batch,
    contents,
    keys,
    leftovers,
    lines,
    start,
    states,
    write_manifest,
)
from tests.posix import posix

pytestmark = posix
ROWS = 14
DRIVERS = ("planned", "leased", "told", "torn", "written")  # points that the driver passes


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Fourteen rows on seven radiographs of four patients."""
    return write_manifest(tmp_path_factory.mktemp("sources"), ROWS)


@pytest.fixture(scope="module")
def undisturbed(manifest, tmp_path_factory):
    """A run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    code, counts = batch(folder, manifest)
    assert code == 0
    assert counts["done"] == ROWS
    return folder


def check(folder, undisturbed):
    """A resumed run holds what an undisturbed one holds, and nothing else."""
    assert keys(folder) == keys(undisturbed)
    assert contents(folder) == contents(undisturbed)
    assert not leftovers(folder)


def test_there_are_ten_points():
    assert len(POINTS) == len(set(POINTS)) == 10


@pytest.mark.parametrize("group", [False, True], ids=["one process", "all processes"])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point_and_resumed(point, group, manifest, undisturbed, tmp_path):
    flag = tmp_path / "flag"
    told = {"point": point, "group": group, "flag": str(flag)}
    code, _ = batch(tmp_path / "run", manifest, **told)
    assert flag.exists(), "the point was never passed"
    killed = group or point in DRIVERS
    assert code == (-signal.SIGKILL if killed else 0)  # a worker's death ends the worker only
    if killed:
        code, counts = batch(tmp_path / "run", manifest)
        assert (code, counts["done"]) == (0, ROWS)
    check(tmp_path / "run", undisturbed)


@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again_at_random_moments(seed, manifest, undisturbed, tmp_path):
    chance = random.Random(seed)
    folder, kills = tmp_path / "run", 0
    while True:
        process = start(folder, manifest, work={"seconds": 0.1}, shard=3)
        time.sleep(chance.uniform(0.1, 0.7) * 1.3**kills)  # a slow machine comes to an end, too
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read()
            break
        kills += 1
        if chance.random() < 0.5:
            process.kill()  # its workers end by themselves
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert kills >= 1
    check(folder, undisturbed)


def test_a_row_that_was_in_its_place_without_a_line_is_taken_as_it_is(manifest, tmp_path):
    log = tmp_path / "log"
    told = {"point": "told", "group": True, "flag": str(tmp_path / "flag")}
    batch(tmp_path / "run", manifest, work={"log": str(log)}, **told)
    before = len(log.read_text().split())
    assert before
    batch(tmp_path / "run", manifest, work={"log": str(log)})
    adopted = [line for line in lines(tmp_path / "run") if line.get("adopted")]
    assert adopted
    assert len(log.read_text().split()) <= ROWS + 2  # what two workers had just begun


def test_a_damaged_folder_without_a_line_is_made_anew(manifest, undisturbed, tmp_path):
    told = {"point": "told", "group": True, "flag": str(tmp_path / "flag")}
    batch(tmp_path / "run", manifest, **told)
    for picture in (tmp_path / "run" / "rows").rglob("picture"):
        picture.write_text("half")
    assert batch(tmp_path / "run", manifest)[0] == 0
    check(tmp_path / "run", undisturbed)


def test_what_a_dead_process_left_is_swept(manifest, undisturbed, tmp_path):
    """Killed after its last line, or while it laid out: nobody opens that shard again."""
    batch(tmp_path / "run", manifest)
    (tmp_path / "run/aside/00000.1/3/half").mkdir(parents=True)
    (tmp_path / "run/plan/.00001.jsonl.77.part").touch()
    (tmp_path / "run/.run.json.77.part").touch()
    held = take(tmp_path / "run/leases", "00001")  # by this process, which lives
    (tmp_path / f"run/aside/{held.path.name}").mkdir()
    assert batch(tmp_path / "run", manifest)[0] == 0
    assert leftovers(tmp_path / "run") == [held.path.name]
    held.release()
    assert batch(tmp_path / "run", manifest)[0] == 0
    check(tmp_path / "run", undisturbed)


def test_a_second_start_does_nothing(manifest, tmp_path):
    batch(tmp_path / "run", manifest)
    before = lines(tmp_path / "run")
    code, counts = batch(tmp_path / "run", manifest)
    assert (code, counts["done"]) == (0, ROWS)
    assert lines(tmp_path / "run") == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_drops_what_is_in_hand_and_goes_on_later(
    number, manifest, undisturbed, tmp_path
):
    folder = tmp_path / "run"
    process = start(folder, manifest, work={"seconds": 0.3})
    until = time.monotonic() + 120
    while not (folder.is_dir() and any(folder.glob("results/*")) and states(folder)):
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 3, error
    assert "asked to stop" in out
    assert not leftovers(folder)
    assert 0 < len(keys(folder)) < ROWS
    assert batch(folder, manifest)[0] == 0
    check(folder, undisturbed)
