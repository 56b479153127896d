# SPDX-License-Identifier: Apache-2.0
"""FLOPs of a UNet or VAE pass, counted on an empty (meta) twin of the same configuration.

Nothing is computed and no weights are held, so SD v1.5 takes about two seconds, once per process.
``meter`` turns these counts into F.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from monai_cxr_cf.diffusion.model.truncate import truncated_forward

TEXT_TOKENS = 77


def config_key(module: Any) -> str:
    """The configuration of a diffusers model as a canonical string: equal keys, equal FLOPs."""
    plain = {k: v for k, v in dict(module.config).items() if not k.startswith("_")}
    return json.dumps(plain, sort_keys=True, default=str)


@lru_cache(maxsize=64)
def unet_flops(
    key: str, hw: tuple[int, int], *, last_layer: str = "", backward: bool = False
) -> int:
    """FLOPs (2 x MAC) of one conditional UNet pass of batch 1 on a latent of ``hw``.

    ``last_layer`` stops the pass after that attention layer ("" = whole network); ``backward``
    adds the gradient with respect to the latent, weights frozen.
    """
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


@lru_cache(maxsize=64)
def vae_flops(key: str, hw: tuple[int, int], *, encode: bool) -> int:
    """FLOPs of encoding to, or decoding from, a latent of ``hw``, batch 1."""
    vae = _vae(key)
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    if encode:
        x = torch.empty(1, vae.config.in_channels, hw[0] * factor, hw[1] * factor, device="meta")
        return _count(lambda: vae.encode(x), grad=False)
    z = torch.empty(1, vae.config.latent_channels, *hw, device="meta")
    return _count(lambda: vae.decode(z), grad=False)


def _count(run: Callable[[], Any], *, grad: bool) -> int:
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
