# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate segmentation``: held-out radiographs in, Dice and outline errors out."""

import argparse
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands.evaluate.layouts import add_data_flags, data_from
from monai_cxr_cf.commands.say import say, show
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.weights import models_folder

EXAMPLES = """\
examples:
  cxr-cf evaluate segmentation --data cxr
  cxr-cf evaluate segmentation --data cxr --segmenter unet --out figures.json --json

exit code: 0 if every bar is reached, 1 if one is missed
"""


def add(kinds: Any, common: argparse.ArgumentParser) -> None:
    """Declare the evaluation."""
    parser = kinds.add_parser(
        "segmentation",
        parents=[common],
        epilog=EXAMPLES,
        help="how well the organs are drawn",
        description="Compare the segmenter with drawn masks that its training never saw.",
    )
    add_data_flags(parser)
    parser.add_argument("--models", type=Path, metavar="DIR", help="other weights than the shipped")
    parser.add_argument("--segmenter", choices=["hybridgnet", "unet"], default="hybridgnet")
    parser.add_argument("--every", action="store_true",
                        help="take all: the training saw nothing of this folder")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every figure as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate; 1 if a bar is missed."""
    from monai_cxr_cf.evaluation.segmentation import evaluate_segmentation, table

    if args.layout != "folder":
        raise BadRequest(
            f"The layout {args.layout} holds no drawn organs to compare with.",
            hint="Make a folder with index.csv and organ_masks/ID.png: docs/evaluation.md.",
        )
    data, models = data_from(args, Path()), args.models or models_folder()
    result = evaluate_segmentation(
        data, models, out=args.out, kind=args.segmenter, every=args.every
    )
    if args.json:
        show(result)
    else:
        say(table(result))
    return 0 if all(bar["reached"] for bar in result["bars"]) else 1
