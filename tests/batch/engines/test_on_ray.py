# SPDX-License-Identifier: Apache-2.0
"""A real Ray of two processors gives what one machine and single shards give."""

import json
import logging
import signal
import sys
import time
from functools import partial

import pytest

from monai_cxr_cf.batch.begin import Plan, lay_out
from monai_cxr_cf.batch.compact import compact
from monai_cxr_cf.batch.engines import on_ray
from monai_cxr_cf.batch.engines.on_ray import OnRay
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.run import run
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.cli import main
from monai_cxr_cf.commands.batch import run as run_command
from monai_cxr_cf.errors import BadRequest, ComponentMissing, RemoteFailure
from tests.batch.folders import batch, contents, keys, leftovers, start, states, write_manifest
from tests.batch.stubs import Stub, die_once
from tests.posix import posix

pytestmark = posix
ROWS, SHARD = 14, 4


def gone():
    """What unpickling finds where the program is not."""
    raise ModuleNotFoundError("No module named 'monai_cxr_cf'")


class Elsewhere(Stub):
    """A work that an actor cannot load."""

    def __reduce__(self):
        return gone, ()


@pytest.fixture(scope="module")
def ray():
    """A small Ray of this process."""
    found = pytest.importorskip("ray", reason="needs the extra ray")
    found.init("local", num_cpus=2, log_to_driver=False, logging_level="ERROR", **on_ray.OURS)
    yield found
    found.shutdown()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The manifest, and what the local engine makes of it: some rows misbehave."""
    base = tmp_path_factory.mktemp("local")
    manifest = write_manifest(base / "in", ROWS, {3: "refuse", 6: "die", 9: "fail"})
    code, counts = batch(base / "run", manifest)
    assert (code, counts["done"], counts["refused"], counts["failed"]) == (1, ROWS - 3, 1, 2)
    return manifest, base / "run"


def laid_out(path, manifest):
    """A new folder with its shards."""
    folder = RunFolder(path)
    lay_out(folder, Plan(manifest, shard=SHARD))
    return folder


def same(folder, other):
    """Rows, table and quarantine of two folders."""
    tables = [compact(RunFolder(path)).read_bytes() for path in (folder, other)]
    return (
        tables[0] == tables[1]
        and contents(folder) == contents(other)
        and keys(folder) == keys(other)
        and states(folder) == states(other)
        and (folder / "quarantine.csv").read_text() == (other / "quarantine.csv").read_text()
    )


def test_ray_shards_and_one_machine_give_the_same_table_and_rows(ray, local, tmp_path):
    manifest, undisturbed = local
    told, folder = [], laid_out(tmp_path / "ray", manifest)
    ended = run(folder, Stub(), How(workers=2), engine=OnRay(), tell=told.extend)
    assert (ended.exit_code, ended.counts.done, ended.stopped) == (1, ROWS - 3, "")
    assert len(told) == sum(states(folder.path).values())
    assert same(folder.path, undisturbed)
    assert not leftovers(folder.path)
    shards = laid_out(tmp_path / "shards", manifest)
    for number in range(shards.read().shards):
        run(shards, Stub(), How(), shards=[number])
    run(shards, Stub(), How())  # nothing is left but to write quarantine.csv
    assert same(shards.path, undisturbed)


def test_an_actor_that_is_killed_is_begun_again(ray, local, tmp_path):
    manifest, undisturbed = local
    flag = tmp_path / "flag"
    at = partial(die_once, "told", False, str(flag))
    folder = laid_out(tmp_path / "run", manifest)
    ended = run(folder, Stub(), How(workers=2, at=at), engine=OnRay())
    assert flag.exists()
    assert ended.counts.left == 0
    assert contents(folder.path) == contents(undisturbed)
    assert keys(folder.path) == keys(undisturbed)


def test_a_driver_joins_is_killed_and_goes_on(ray, local, tmp_path):
    manifest, undisturbed = local
    address = ray.get_runtime_context().gcs_address
    told = {"ray": address, "shard": SHARD, "work": {"seconds": 0.2}}
    process = start(tmp_path / "run", manifest, **told)
    until = time.monotonic() + 240
    while not ((tmp_path / "run/results").is_dir() and states(tmp_path / "run")):
        assert time.monotonic() < until
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    code, counts = batch(tmp_path / "run", manifest, **told)
    assert (code, counts["left"]) == (1, 0), counts["stderr"]
    assert contents(tmp_path / "run") == contents(undisturbed)
    assert keys(tmp_path / "run") == keys(undisturbed)


def test_an_error_of_an_actor_is_told_as_it_was_raised_there(ray, tmp_path):
    manifest = write_manifest(tmp_path / "in", 6)
    batch(tmp_path / "run", manifest)
    folder = RunFolder(tmp_path / "run")
    write_manifest(tmp_path / "in", 9)
    lay_out(folder, Plan(manifest, shard=SHARD))
    with pytest.raises(BadRequest, match="another weights of stub") as caught:
        run(folder, Stub(model="others"), How(), engine=OnRay())
    assert (caught.value.code, caught.value.hint[:12]) == ("other_settings", "Use the same")


def test_a_machine_without_the_program_is_told(ray, tmp_path, capfd):
    folder = laid_out(tmp_path / "run", write_manifest(tmp_path / "in", 2))
    with pytest.raises(RemoteFailure, match=r"Ray ended the batch \(.*program and the folder"):
        run(folder, Elsewhere(), How(), engine=OnRay())
    assert "Traceback" not in capfd.readouterr().err
    assert not states(folder.path)


def test_by_the_command(ray, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run_command, "work_of", lambda *words: Stub())
    manifest = write_manifest(tmp_path / "in", 5)
    words = ["batch", "run", str(manifest), "--out", str(tmp_path / "run"), "--engine", "ray"]
    assert main([*words, "--workers", "2", "--json", "--device", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 5


def test_what_a_program_listens_with_is_not_silenced(ray):
    """The engine runs within other programs, too: only Ray's own handlers are quiet."""
    logger, own = logging.getLogger("ray.data"), logging.StreamHandler()
    logger.addHandler(own)
    try:
        on_ray._imported()
        assert own.level == logging.NOTSET
    finally:
        logger.removeHandler(own)
    rays = [each for each in logger.handlers if type(each).__module__.startswith("ray.")]
    assert rays
    assert {each.level for each in rays} == {logging.CRITICAL}


