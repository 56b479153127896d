# SPDX-License-Identifier: Apache-2.0
"""FLOPs of a UNet or VAE pass, counted on an empty (meta) twin of the same configuration.

Nothing is computed and no weights are held, so SD v1.5 takes about two seconds, once per process.
``counted.json`` holds the counts of the shipped weights and of SD v1.5 for the presets, so that
the common run counts nothing; ``benchmarks/count_passes.py`` writes it. ``meter`` turns these
counts into F.
"""

import json
from collections.abc import Callable
from functools import cache, lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.model.truncate import truncated_forward

TEXT_TOKENS = 77
COUNTED = "counted.json"


def config_key(module: Any) -> str:
    """The configuration of a diffusers model as a canonical string: equal keys, equal FLOPs."""
    plain = {k: v for k, v in dict(module.config).items() if not k.startswith("_")}
    return json.dumps(plain, sort_keys=True, default=str)


@cache
def counted() -> dict[str, dict[str, int]]:
    """What was counted before: digest of a configuration -> pass -> FLOPs."""
    text = files(__package__).joinpath(COUNTED).read_text(encoding="utf-8")
    table: dict[str, dict[str, int]] = json.loads(text)
    return table


def digest(key: str) -> str:
    """The name of a configuration in ``counted``."""
    return sha256(key.encode()).hexdigest()[:16]


def unet_pass(hw: tuple[int, int], last_layer: str = "", backward: bool = False) -> str:
    """The name of a UNet pass in ``counted``."""
    return " ".join(filter(None, ("unet", "{}x{}".format(*hw), last_layer, backward * "backward")))


def vae_pass(hw: tuple[int, int], encode: bool) -> str:
    """The name of a VAE pass in ``counted``."""
    return f"{'encode' if encode else 'decode'} {hw[0]}x{hw[1]}"


def unet_flops(
    key: str, hw: tuple[int, int], *, last_layer: str = "", backward: bool = False
) -> int:
    """FLOPs (2 x MAC) of one conditional UNet pass of batch 1 on a latent of ``hw``.

    ``last_layer`` stops the pass after that attention layer ("" = whole network); ``backward``
    adds the gradient with respect to the latent, weights frozen.
    """
    known = counted().get(digest(key), {}).get(unet_pass(hw, last_layer, backward))
    return known or count_unet(key, hw, last_layer=last_layer, backward=backward)


@lru_cache(maxsize=64)
def count_unet(
    key: str, hw: tuple[int, int], *, last_layer: str = "", backward: bool = False
) -> int:
    """``unet_flops``, counted now."""
    unet = _unet(key)
    z = torch.empty(1, unet.config.in_channels, *hw, device="meta", requires_grad=backward)
    t = torch.empty(1, device="meta")
    width = unet.config.cross_attention_dim
    states = torch.empty(1, TEXT_TOKENS, width, device="meta")
    seen: list[Tensor] = []

    def run() -> None:
        if last_layer:
            truncated_forward(unet, z, t, states, last_layer=last_layer)
        else:
            seen.append(unet(z, t, encoder_hidden_states=states).sample)
        if backward:
            torch.autograd.backward(seen[-1].sum())

    # The columns of an attention layer come from its queries: the gradient starts there.
    query = unet.get_submodule(f"{last_layer}.to_q") if last_layer else None
    hook = query.register_forward_hook(lambda *a: seen.append(a[2])) if query else None
    try:
        return _count(run, grad=backward)
    finally:
        if hook is not None:
            hook.remove()


def vae_flops(key: str, hw: tuple[int, int], *, encode: bool) -> int:
    """FLOPs of encoding to, or decoding from, a latent of ``hw``, batch 1."""
    known = counted().get(digest(key), {}).get(vae_pass(hw, encode))
    return known or count_vae(key, hw, encode=encode)


@lru_cache(maxsize=64)
def count_vae(key: str, hw: tuple[int, int], *, encode: bool) -> int:
    """``vae_flops``, counted now."""
    vae = _vae(key)
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    if encode:
        x = torch.empty(1, vae.config.in_channels, hw[0] * factor, hw[1] * factor, device="meta")
        return _count(lambda: vae.encode(x), grad=False)
    z = torch.empty(1, vae.config.latent_channels, *hw, device="meta")
    return _count(lambda: vae.decode(z), grad=False)


def _count(run: Callable[[], Any], *, grad: bool) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.inference_mode(False), torch.set_grad_enabled(grad), counter:
        run()
    return int(counter.get_total_flops())


@lru_cache(maxsize=4)
def _unet(key: str) -> Any:
    from diffusers import UNet2DConditionModel

    with torch.inference_mode(False), torch.device("meta"):
        return UNet2DConditionModel.from_config(json.loads(key)).requires_grad_(False)


@lru_cache(maxsize=4)
def _vae(key: str) -> Any:
    from diffusers import AutoencoderKL

    with torch.inference_mode(False), torch.device("meta"):
        return AutoencoderKL.from_config(json.loads(key)).requires_grad_(False)
