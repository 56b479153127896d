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
  cxr-cf evaluate classifier --judge j2 --data cxr --boxes --json

the AUCs are also written into the judge's config.json and MODEL_CARD.md
"""


def add(kinds: Any, common: argparse.ArgumentParser) -> None:
    """Declare the evaluation."""
    parser = kinds.add_parser(
        "classifier",
        parents=[common],
        epilog=EXAMPLES,
        help="how well a judge tells the findings",
        description="AUC per finding and view on the test split, with intervals over patients, "
        "and whether scores follow the view, the size of the file or the repository.",
    )
    add_data_flags(parser)
    parser.add_argument("--split", default="test", metavar="NAME", help="of index.csv (test)")
    parser.add_argument("--judge", required=True, metavar="NAME|DIR", help="j1, j2 or a folder")
    parser.add_argument("--boxes", action="store_true",
                        help="also: does its evidence lie in the boxes of boxes.csv?")  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate and write the figures into the judge's folder."""
    from monai_cxr_cf.evaluation.classifier.confounds import words
    from monai_cxr_cf.evaluation.classifier.run import evaluate_classifier
    from monai_cxr_cf.judges.classifier import SHIPPED

    named = args.judge in SHIPPED
    folder = models_folder() / "judges" / args.judge if named else Path(args.judge)
    with tempfile.TemporaryDirectory() as place:
        data = data_from(args, Path(place), args.split)
        result = evaluate_classifier(folder, data, split=args.split, boxes=args.boxes)
    if args.json:
        show(result)
        return 0
    say(result["table"])
    for sentence in result["not_measured"].values():
        say(sentence)
    for column, found in result["experts"].items():
        span = f"{found['auc']:.2f} ({found['low']:.2f} to {found['high']:.2f})"
        counts = f"{found['positives']} / {found['negatives']}"
        say(f"{found['finding']} against {column}: AUC {span}, {counts}")
    for finding, found in result["places"].items():
        span = f"{found['hit']:.0%} ({found['low']:.0%} to {found['high']:.0%})"
        chance = f"of {found['images']}, by chance {found['chance']:.0%}"
        side = f", on its side in {found['side']:.0%} of {found['sided']}" if found["sided"] else ""
        say(f"{finding}: evidence in the box in {span} {chance}{side}")
    say(words(result["confounds"]))
    return 0
