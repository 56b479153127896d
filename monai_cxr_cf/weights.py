# SPDX-License-Identifier: Apache-2.0
"""Where the shipped bundle and its weights lie, and which licence a folder of weights states.

The bundle lies beside the package, or inside it in a wheel. ``info`` shows the licence, reports
keep it. Standard library only.
"""

from pathlib import Path

from monai_cxr_cf.errors import ComponentMissing

CARDS = ("MODEL_CARD.md", "README.md")


def bundle_folder() -> Path:
    """The bundle's root folder; ComponentMissing if the installation lost it."""
    package = Path(__file__).resolve().parent
    for folder in (package / "bundle", package.parent / "bundles" / "cxr_counterfactual"):
        if (folder / "models").is_dir():
            return folder
    raise ComponentMissing(
        "The shipped bundle with its weights was not found beside the package.",
        hint="Reinstall monai-cxr-cf from its wheel, or run from a complete checkout.",
    )


def models_folder() -> Path:
    """The folder of weights: ``cxr-mini/``, ``model.pt`` and ``segmenter/``."""
    return bundle_folder() / "models"


def stated_licence(folder: Path) -> str:
    """``license:`` of the model card, else the title line of a LICENSE file, else "unknown"."""
    for name in CARDS:
        if (folder / name).is_file():
            for line in (folder / name).read_text(encoding="utf-8").splitlines()[:60]:
                key, _, value = line.strip("-*# ").partition(":")
                if key.strip("* ").lower() in ("license", "licence") and value.strip("* "):
                    return value.strip("* ")
    for path in sorted(folder.glob("LICENSE*")):
        lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
        return next((line for line in lines if line), "unknown")
    return "unknown"
