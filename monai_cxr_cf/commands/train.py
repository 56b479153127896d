# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf train``: a recipe and a data folder in, weights out; every training can be resumed."""

import argparse
import os
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands.read import add_layout_flags
from monai_cxr_cf.commands.say import say, show
from monai_cxr_cf.commands.watch import watched_training
from monai_cxr_cf.data.cleaner import cleaner_of
from monai_cxr_cf.errors import BadRequest

EXAMPLES = """\
examples: train all that is shipped, from a folder with index.csv and images/ (docs/training.md):
  cxr-cf train segmentation --data cxr --out seg            the organs; --recipe segmentation_unet
  cxr-cf train autoencoder --data cxr --out mini            makes mini/vae
  cxr-cf train diffusion --data cxr --out mini              makes mini/pipeline: a new cxr-mini
  cxr-cf train classifier --data cxr --out j1               the judge J1; --recipe classifier_j2: J2

  cxr-cf train instruct --data cxr --out orders             rivals of 8 and 9 channels over
  cxr-cf train inpaint --data cxr --out holes               cxr-mini's UNet, or that of --start

fine-tune a Stable Diffusion v1 model on reports, the paper's setting:
  cxr-cf train diffusion --start SD15 --data DIR --layout mimic-cxr-jpg --out tuned
  accelerate launch --num_processes 4 -m monai_cxr_cf.cli train diffusion --start SD15 ...

captions by a language model on this machine (docs/training.md), as in the paper:
  cxr-cf train diffusion --start SD15 --data DIR --layout mimic-cxr-jpg --out tuned \
    --cleaner llm --llm-url http://127.0.0.1:8000/v1 --llm-model NAME

stop and go on:
  cxr-cf train diffusion --data cxr --out mini --max-minutes 60
  cxr-cf train diffusion --data cxr --out mini --resume     bit-exactly from mini/state.pt

look at OUT/curves.png, samples.png and edits.png while it runs, or: tensorboard --logdir OUT
texture for a decoder that is trained, on fixed latents:
  cxr-cf train autoencoder --data cxr --out mini --recipe texture --lpips lpips

needs, in the checkout: pip install -c constraints.txt '.[train]'
"""
WIDENED = ("inpaint", "instruct")
SEVERAL = ("autoencoder", "diffusion")  # trainings that several processes can share


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "train",
        parents=[common],
        epilog=EXAMPLES,
        help="train a network of the product on your images",
        description="Train one network. A run that was stopped goes on with --resume.",
    )
    parser.add_argument("what", choices=sorted(STARTERS), help="which network")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="the radiographs")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="weights and logs")
    parser.add_argument(
        "--recipe", "--config", metavar="NAME|FILE", help="shipped name, or a YAML file"
    )
    parser.add_argument("--resume", action="store_true", help="continue from state.pt in --out")
    parser.add_argument("--max-minutes", type=float, metavar="N", help="end cleanly after")
    parser.add_argument("--progress", choices=["bar", "ndjson", "none"], default="bar",
                        help="bar (log lines without a terminal), JSON lines, or none")  # fmt: skip
    parser.add_argument("--lpips", type=Path, metavar="DIR",
                        help="LPIPS weights, for the autoencoder's recipe texture")  # fmt: skip
    tune = parser.add_argument_group("fine-tuning (diffusion only; --start: instruct, inpaint)")
    tune.add_argument(
        "--start", metavar="MODEL", help="diffusers folder, .safetensors file, or cached hub id"
    )
    add_layout_flags(tune)
    _add_cleaner(tune)
    parser.set_defaults(run=run)


def _add_cleaner(tune: Any) -> None:
    """What makes captions of reports."""
    tune.add_argument(
        "--cleaner",
        choices=("rules", "llm"),
        default="rules",
        help="captions from reports by rules, or by a language model that the rules check",
    )
    tune.add_argument(
        "--llm-model", metavar="NAME|DIR", help="its name on the server, or a transformers folder"
    )
    tune.add_argument(
        "--llm-url",
        metavar="URL",
        help="OpenAI-compatible server, such as http://127.0.0.1:8000/v1; key: CXR_CF_LLM_KEY",
    )
    tune.add_argument(
        "--llm-remote", action="store_true", help="reports may be sent to another host"
    )


def run(args: argparse.Namespace) -> int:
    """Train; progress goes to the talker, the place of the weights to standard output."""
    tuning = args.start or args.layout != "folder" or args.reports
    if args.what in WIDENED:
        tuning = args.layout != "folder" or args.reports
    if tuning and args.what != "diffusion":
        start = "" if args.what in WIDENED else "--start, "
        raise BadRequest(f"{start}--layout and --reports are not for {args.what}.", code="usage")
    if args.lpips and args.what != "autoencoder":
        raise BadRequest(f"--lpips is not for {args.what}.", code="usage")
    _check_words(args)
    _check_cleaner(args)
    if args.what not in SEVERAL and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise BadRequest(f"The {args.what} trains in one process.", hint="Leave the launcher out.")
    with watched_training(args.what, args.talker):
        weights = STARTERS[args.what](args, recipe_of(args))
    args.talker.close()
    args.talker.result({"weights": str(weights)})
    if args.json:
        show({"weights": str(weights)})
    elif args.progress != "ndjson":
        say(f"weights: {weights}")
    return 0