def test_what_is_committed_needs_no_ray(tmp_path, monkeypatch):
    manifest = write_manifest(tmp_path / "in", 5)
    batch(tmp_path / "run", manifest)
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = run(RunFolder(tmp_path / "run"), Stub(), How(), engine=OnRay())
    assert (ended.exit_code, ended.counts.done) == (0, 5)


def test_without_ray_one_sentence_says_what_helps(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    manifest = write_manifest(tmp_path / "in", 5)
    with pytest.raises(ComponentMissing, match="engine ray needs the package ray"):
        run(laid_out(tmp_path / "run", manifest), Stub(), How(), engine=OnRay())
    words = ["batch", "run", str(manifest), "--out", str(tmp_path / "cli"), "--engine", "ray"]
    assert main(words) == 3
    assert "'.[ray]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--address", "auto"], "--address is of --engine ray."),
        (["--gpus-per-worker", "1"], "--gpus-per-worker is of --engine ray."),
        (["--engine", "ray", "--sbatch=-x"], "--sbatch is of --engine slurm."),
        (["--engine", "ray", "--sample", "2"], "--sample runs on this machine."),
    ],
)
def test_a_flag_of_another_engine_is_refused(words, said, tmp_path, capsys):
    manifest = write_manifest(tmp_path / "in", 2)
    assert main(["batch", "run", str(manifest), "--out", str(tmp_path / "run"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("gpus", "device", "has", "share"),
    [(None, "auto", 2, 1), (None, "auto", 0, 0), (None, "cpu", 2, 0), (0.5, "cuda", 2, 0.5)],
)
def test_an_actor_has_a_gpu_where_there_is_one_and_it_may_use_it(gpus, device, has, share):
    class Cluster:
        def cluster_resources(self):
            return {"GPU": has}

    assert OnRay("", gpus, device)._share(Cluster()) == share
    with pytest.raises(BadRequest, match="Ray has no GPU"):
        OnRay("", gpus, "cuda")._share(type("None", (), {"cluster_resources": lambda s: {}})())
