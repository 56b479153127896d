# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate ablation``: radiographs in, each law of the method switched off once out."""

import argparse
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands.evaluate.layouts import add_data_flags, data_from
from monai_cxr_cf.commands.say import announcer, count, say, show
from monai_cxr_cf.presets import PRESETS

EXAMPLES = """\
what is switched off, one law at a time, on the same radiographs and from the same noise:
  w/o Eq. 5   organ gating of self-attention (with the paste off, for it holds the same structure)
  w/o Eq. 6   the boost of the finding's words in its region
  w/o Eq. 9   the latent correction

examples:
  cxr-cf evaluate ablation --data cxr --out ablation                  both presets, 100 edits each
  cxr-cf evaluate ablation --data cxr --out try --presets default --edits 8
  cxr-cf evaluate ablation --data cxr --out ablation --clip models/clip-vit-base

what lands in --out: table.md, table.json, differences.png, rows.jsonl. It says first how many
minutes it will take; stop it at any time, the same command goes on where it was.
"""


def add(kinds: Any, common: argparse.ArgumentParser) -> None:
    """Declare the evaluation."""
    parser = kinds.add_parser(
        "ablation",
        parents=[common],
        epilog=EXAMPLES,
        help="what each law of the method is worth",
        description="The rows of the paper's Table 2 on your radiographs: every law off once.",
    )
    add_data_flags(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new, or to go on")
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=["paper", "default"],
                        help="(paper default)")  # fmt: skip
    parser.add_argument("--edits", type=count, default=100, metavar="N", help="per row (100)")
    parser.add_argument("--seeds", type=count, default=2, metavar="N", help="per radiograph (2)")
    parser.add_argument("--split", default="test", metavar="NAME", help="of index.csv (test)")
    parser.add_argument("--judge", default="j1", metavar="NAME|DIR|none",
                        help="classifier of the column Conf (j1)")  # fmt: skip
    parser.add_argument("--clip", type=Path, metavar="DIR",
                        help="local CLIP model for CLIP-I, instead of the stand-in")  # fmt: skip
    parser.add_argument("--backbone", default="cxr-mini", metavar="NAME|DIR", help="(cxr-mini)")
    parser.add_argument("--models", type=Path, metavar="DIR", help="other weights than the shipped")
    parser.add_argument("--progress", choices=["bar", "ndjson", "none"], default="bar")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate; 0 also where a sign differs from the paper's: that is a finding, not a failure."""
    from monai_cxr_cf.evaluation.ablation.run import Plan, evaluate_ablation, table_of

    plan = Plan(
        presets=tuple(dict.fromkeys(args.presets)),
        edits=args.edits,
        seeds=args.seeds,
        split=args.split,
        judge=None if args.judge == "none" else args.judge,
        clip=args.clip,
        backbone=args.backbone,
        models=args.models,
    )

    data = data_from(args, args.out, args.split)
    result = evaluate_ablation(data, args.out, plan, progress=args.talker, announce=announcer(args))
    args.talker.close()
    if args.json:
        show(result)
    else:
        say(table_of(result))
        say(f"written: {args.out / 'table.md'}, {args.out / 'differences.png'}")
    return 0