def _check_words(args: argparse.Namespace) -> None:
    """BadRequest for flags about reports that would change nothing."""
    if not fine_tuning(args) and (args.reports or args.uncertain != "drop"):
        raise BadRequest(
            "--reports and --uncertain are for fine-tuning: diffusion with --start or --layout.",
            code="usage",
        )
    if args.cleaner == "llm" and args.uncertain != "drop":
        raise BadRequest(
            "--uncertain present goes with --cleaner rules: the language model leaves doubts out.",
            code="usage",
        )


def _check_cleaner(args: argparse.Namespace) -> None:
    """BadRequest for a language model that would not be asked, or is not named."""
    asked = args.cleaner == "llm"
    if asked and not fine_tuning(args):
        raise BadRequest(
            "--cleaner llm is for fine-tuning on reports: diffusion with --start or --layout.",
            code="usage",
        )
    if asked and not args.llm_model:
        raise BadRequest("--cleaner llm needs --llm-model.", code="usage")
    if not asked and (args.llm_model or args.llm_url or args.llm_remote):
        raise BadRequest("--llm-model, --llm-url and --llm-remote go with --cleaner llm.",
                         code="usage")  # fmt: skip


def recipe_of(args: argparse.Namespace) -> Path:
    """The recipe asked for, else the one of the network."""
    usual = "finetune" if fine_tuning(args) else DEFAULTS.get(args.what, args.what)
    return recipe_file(args.recipe or usual)


def fine_tuning(args: argparse.Namespace) -> bool:
    """Whether a trained backbone is the start, or was, of the run in --out."""
    begun = (args.out / "start.json").is_file()
    return args.what == "diffusion" and bool(args.start or begun or args.layout != "folder")


def recipe_file(name: str) -> Path:
    """A recipe file of the user's, or the shipped one of that name."""
    if Path(name).suffix in (".yaml", ".yml"):
        return Path(name)
    return Path(str(resources.files("monai_cxr_cf") / "training" / "recipes" / f"{name}.yaml"))


def _autoencoder(args: argparse.Namespace, recipe: Path) -> Path:
    from monai_cxr_cf.training.autoencoder.train import train_autoencoder

    return train_autoencoder(
        recipe,
        args.data,
        out=args.out,
        resume=args.resume,
        max_minutes=args.max_minutes,
        lpips=args.lpips,
    )


def _segmentation(args: argparse.Namespace, recipe: Path) -> Path:
    from monai_cxr_cf.training.loop import read_recipe
    from monai_cxr_cf.training.segmentation.train import SegmentationRecipe, train_segmentation

    return train_segmentation(
        read_recipe(recipe, SegmentationRecipe),
        args.data,
        out=args.out,
        resume=args.resume,
        max_minutes=args.max_minutes,
    )


def _diffusion(args: argparse.Namespace, recipe: Path) -> Path:
    if fine_tuning(args):
        return _finetune(args, recipe)
    from monai_cxr_cf.training.generator.from_nothing import train_diffusion

    return train_diffusion(
        recipe, args.data, out=args.out, resume=args.resume, max_minutes=args.max_minutes
    )


def _finetune(args: argparse.Namespace, recipe: Path) -> Path:
    from monai_cxr_cf.data.captioned import Collection
    from monai_cxr_cf.training.generator.finetune import train_finetune

    collection = Collection(args.data, args.layout, args.reports, uncertain=args.uncertain)
    if args.cleaner == "llm":
        clean = cleaner_of(args.llm_model, args.llm_url, args.out, remote=args.llm_remote)
        collection = replace(collection, clean=clean)
    return train_finetune(
        recipe,
        collection,
        out=args.out,
        start=args.start or "",
        resume=args.resume,
        max_minutes=args.max_minutes,
    )


def _widened(args: argparse.Namespace, recipe: Path) -> Path:
    from monai_cxr_cf.training.generator.widened import train_widened

    return train_widened(
        args.what,
        recipe,
        args.data,
        out=args.out,
        start=args.start or "",
        pace=(args.resume, args.max_minutes),
    )


def _classifier(args: argparse.Namespace, recipe: Path) -> Path:
    from monai_cxr_cf.training.classifier.train import train_classifier

    return train_classifier(
        recipe, args.data, out=args.out, resume=args.resume, max_minutes=args.max_minutes
    )


DEFAULTS = {"classifier": "classifier_j1"}  # networks whose first recipe has another name
STARTERS = {
    "autoencoder": _autoencoder,
    "classifier": _classifier,
    "diffusion": _diffusion,
    **dict.fromkeys(WIDENED, _widened),
    "segmentation": _segmentation,
}
