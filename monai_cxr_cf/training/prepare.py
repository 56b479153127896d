# SPDX-License-Identifier: Apache-2.0
"""A data folder and a trained autoencoder in; what a diffusion training still needs, made, out.

The organ maps come from the shipped segmenter; they say where findings are drawn and worded.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import numpy as np
from PIL import Image

from monai_cxr_cf.errors import ComponentMissing
from monai_cxr_cf.evaluation.organ_maps import save_organ_maps
from monai_cxr_cf.locate import models_folder
from monai_cxr_cf.training.pool import build_pool

log = logging.getLogger(__name__)


def prepare_pool(data: Path, out: Path, *, versions: int, draws: int) -> Path:
    """``out/pool.npz``, made with ``out/organs.npz`` unless they are there.

    Raises:
        ComponentMissing: ``out/vae`` is not there, or the segmenter's weights are missing.
    """
    pool, organs, vae = out / "pool.npz", out / "organs.npz", out / "vae"
    if not (vae / "config.json").is_file():
        raise ComponentMissing(
            f"There is no autoencoder in {out.name}/vae.",
            hint="Train it first: cxr-cf train autoencoder, with the same --out.",
        )
    if pool.is_file():
        return pool
    if not organs.is_file():
        log.info("segmenting the radiographs for the captions")
        _organ_maps(data, organs, json.loads((vae / "config.json").read_text())["sample_size"])
    log.info("caching latents")
    return build_pool(data, vae, out=pool, organs=organs, versions=versions, draws=draws)


def _organ_maps(data: Path, out: Path, side: int) -> None:
    """Organ maps of every radiograph, side x side as the autoencoder's images."""
    part = save_organ_maps(data, models_folder(), out=out.with_suffix(".full.npz"))
    with np.load(part) as archive:
        maps = {name: Image.fromarray(archive[name]) for name in archive.files}
    small = {
        n: np.asarray(m.resize((side, side), Image.Resampling.NEAREST)) for n, m in maps.items()
    }
    np.savez_compressed(part, **small)  # type: ignore[arg-type]
    os.replace(part, out)
