# SPDX-License-Identifier: Apache-2.0
"""Where the shipped bundle and its weights lie: beside the package, or inside it in a wheel."""

from pathlib import Path

from monai_cxr_cf.errors import ComponentMissing


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
