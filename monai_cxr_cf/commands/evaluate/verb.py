# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate``: shipped weights and held-out images in, a table of figures out.

Each evaluation is a module beside this one.
"""

import argparse
from typing import Any

from monai_cxr_cf.commands.evaluate import (
    ablation,
    attention,
    augmentation,
    calibrate,
    classifier,
    edits,
    frontier,
    methods,
    realism,
    samples,
    segmentation,
)

EXAMPLES = """\
examples:
  cxr-cf evaluate segmentation --data cxr          are lungs and heart drawn right?
  cxr-cf evaluate samples --data cxr --out figures what does the generator draw by itself?
  cxr-cf evaluate edits --data cxr --out edits     how many edits are valid?
  cxr-cf evaluate ablation --data cxr --out abl    what is each law of the method worth?
  cxr-cf evaluate frontier --data cxr --out front  which law does better than guidance?
  cxr-cf evaluate attention --data cxr --out cen   which words does the network act on?
  cxr-cf evaluate methods --data cxr --out meth    how do published editors do beside ours?
  cxr-cf evaluate classifier --judge j1 --data cxr how well does a judge tell the findings?
  cxr-cf evaluate calibrate --data cxr --out cal   which settings suit this backbone?
  cxr-cf evaluate realism --edits edits --data cxr can edits be told from real radiographs?
  cxr-cf evaluate augmentation --arms arms --out a do counterfactuals help a classifier?
  cxr-cf evaluate segmentation --help              every option of one evaluation
"""
KINDS = (
    edits,
    segmentation,
    samples,
    ablation,
    frontier,
    methods,
    attention,
    classifier,
    calibrate,
    realism,
    augmentation,
)


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Declare the verb and what it can evaluate."""
    parser = verbs.add_parser(
        "evaluate",
        epilog=EXAMPLES,
        help="measure the shipped networks on your images",
        description="Measure a network on radiographs that its training never saw.",
    )
    kinds = parser.add_subparsers(title="what", metavar="WHAT", required=True)
    for kind in KINDS:
        kind.add(kinds, common)
