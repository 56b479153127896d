# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf batch run --engine``: this machine, an array of SLURM jobs, or actors on Ray."""

import argparse
import shlex
from typing import Any

from monai_cxr_cf.batch.engines.on_ray import OnRay
from monai_cxr_cf.batch.engines.slurm import can_submit, submit, write_jobs
from monai_cxr_cf.batch.run import Engine, on_this_machine
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.commands.batch.flags import how_from, positive
from monai_cxr_cf.commands.say import say, show
from monai_cxr_cf.errors import BadRequest

ENGINES = ("local", "ray", "slurm")
VALUES = ("workers", "timeout", "memory_gb", "max_attempts", "stop_after_failures", "cache",
          "cache_mb")  # fmt: skip


def add_engine_flags(parser: Any) -> None:
    """Where rows are done."""
    group = parser.add_argument_group("where; may differ at every start")
    group.add_argument("--engine", choices=ENGINES, default="local",
                       help="this machine, actors on Ray, or SLURM jobs [local]")  # fmt: skip
    group.add_argument("--address", default="", metavar="ADDRESS",
                       help="of ray: one that runs, or auto [one is started here]")  # fmt: skip
    group.add_argument("--gpus-per-worker", type=positive, metavar="SHARE",
                       help="of ray: .5 puts two on one GPU [1 where there is one]")  # fmt: skip
    group.add_argument("--sbatch", default="", metavar="OPTIONS",
                       help='of slurm, e.g. "--gres=gpu:1 --time=4:00:00"')  # fmt: skip


def check_engine(args: argparse.Namespace) -> None:
    """BadRequest for flags of an engine that is not asked for."""
    of = {"address": "ray", "gpus_per_worker": "ray", "sbatch": "slurm"}
    for name, engine in of.items():
        if getattr(args, name) and args.engine != engine:
            flag = name.replace("_", "-")
            raise BadRequest(
                f"--{flag} is of --engine {engine}.", hint="Leave it away, or name it."
            )
    if args.sample and args.engine != "local":
        raise BadRequest("--sample runs on this machine.", hint="Leave --engine away.")


def engine_from(folder: RunFolder, args: argparse.Namespace) -> Engine:
    """The engine that this process drives; a shard of a cluster is worked on here."""
    if getattr(args, "engine", "") != "ray":
        return on_this_machine
    return OnRay(args.address, args.gpus_per_worker, str(folder.read().fingerprint["device"]))


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
