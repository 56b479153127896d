# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf batch run --engine slurm``: the shards as an array of a cluster."""

import argparse
import shlex
from typing import Any

from monai_cxr_cf.batch.engines.slurm import can_submit, submit, write_jobs
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.commands.batch.flags import how_from
from monai_cxr_cf.commands.say import say, show
from monai_cxr_cf.errors import BadRequest

ENGINES = ("local", "slurm")
VALUES = ("workers", "timeout", "memory_gb", "max_attempts", "stop_after_failures", "cache",
          "cache_mb")  # fmt: skip


def add_engine_flags(parser: Any) -> None:
    """Where rows are done."""
    parser.add_argument("--engine", choices=ENGINES, default="local",
                        help="this machine, or an array of SLURM jobs [local]")  # fmt: skip
    parser.add_argument("--sbatch", default="", metavar="OPTIONS",
                        help='of slurm, e.g. "--gres=gpu:1 --time=4:00:00"')  # fmt: skip


def run_on_slurm(folder: RunFolder, args: argparse.Namespace) -> int:
    """Write the arrays, submit them if that can be done here, and say what comes next."""
    try:
        options = shlex.split(args.sbatch)
    except ValueError:
        raise BadRequest("--sbatch has an open quotation mark.", hint="Close it.") from None
    threads = int(folder.read().fingerprint["threads"])
    jobs = write_jobs(folder, how_from(args, threads), _flags(args), options=options)
    numbers = submit(jobs) if can_submit() else []
    shards = sum(job.shards for job in jobs)
    if args.json:
        scripts = [str(job.script) for job in jobs]
        show({"shards": shards, "scripts": scripts, "submitted": numbers})
        return 0
    if not jobs:
        say("no row is left")
    for job, number in zip(jobs, numbers, strict=False):
        say(f"submitted as job {number}: {job.script}, {job.shards:,} shards")
    for job in jobs[len(numbers) :]:
        say(f"sbatch {shlex.quote(str(job.script))}     {job.shards:,} shards; "
            "sbatch is not on this machine")  # fmt: skip
    if jobs:
        say(f"watch: cxr-cf batch status {args.out}; the same command submits what is left then")
    return 0


def _flags(args: argparse.Namespace) -> list[str]:
    """Those of ``batch shard`` that say the same."""
    found = ["--progress", "none"]
    for name in VALUES:
        value = getattr(args, name)
        if value not in (None, ""):
            found += [f"--{name.replace('_', '-')}", str(value)]
    return [*found, *(["--retry-failed"] if args.retry_failed else [])]
