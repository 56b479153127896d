# SPDX-License-Identifier: Apache-2.0
"""The autoencoder that an earlier training has left in a folder."""

from pathlib import Path

from diffusers import AutoencoderKL

from monai_cxr_cf.diffusion.model.checkpoints import aligned
from monai_cxr_cf.errors import ComponentMissing


def load_autoencoder(vae: Path) -> AutoencoderKL:
    """The autoencoder in the folder ``vae``; nothing is looked for elsewhere.

    Raises:
        ComponentMissing: there is none.
    """
    require_autoencoder(vae)
    return aligned(AutoencoderKL.from_pretrained(vae, local_files_only=True))


def require_autoencoder(vae: Path) -> None:
    """ComponentMissing where the folder ``vae`` holds no autoencoder."""
    if not (vae / "config.json").is_file():
        raise ComponentMissing(
            f"There is no autoencoder in {vae.parent.name}/{vae.name}.",
            hint="Train it first: cxr-cf train autoencoder, with the same --out.",
        )
