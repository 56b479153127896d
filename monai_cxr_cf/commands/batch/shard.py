# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf batch shard``: one shard of a batch that was laid out; what a job of a cluster calls."""

import argparse
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.commands.batch.flags import add_how_flags
from monai_cxr_cf.commands.batch.run import go

EXAMPLES = """\
examples:
  cxr-cf batch run manifest.csv --out results --prepare     once: prints how many shards there are
  cxr-cf batch shard results --number 0
  seq 0 18 | xargs -P 4 -I N cxr-cf batch shard results --number N
  cxr-cf batch shard results --number $SLURM_ARRAY_TASK_ID --progress none

Settings are those of the preparation. SIGTERM drops the row in hand and gives the shard back: a
job that is preempted and started again goes on. Shards may be run in any order, on any machine that
sees the folder.
exit code: 0 its rows are done or refused, 1 some failed, 2 bad input, 3 stopped before the end
"""


def number(text: str) -> int:
    """A whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 0")
    return int(text)


def add(parts: Any, common: argparse.ArgumentParser) -> None:
    """Declare the part."""
    parser = parts.add_parser(
        "shard",
        parents=[common],
        epilog=EXAMPLES,
        help="do one shard: for clusters",
        description="Do the rows of one shard of a batch that was laid out.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="of the batch")
    parser.add_argument("--number", type=number, required=True, metavar="K", help="from 0")
    add_how_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do it."""
    args.out = args.folder
    return go(RunFolder(args.folder), args, [args.number])
