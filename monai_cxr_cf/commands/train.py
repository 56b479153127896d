# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf train``: a recipe and a data folder in, weights out; every training can be resumed."""

import argparse
import logging
from importlib import resources
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands.say import say, show

EXAMPLES = """\
examples:
  cxr-cf train segmentation --data cxr --out run1
  cxr-cf train segmentation --data cxr --out run2 --recipe segmentation_unet
  cxr-cf train autoencoder --data cxr --out run3 --max-minutes 60
  cxr-cf train autoencoder --data cxr --out run3 --resume        go on from run3/state.pt
  cxr-cf train diffusion --data cxr --out run3           with run3/vae and run3/pool.npz in place
  cxr-cf train classifier --data cxr --out run4          the judge J1; --recipe classifier_j2: J2

the data folder holds index.csv and images/ (docs/usage.md); needs: pip install monai-cxr-cf[train]
"""


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "train",
        parents=[common],
        epilog=EXAMPLES,
        help="train a network of the product on your images",
        description="Train one network; Ctrl-C keeps the last checkpoint.",
    )
    parser.add_argument("what", choices=sorted(STARTERS), help="which network")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="with index.csv")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="weights and logs")
    parser.add_argument(
        "--recipe", "--config", metavar="NAME|FILE", help="shipped name, or a YAML file"
    )
    parser.add_argument("--resume", action="store_true", help="continue from state.pt in --out")
    parser.add_argument("--max-minutes", type=float, metavar="N", help="end cleanly after")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; progress goes to the log, the place of the weights to standard output."""
    logging.getLogger("monai_cxr_cf").setLevel(logging.INFO)
    weights = STARTERS[args.what](
        args, recipe_file(args.recipe or DEFAULTS.get(args.what, args.what))
    )
    if args.json:
        show({"weights": str(weights)})
    else:
        say(f"weights: {weights}")
    return 0


def recipe_file(name: str) -> Path:
    """A recipe file of the user's, or the shipped one of that name."""
    if Path(name).suffix in (".yaml", ".yml"):
        return Path(name)
    return Path(str(resources.files("monai_cxr_cf") / "training" / "recipes" / f"{name}.yaml"))


def _autoencoder(args: argparse.Namespace, recipe: Path) -> Path:
    from monai_cxr_cf.training.autoencoder import train_autoencoder

    return train_autoencoder(
        recipe, args.data, out=args.out, resume=args.resume, max_minutes=args.max_minutes
    )


def _segmentation(args: argparse.Namespace, recipe: Path) -> Path:
    from monai_cxr_cf.training.loop import read_recipe
    from monai_cxr_cf.training.segmentation import SegmentationRecipe, train_segmentation

    return train_segmentation(
        read_recipe(recipe, SegmentationRecipe),
        args.data,
        out=args.out,
        resume=args.resume,
        max_minutes=args.max_minutes,
    )


def _diffusion(args: argparse.Namespace, recipe: Path) -> Path:
    from monai_cxr_cf.training.diffusion import train_diffusion

    return train_diffusion(
        recipe, args.data, out=args.out, resume=args.resume, max_minutes=args.max_minutes
    )


def _classifier(args: argparse.Namespace, recipe: Path) -> Path:
    from monai_cxr_cf.training.classifier import train_classifier

    return train_classifier(
        recipe, args.data, out=args.out, resume=args.resume, max_minutes=args.max_minutes
    )


DEFAULTS = {"classifier": "classifier_j1"}  # networks whose first recipe has another name
STARTERS = {
    "autoencoder": _autoencoder,
    "classifier": _classifier,
    "diffusion": _diffusion,
    "segmentation": _segmentation,
}
