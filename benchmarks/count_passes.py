# SPDX-License-Identifier: Apache-2.0
"""Counts the FLOPs of every pass that the presets make, for the shipped weights and for SD v1.5.

``python benchmarks/count_passes.py`` rewrites ``monai_cxr_cf/diffusion/cost/counted.json``, from
which a run takes them. ``tests/diffusion/cost/test_counted.py`` counts them again.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from monai_cxr_cf.diffusion.cost import flops, meter
from monai_cxr_cf.diffusion.cost.estimate import estimate
from monai_cxr_cf.diffusion.model.single_file import SD1_SCHEDULER, SD1_UNET, SD1_VAE
from monai_cxr_cf.presets import PRESETS
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.weights import models_folder


def sd15() -> Any:
    """SD v1.5 without weights: everything the cost model asks of a backbone."""
    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**SD1_UNET), AutoencoderKL(**SD1_VAE)
    return SimpleNamespace(
        unet=unet, vae=vae, text_encoder=torch.nn.Linear(1, 1), scheduler_config=SD1_SCHEDULER,
        side=512, factor=8, multiple=64,
    )  # fmt: skip


def passes(backbone: Any, configs: list[Any]) -> dict[str, dict[str, int]]:
    """Every pass that an estimate of these presets asks for, counted now."""
    found: dict[str, dict[str, int]] = {}

    def unet(key: str, hw: Any, *, last_layer: str = "", backward: bool = False) -> int:
        count = flops.count_unet(key, hw, last_layer=last_layer, backward=backward)
        found.setdefault(flops.digest(key), {})[flops.unet_pass(hw, last_layer, backward)] = count
        return count

    def vae(key: str, hw: Any, *, encode: bool) -> int:
        count = flops.count_vae(key, hw, encode=encode)
        found.setdefault(flops.digest(key), {})[flops.vae_pass(hw, encode)] = count
        return count

    kept = meter.unet_flops, meter.vae_flops
    meter.unet_flops, meter.vae_flops = unet, vae  # type: ignore[assignment]
    try:
        for config in configs:
            for crop in (False, True):
                estimate(backbone, config, crop=crop)
    finally:
        meter.unet_flops, meter.vae_flops = kept
    return found


def main() -> None:
    """Write the table."""
    networks = Networks()
    shipped = sorted(path.parent.parent.name for path in models_folder().glob("*/unet/config.json"))
    table = passes(sd15(), list(PRESETS.values()))
    for name in shipped:
        configs = [
            *PRESETS.values(),
            *(networks.calibration(name).config(preset) for preset in PRESETS),
        ]
        table |= passes(networks.backbone(name), configs)
    path = Path(flops.__file__).with_name(flops.COUNTED)
    path.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
