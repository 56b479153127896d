# SPDX-License-Identifier: Apache-2.0
"""A UNet of 8 or 9 input channels, kept as what is new over one of 4: stem and low-rank updates.

A folder with ``widened.json`` (backbone, sha256 of its UNet's files, kind) and
``widened.safetensors``: ``conv_in.weight``, and W.up and W.down of each weight W, seen as a matrix,
in whose stead W + up down is used.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from monai_cxr_cf.catalogue.row import CHANNELS
from monai_cxr_cf.diffusion.model.checkpoints import Parts, sha256_file
from monai_cxr_cf.errors import BadRequest, ComponentMissing

NOTE, WEIGHTS, STEM = "widened.json", "widened.safetensors", "conv_in.weight"
WRONG = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError)


def unet_files(files: Mapping[str, str]) -> dict[str, str]:
    """The files of a backbone that hold its UNet, with their sha256."""
    return {k: v for k, v in files.items() if k.startswith("unet/")} or dict(files)


def widen(unet: Any, channels: int) -> None:
    """Give the stem ``channels`` inputs; it takes nothing yet from the new ones."""
    old = unet.conv_in
    stem: Any = nn.Conv2d(channels, old.out_channels, old.kernel_size, padding=old.padding)
    with torch.no_grad():
        stem.weight.zero_()[:, : old.in_channels] = old.weight
        stem.bias.copy_(old.bias)
    unet.conv_in = stem.to(old.weight)
    unet.register_to_config(in_channels=channels)


def read_widened(folder: Path, load: Callable[[str], Parts]) -> Parts:
    """The backbone under it, which ``load`` reads, with its UNet widened.

    Raises:
        ComponentMissing: a file of the folder cannot be read.
        BadRequest: that backbone has another UNet now.
    """
    try:
        told = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        base, channels, unet = str(told["backbone"]), CHANNELS[told["kind"]], told["unet"]
        parts, stored = load(base), load_file(folder / WEIGHTS)
        if unet_files(parts.files) != unet:
            raise BadRequest(
                f"'{folder.name}' stands on another UNet than that of '{Path(base).name}' now.",
                hint="Give back the weights it was trained over, or train it anew.",
            )
        widen(parts.unet, channels)
        _put(parts.unet, stored)
    except WRONG as error:
        raise ComponentMissing(
            f"{NOTE} or {WEIGHTS} of '{folder.name}' cannot be read.", hint="Copy both again."
        ) from error
    return replace(parts, files={**parts.files, f"unet/{WEIGHTS}": sha256_file(folder / WEIGHTS)})


@torch.no_grad()
def _put(unet: Any, stored: dict[str, Tensor]) -> None:
    unet.conv_in.weight.copy_(stored.pop(STEM).view_as(unet.conv_in.weight))
    for name in sorted({key.rpartition(".")[0] for key in stored}):
        weight = unet.get_parameter(name)
        up, down = (stored[f"{name}.{which}"].float() for which in ("up", "down"))
        weight.add_((up @ down).view_as(weight))
