# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate realism``: finished edits and real radiographs in, how plainly they differ."""

import argparse
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands.say import say, show
from monai_cxr_cf.weights import models_folder

EXAMPLES = """\
examples:
  cxr-cf evaluate realism --edits edits --data cxr
  cxr-cf evaluate realism --edits edits --data cxr --json

.5: edited crops cannot be told from real ones with the same finding; 1: plainly
"""


def add(kinds: Any, common: argparse.ArgumentParser) -> None:
    """Declare the evaluation."""
    parser = kinds.add_parser(
        "realism",
        parents=[common],
        epilog=EXAMPLES,
        help="can edits be told from real radiographs?",
        description="A two-sample test on crops of the finding's place, from features that no "
        "generator learnt by.",
    )
    parser.add_argument("--edits", type=Path, required=True, metavar="DIR",
                        help="output folder of `cxr-cf evaluate edits`")  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, metavar="DIR",
                        help="folder with index.csv: real radiographs with labels")  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    from monai_cxr_cf.anatomy.segment import load_segmenter
    from monai_cxr_cf.evaluation.edits.realism import realism, words
    from monai_cxr_cf.evaluation.generator.frechet import features, load_features

    segmenter, network = load_segmenter("hybridgnet", models_folder()), load_features()
    told = realism(
        args.edits,
        args.data,
        lambda image: segmenter(image).organs,
        lambda pictures: features(network, pictures),
    )
    if args.json:
        show(told)
    else:
        say(words(told))
    return 0
