# SPDX-License-Identifier: Apache-2.0
"""An array that a stand-in for sbatch truly runs gives what the local engine gives."""

import json
import os
import sys

import pytest

from monai_cxr_cf.batch.begin import Plan, lay_out
from monai_cxr_cf.batch.compact import compact
from monai_cxr_cf.batch.count import count
from monai_cxr_cf.batch.engines.slurm import max_array_size, submit, write_jobs
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.cli import main
from monai_cxr_cf.errors import BadRequest, RemoteFailure
from tests.batch.folders import ROOT, batch, contents, keys, write_manifest
from tests.posix import posix

pytestmark = posix
SHARD = (sys.executable, "-m", "tests.batch.stub_shard")
SBATCH = """\
#!/bin/bash
# Runs an array's tasks, the last one first, and answers as sbatch does.
last=$(sed -n 's/^#SBATCH --array=0-//p' "$1")
echo "$@" >> {log}
for task in $(seq "$last" -1 0); do SLURM_ARRAY_TASK_ID=$task bash "$1" || exit 9; done
echo "Submitted batch job 4$(wc -l < {log})"
"""


def stand_in(folder, name, text, monkeypatch):
    """A program of that name, first on the path."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """The stand-in; returns its log."""
    log = tmp_path / "sbatch.log"
    stand_in(tmp_path, "sbatch", SBATCH.format(log=log), monkeypatch)
    return log


def test_an_array_gives_what_one_machine_gives(sbatch, tmp_path):
    manifest = write_manifest(tmp_path / "in", 12, {5: "refuse"})
    batch(tmp_path / "local", manifest)
    folder = RunFolder(tmp_path / "slurm")
    lay_out(folder, Plan(manifest, shard=4))
    jobs = write_jobs(folder, How(), ["--x", "a b"], size=2, command=SHARD)
    assert [job.shards for job in jobs] == [2, 1]
    assert submit(jobs) == ["41", "42"]
    assert len(sbatch.read_text().splitlines()) == 2
    assert count(folder).done == 11
    assert keys(folder.path) == keys(tmp_path / "local")
    assert contents(folder.path) == contents(tmp_path / "local")
    tables = [compact(RunFolder(tmp_path / n), "csv").read_bytes() for n in ("local", "slurm")]
    assert tables[0] == tables[1]
    assert write_jobs(folder, How(), [], command=SHARD) == []


def test_only_shards_with_rows_left_are_listed(tmp_path):
    manifest = write_manifest(tmp_path / "in", 12)
    batch(tmp_path / "run", manifest, how={"only": None})
    (tmp_path / "run" / "results" / "00001.jsonl").unlink()
    write_jobs(RunFolder(tmp_path / "run"), How(), [], size=1001)
    (job,) = write_jobs(RunFolder(tmp_path / "run"), How(), [], size=1001)
    assert job.script.name == "001.sh"  # the first list may still be waited with
    assert job.script.with_suffix(".shards").read_text() == "1\n"


def test_the_script_says_what_was_asked(tmp_path, capsys, sbatch, monkeypatch):
    manifest = write_manifest(tmp_path / "in", 12)
    monkeypatch.setattr("monai_cxr_cf.commands.batch.cluster.can_submit", lambda: False)
    out = tmp_path / "a b"
    words = ["--engine", "slurm", "--shard-size", "4", "--workers", "3", "--retry-failed"]
    words += ["--sbatch", "--partition=gpu --time=4:00:00", "--json"]
    assert main(["batch", "run", str(manifest), "--out", str(out), *words]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["shards"], told["submitted"]) == (3, [])
    text = (out / "slurm" / "000.sh").read_text()
    assert "#SBATCH --array=0-2\n" in text
    assert "#SBATCH --partition=gpu\n#SBATCH --time=4:00:00\n" in text
    assert f"batch shard '{out}' --number \"$number\" --progress none --workers 3" in text
    assert "--retry-failed" in text
    assert not sbatch.exists()


@pytest.mark.parametrize("option", ["--array=0-9", "-a", "gpu", "--wrap=ls"])
def test_options_that_would_break_the_array_are_refused(option, tmp_path):
    lay_out(RunFolder(tmp_path / "run"), Plan(write_manifest(tmp_path / "in", 2)))
    with pytest.raises(BadRequest, match="cannot be used here"):
        write_jobs(RunFolder(tmp_path / "run"), How(), [], options=[option])


def test_the_cluster_says_how_long_an_array_may_be(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert max_array_size() == 1001
    monkeypatch.undo()
    text = "#!/bin/bash\necho 'MailProg = /bin/mail'\necho 'MaxArraySize            = 77'\n"
    stand_in(tmp_path, "scontrol", text, monkeypatch)
    assert max_array_size() == 77


def test_what_sbatch_refuses_is_told(tmp_path, monkeypatch):
    stand_in(tmp_path, "sbatch", "#!/bin/bash\necho 'invalid partition' >&2\nexit 1", monkeypatch)
    folder = RunFolder(tmp_path / "run")
    lay_out(folder, Plan(write_manifest(tmp_path / "in", 2)))
    with pytest.raises(RemoteFailure, match="sbatch refused: invalid partition"):
        submit(write_jobs(folder, How(), [], size=1001))
