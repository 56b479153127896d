# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate classifier``: a judge and held-out radiographs in, AUC per finding out."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands.evaluate.layouts import add_data_flags, data_from
from monai_cxr_cf.commands.say import say, show
from monai_cxr_cf.weights import models_folder

EXAMPLES = """\
examples:
  cxr-cf evaluate classifier --judge run1/judge --data cxr
  cxr-cf evaluate classifier --judge run1/judge --data cxr --no-curve --json

the figures are also written into the judge's config.json and MODEL_CARD.md
"""


def add(kinds: Any, common: argparse.ArgumentParser) -> None:
    """Declare the evaluation."""
    parser = kinds.add_parser(
        "classifier",
        parents=[common],
        epilog=EXAMPLES,
        help="how well a judge tells the findings",
        description="AUC per finding on the test split, with intervals over patients.",
    )
    add_data_flags(parser)
    parser.add_argument("--split", default="test", metavar="NAME", help="of index.csv (test)")
    parser.add_argument("--judge", required=True, metavar="NAME|DIR", help="j1, j2 or a folder")
    parser.add_argument("--no-curve", action="store_true", help="leave out the learning curve")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate and write the figures into the judge's folder."""
    from monai_cxr_cf.evaluation.classifiers import evaluate_classifier
    from monai_cxr_cf.judges.classifier import SHIPPED

    named = args.judge in SHIPPED
    folder = models_folder() / "judges" / args.judge if named else Path(args.judge)
    with tempfile.TemporaryDirectory() as place:
        data = data_from(args, Path(place), args.split)
        result = evaluate_classifier(folder, data, split=args.split, curve=not args.no_curve)
    if args.json:
        show(result)
    else:
        say(result["table"])
    return 0
