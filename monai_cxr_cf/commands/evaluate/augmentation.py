# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate augmentation``: an exported batch in, what it is worth to a classifier out."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands.evaluate.edits import teller
from monai_cxr_cf.commands.evaluate.layouts import add_data_flags, data_from
from monai_cxr_cf.commands.say import announcer, count, say, show
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.findings import get

EXAMPLES = """\
three classifiers a seed, alike but for what they learn from: real radiographs, the same and
duplicates, the same and as many counterfactuals. A gain over real radiographs alone says little;
the one over duplicates counts.

examples:
  cxr-cf batch plan cxr --layout folder --splits train --prompt "pleural effusion" --out m.csv
  cxr-cf batch run m.csv --out edits && cxr-cf batch export edits --to folder --out arms
  cxr-cf evaluate augmentation --arms arms --data cxr --out aug
  cxr-cf evaluate augmentation --arms arms --data cxr --out aug --steps 2000 --seeds 5 --json

what lands in --out: augmentation.md, .json, .png; rows.jsonl: the scores of each classifier. Stop
it at any time: the same command goes on where it was, within a training, too.
"""


def add(kinds: Any, common: argparse.ArgumentParser) -> None:
    """Declare the evaluation."""
    parser = kinds.add_parser(
        "augmentation",
        parents=[common],
        epilog=EXAMPLES,
        help="do counterfactuals help a classifier?",
        description="Train a classifier with and without counterfactuals and with as many "
        "duplicates; AUC on held-out patients, with intervals over patients.",
    )
    parser.add_argument("--arms", required=True, type=Path, metavar="DIR",
                        help="what cxr-cf batch export --to folder wrote")  # fmt: skip
    add_data_flags(parser, required=False)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new, or to go on")
    parser.add_argument("--findings", nargs="+", default=[], metavar="NAME",
                        help='("pleural effusion" cardiomegaly)')  # fmt: skip
    parser.add_argument("--seeds", type=count, default=3, metavar="N", help="trainings an arm (3)")
    parser.add_argument("--steps", type=count, metavar="N", help="of a training (400)")
    parser.add_argument("--recipe", type=Path, metavar="FILE",
                        help="of the classifier, as cxr-cf train classifier takes one")  # fmt: skip
    parser.add_argument("--split", default="test", metavar="NAME", help="held out (test)")
    parser.add_argument("--sources", nargs="+", default=[], metavar="NAME",
                        help="of the column source (all)")  # fmt: skip
    parser.add_argument("--progress", choices=["bar", "ndjson", "none"], default="bar")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate; 0 whatever comes out."""
    names = tuple(dict.fromkeys(get(name).name for name in args.findings))
    if args.split == "train":
        raise BadRequest("--split train is learnt from; expected another.", hint="Such as test.")
    if args.out.exists() and not args.out.is_dir():
        raise BadRequest("--out names a file; expected a folder.", hint="Name a new folder.")
    from monai_cxr_cf.evaluation.augmentation.run import RECIPE, Plan, evaluate_augmentation
    from monai_cxr_cf.evaluation.augmentation.table import markdown
    from monai_cxr_cf.training.classifier.labels import NIH
    from monai_cxr_cf.training.classifier.recipe import ClassifierRecipe
    from monai_cxr_cf.training.loop import read_recipe

    if unknown := [name for name in names if name not in NIH]:
        raise BadRequest(f"No classifier learns '{unknown[0]}'.", hint=f"Such as {', '.join(NIH)}.")
    recipe = RECIPE if args.recipe is None else read_recipe(args.recipe, ClassifierRecipe)
    recipe = replace(recipe, findings=names or RECIPE.findings, steps=args.steps or recipe.steps)
    plan = Plan(recipe, args.seeds, args.split, tuple(args.sources))
    real = args.arms / "real"
    data = real if args.data is None else data_from(args, args.out, "train", args.split)
    tell = teller(args, "steps")
    result = evaluate_augmentation(
        data, args.arms, args.out, plan, progress=tell, announce=announcer(args)
    )
    args.talker.close()
    if args.json:
        show(result)
    else:
        say(markdown(result))
        say(f"written: {args.out / 'augmentation.md'}, {args.out / 'augmentation.png'}")
    return 0
