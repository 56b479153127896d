# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf batch export``: a batch in, training data with a control arm out."""

import argparse
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.export.export import KINDS, SHEET, export
from monai_cxr_cf.batch.export.labels import SHARES, shares_from
from monai_cxr_cf.batch.export.samples import ARMS, Wanted
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.commands.say import count, say, show

EXAMPLES = """\
examples:
  cxr-cf batch export results --to folder --out data --side 512
  cxr-cf batch export results --to webdataset --out shards --splits train=0.9,test=0.1
  cxr-cf batch export results --to parquet --out tables       needs the extra batch

Three arms: real, duplicates (the control: as many copies of real images as there are
counterfactuals) and counterfactuals. Labels are the source's (column labels of the manifest,
"Edema|Cardiomegaly") with what the edit added or removed. augmentation.md, the data sheet, says
what was done, and counts.
exit code: 0 written, 2 nothing to export or bad input
"""


def add(parts: Any, common: argparse.ArgumentParser) -> None:
    """Declare the part."""
    parser = parts.add_parser(
        "export",
        parents=[common],
        epilog=EXAMPLES,
        help="training data with a control arm",
        description="Write images, labels and masks for a training, split by patient.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="of the batch")
    parser.add_argument("--to", choices=KINDS, required=True, help="kind of data")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR2", help="new or empty")
    parser.add_argument("--splits", default="", metavar="NAME=SHARE,...",
                        help="without a group [train=0.8,judge=0.1,test=0.1]")  # fmt: skip
    parser.add_argument("--any-verdict", action="store_true",
                        help="also edits that did not pass")  # fmt: skip
    parser.add_argument("--side", type=count, metavar="N",
                        help="longer side in pixels at most [as the source]")  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write, and count."""
    shares = shares_from(args.splits) if args.splits else SHARES
    wanted = Wanted(shares, any_verdict=args.any_verdict, side=args.side)
    told = export(RunFolder(args.folder), args.out, args.to, wanted).as_dict()
    if args.json:
        show({"out": str(args.out), **told})
        return 0
    for arm in ARMS:
        say(f"{arm:<16}{told[arm]:>8,}")
    for why, rows in told["left_out"].items():
        say(f"left out: {rows:,} {why}")
    say(f"the data sheet: {args.out / SHEET}")
    return 0
