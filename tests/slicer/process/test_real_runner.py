# SPDX-License-Identifier: Apache-2.0
"""The back end with the real runner on the shipped weights: edit, region, crash, refusal."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from CXRCounterfactualLib.contract import jobs
from CXRCounterfactualLib.contract.events import STAGES, Failed, Hello, Preview, Progressed, Result
from CXRCounterfactualLib.contract.failures import ended
from CXRCounterfactualLib.contract.params import Choice
from CXRCounterfactualLib.process.backend import Backend
from CXRCounterfactualLib.process.commands import local_command, region_command
from CXRCounterfactualLib.scene.mask_files import masks_of_seg

from tests.posix import posix
from tests.slicer.environment import Runner
from tests.slicer.helpers.driving import Told, drive, living

pytestmark = [pytest.mark.usefixtures("application"), pytest.mark.timeout(600)]
PATIENCE = 400.0  # seconds: other tests share the machine
LONGEST = 0.1  # seconds: the bar for a blocked window
CHOICE = Choice(finding="pleural effusion", side="left", preset="fast", seeds=(1,))
LONG = {"sampling": {"steps": 1000}}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A folder for one job."""
    folder = tmp_path / "job"
    folder.mkdir()
    return folder


def run(runner: Runner, job: Path, request: dict[str, Any], **more: Any) -> Told:
    """An edit over the back end."""
    path = jobs.write_job(request, job)
    command = local_command(runner.python, path, job / "out", environment=runner.environment())
    return drive(Backend(), command, patience=PATIENCE, **more)


def sampling(event: Any) -> bool:
    """The runner is in the middle of its steps."""
    return isinstance(event, Progressed) and event.stage == "sample" and event.step >= 2


def test_a_real_edit_tells_its_stages_and_leaves_the_window_alive(
    runner: Runner, root: Path, job: Path
) -> None:
    source = root / "docs" / "example.dcm"
    told = run(runner, job, jobs.make_request(CHOICE, source=source))
    assert told.end.exit_code == 0, told.end.stderr_tail
    assert isinstance(told.events[0], Hello)
    assert list(dict.fromkeys(e.stage for e in told.of(Progressed))) == list(STAGES)
    (result,) = told.of(Result)
    assert {file.role for file in result.files} >= {"cf", "seg", "diff", "sr", "arrays", "report"}
    assert all(file.path.is_file() for file in result.files)
    assert result.metrics["outside_max_diff"] == 0
    assert told.of(Preview)
    assert max(told.gaps) < LONGEST
    assert sorted(p.name for p in job.iterdir()) == ["job.json", "out"]


@posix
def test_a_runner_that_the_system_kills_is_told_and_leaves_nothing(
    runner: Runner, root: Path, job: Path
) -> None:
    def kill(event: Any) -> bool:
        if sampling(event):
            for process in living(str(job)):
                os.kill(process, signal.SIGKILL)
        return False

    request = jobs.make_request(CHOICE, source=root / "docs" / "example.dcm")
    told = run(runner, job, request | {"overrides": LONG}, cancel_if=kill)
    end = told.end
    failed = ended(end.exit_code, end.stderr_tail, end.saw_result, crashed=end.crashed)
    assert failed is not None
    assert failed.code == "killed"
    assert [path.name for path in job.iterdir()] == ["job.json"]


def test_the_runners_refusal_arrives_with_its_hint(runner: Runner, job: Path) -> None:
    told = run(runner, job, jobs.make_request(CHOICE, source=job / "gone.dcm"))
    (failed,) = told.of(Failed)
    assert (failed.code, failed.hint) == ("no_file", "Check the path.")
    assert told.end.exit_code == 2


def test_the_region_is_known_before_the_run(runner: Runner, root: Path, job: Path) -> None:
    path = jobs.write_job(jobs.make_request(CHOICE, source=root / "docs" / "example.dcm"), job)
    out = job / "region"
    command = region_command(runner.python, path, out, environment=runner.environment())
    told = drive(Backend(), command, patience=PATIENCE)
    assert told.end.document is not None, told.end.stderr_tail
    masks = masks_of_seg(out / "seg.dcm")
    region = masks["edit_region"]
    assert int(region.sum()) == told.end.document["pixels"]["edit_region"]
    assert (region & masks["left_lung"]).sum() > 0.9 * region.sum() > 0
    assert max(told.gaps) < LONGEST
