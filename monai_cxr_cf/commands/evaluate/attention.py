# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate attention``: a backbone and radiographs in, which tokens carry words out."""

import argparse
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands.evaluate.layouts import add_data_flags, data_from
from monai_cxr_cf.commands.say import (
    add_place_flags,
    announcer,
    count,
    place_from,
    say,
    show,
)
from monai_cxr_cf.devices import check_place
from monai_cxr_cf.runs.networks import Networks

EXAMPLES = """\
a prompt becomes 77 tokens: a start token, the words, an end token, padding. Which of them does the
network act on? Two figures for each group (the finding's words; side, zone and severity; organ
names; other words; end; padding):
  attention   how much of the cross-attention goes there
  effect      how much of what the words do to the predicted noise goes where the group gets the
              keys and values of an empty prompt, and how much stays where only this group keeps its
              own; by attention level and by timestep
laws that act on words (Eq. 6, Eq. 9) act only where the words carry something

examples:
  cxr-cf evaluate attention --data cxr --out census                    the shipped backbone
  cxr-cf evaluate attention --data cxr --out mine --backbone my/folder
  cxr-cf evaluate attention --data cxr --out try --findings effusion --images 1 --timesteps 499
  cxr-cf evaluate attention --data cxr --out own --prompts "large left pneumothorax"
  cxr-cf evaluate attention --data DIR --layout mimic-cxr-jpg --out census
  cp census/census.json my/folder/              keep the answer beside the weights

what lands in --out: table.md, table.json, census.json, census.png (groups against levels and
timesteps), attention.png (the maps over a radiograph), rows.jsonl. No law of the method acts.
Stop it at any time: the same command goes on where it was.
"""
TIMESTEPS = (699, 499, 299)


def add(kinds: Any, common: argparse.ArgumentParser) -> None:
    """Declare the evaluation."""
    parser = kinds.add_parser(
        "attention",
        parents=[common],
        epilog=EXAMPLES,
        help="which tokens of a prompt carry a finding",
        description="A census of tokens: attention and effect of every group, on any backbone.",
    )
    add_data_flags(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new, or to go on")
    parser.add_argument("--findings", nargs="+", default=[], metavar="NAME",
                        help="two prompts each (four findings)")  # fmt: skip
    parser.add_argument("--prompts", nargs="+", default=[], metavar="TEXT",
                        help="your own instead, each in quotation marks")  # fmt: skip
    parser.add_argument("--images", type=count, default=4, metavar="N",
                        help="radiographs, one a patient (4)")  # fmt: skip
    parser.add_argument("--timesteps", nargs="+", type=int, default=list(TIMESTEPS), metavar="T",
                        help="of the noise schedule, 0 is clean (699 499 299)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise (0)")
    parser.add_argument("--split", default="test", metavar="NAME", help="of index.csv (test)")
    parser.add_argument("--backbone", default="cxr-mini", metavar="NAME|DIR", help="(cxr-mini)")
    parser.add_argument("--models", type=Path, metavar="DIR", help="other weights than the shipped")
    parser.add_argument("--progress", choices=["bar", "ndjson", "none"], default="bar")
    add_place_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and say what was found."""
    from monai_cxr_cf.evaluation.attention.asked import asked_for
    from monai_cxr_cf.evaluation.attention.bench import Plan
    from monai_cxr_cf.evaluation.attention.run import evaluate_attention
    from monai_cxr_cf.evaluation.attention.table import table_text

    check_place(args.device, args.precision)
    plan = Plan(
        asked=asked_for(args.findings, args.prompts),
        backbone=args.backbone,
        split=args.split,
        images=args.images,
        timesteps=tuple(sorted(set(args.timesteps), reverse=True)),
        seed=args.seed,
    )
    data = data_from(args, args.out, args.split)
    result = evaluate_attention(
        data,
        args.out,
        plan,
        networks=Networks(args.models, **place_from(args)),
        progress=args.talker,
        announce=announcer(args),
    )
    args.talker.close()
    if args.json:
        show(result)
    else:
        say(table_text(result))
        say(f"written: {args.out / 'table.md'}, {args.out / 'census.png'}, "
            f"{args.out / 'attention.png'}")  # fmt: skip
    return 0
