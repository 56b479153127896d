# SPDX-License-Identifier: Apache-2.0
"""One holder a shard: another gets it when it is given back, or its process gone or silent."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monai_cxr_cf.batch.store import lease as module
from monai_cxr_cf.batch.store.lease import alive, alone, epochs, take
from monai_cxr_cf.errors import BadRequest
from tests.posix import posix

TAKE = """
import sys
from pathlib import Path
from monai_cxr_cf.batch.store.lease import take
print(take(Path(sys.argv[1]), "x").epoch)
"""


def test_a_held_lease_is_not_given_again(tmp_path):
    first = take(tmp_path, "x")
    assert first.held()
    assert take(tmp_path, "x") is None
    assert take(tmp_path, "y").held()
    first.release()
    second = take(tmp_path, "x")
    assert (first.epoch, second.epoch) == (1, 2)
    assert not first.held()
    assert epochs(tmp_path, "x") == [2]


@posix
def test_the_lease_of_a_process_that_died_is_free_at_once(tmp_path):
    words = [sys.executable, "-c", TAKE, str(tmp_path)]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "1\n"
    assert take(tmp_path, "x").epoch == 2


def elsewhere(path: Path, age: float) -> None:
    """Make a lease that of another machine, ``age`` seconds after its last beat."""
    path.write_text(json.dumps({"host": "b", "pid": 1, "began": "1", "space": "elsewhere"}))
    os.utime(path, (time.time() - age,) * 2)


def test_another_machine_is_alive_while_it_says_so(tmp_path):
    first = take(tmp_path, "x")
    elsewhere(first.path, 50)
    assert alive(first.path)
    assert take(tmp_path, "x") is None
    elsewhere(first.path, 70)
    second = take(tmp_path, "x")
    assert second.epoch == 2
    assert not first.held()  # it wakes up, and finds that it lost the shard
    first.release()
    assert second.held()


def test_a_beat_keeps_it(tmp_path):
    held = take(tmp_path, "x")
    elsewhere(held.path, 70)
    held.beat()
    assert alive(held.path)


def test_an_empty_lease_is_being_written(tmp_path):
    (tmp_path / "x.1").touch()
    assert take(tmp_path, "x") is None
    os.utime(tmp_path / "x.1", (time.time() - 70,) * 2)
    assert take(tmp_path, "x").epoch == 2


def test_a_taker_that_slept_gives_way(tmp_path, monkeypatch):
    (tmp_path / "x.5").write_text(json.dumps({"released": True}))
    seen = iter([[1], [2, 5]])  # it looked before the others came, and then again
    monkeypatch.setattr(module, "epochs", lambda folder, name: next(seen))
    (tmp_path / "x.1").write_text(json.dumps({"released": True}))
    assert take(tmp_path, "x") is None
    assert not (tmp_path / "x.2").exists()


def test_alone_waits_and_then_says_so(tmp_path):
    take(tmp_path, "x")
    with pytest.raises(BadRequest, match="Another process"), alone(tmp_path, "x", seconds=0.3):
        pass
