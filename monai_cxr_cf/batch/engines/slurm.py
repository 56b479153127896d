# SPDX-License-Identifier: Apache-2.0
"""Shards as a SLURM array: scripts into ``DIR/slurm/``, submitted if ``sbatch`` is there.

A task takes a line of a list of shards and becomes ``cxr-cf batch shard``, so that SIGTERM reaches
it. Only shards with rows left are listed; a list is as long as MaxArraySize allows.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_cxr_cf.batch.engines.open_shard import has_work
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.store.files import make_folders, save_text
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.errors import BadRequest, RemoteFailure

FOLDER = "slurm"
SIZE = 1001  # MaxArraySize where scontrol does not say: SLURM's own default
SHARD = (sys.executable, "-m", "monai_cxr_cf.cli", "batch", "shard")
OURS = ("--array", "-a", "--output", "-o", "--wrap")  # options that the script sets itself
SUBMITTED = re.compile(r"Submitted batch job (\d+)")
MAX_ARRAY = re.compile(r"^MaxArraySize\s*=\s*(\d+)", re.MULTILINE)
SECONDS = 60
SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=cxr-cf-batch
#SBATCH --array=0-{last}
#SBATCH --output={log}
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
{options}
# Task K does the shard in line K+1 of the list; it ends as that command does.
number=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {shards})
exec {command} {folder} --number "$number" {flags}
"""


@dataclass(frozen=True)
class Job:
    """A script and how many shards it does."""

    script: Path
    shards: int


def write_jobs(
    folder: RunFolder,
    how: How,
    flags: Sequence[str],
    *,
    options: Sequence[str] = (),
    size: int | None = None,
    command: Sequence[str] = SHARD,
) -> list[Job]:
    """Write a list and a script for every array; none if no row is left.

    Args:
        folder: laid out.
        how: says which rows are left.
        flags: of ``cxr-cf batch shard``.
        options: of sbatch, such as ``--partition=gpu``.
        size: MaxArraySize; None asks scontrol.
        command: what does a shard; tests name another.

    Raises:
        BadRequest: an option that the script must set itself, or that is none.
    """
    _check(options)
    numbers = [n for n in range(folder.read().shards) if has_work(folder, n, how)]
    place, most = folder.path / FOLDER, size or max_array_size()
    make_folders(place)
    told = {
        "log": place / "%A_%a.log",
        "options": "".join(f"#SBATCH {option}\n" for option in options),
        "command": shlex.join(command),
        "folder": shlex.quote(str(folder.path)),
        "flags": shlex.join(flags),
    }
    first = len(list(place.glob("*.shards")))  # lists that jobs may still be waiting with
    return [
        _write(place / f"{first + index:03d}", numbers[start : start + most], told)
        for index, start in enumerate(range(0, len(numbers), most))
    ]


def _check(options: Sequence[str]) -> None:
    for option in options:
        if not option.startswith("-") or option.partition("=")[0] in OURS:
            raise BadRequest(
                f"The sbatch option '{option[:40]}' cannot be used here.",
                hint="Such as --partition=gpu --time=4:00:00.",
            )


def _write(name: Path, numbers: Sequence[int], told: Mapping[str, object]) -> Job:
    """One array: the list of its shards, and its script."""
    shards, script = name.with_suffix(".shards"), name.with_suffix(".sh")
    save_text(shards, "".join(f"{number}\n" for number in numbers))
    last, listed = len(numbers) - 1, shlex.quote(str(shards))
    save_text(script, SCRIPT.format(last=last, shards=listed, **told))
    return Job(script, len(numbers))


def max_array_size() -> int:
    """What this cluster allows; its default where scontrol is not there or does not say."""
    if shutil.which("scontrol") is None:
        return SIZE
    told = _run(["scontrol", "show", "config"])
    found = MAX_ARRAY.search(told)
    return max(1, int(found[1])) if found else SIZE


def can_submit() -> bool:
    """Whether ``sbatch`` is there."""
    return shutil.which("sbatch") is not None


def submit(jobs: Sequence[Job]) -> list[str]:
    """Submit the arrays; returns their job numbers.

    Raises:
        RemoteFailure: sbatch refuses one; those before it stay submitted.
    """
    found = []
    for job in jobs:
        told = _run(["sbatch", str(job.script)])
        number = SUBMITTED.search(told)
        if number is None:
            raise RemoteFailure("sbatch did not say which job it made.", hint=f"See {job.script}.")
        found.append(number[1])
    return found


def _run(words: Sequence[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RemoteFailure(f"{words[0]} did not answer.", hint="Submit by hand.") from error
    if done.returncode:
        said = " ".join(done.stderr.split())[:200]
        raise RemoteFailure(f"{words[0]} refused: {said or 'no reason given'}.",
                            hint="See --sbatch, or submit the scripts by hand.")  # fmt: skip
    return done.stdout
