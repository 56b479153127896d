# SPDX-License-Identifier: Apache-2.0
"""What a run will cost, before it runs: F, time and memory, and whether that memory is free."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch

from monai_cxr_cf.diffusion.cost.flops import TEXT_TOKENS
from monai_cxr_cf.diffusion.cost.meter import Ratios, ratios
from monai_cxr_cf.diffusion.guidance import both_gated, references
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.layers import attention_levels
from monai_cxr_cf.diffusion.model.truncate import last_cross_layer
from monai_cxr_cf.diffusion.steps import Solver, boost_window, guided_steps
from monai_cxr_cf.errors import ResourceExhausted
from monai_cxr_cf.presets import EditConfig


@dataclass(frozen=True)
class Estimate:
    """What one image of a preset will cost on a backbone and device.

    ``f`` in F, ``tflop`` in 10^12 operations, ``memory_gib`` weights plus activations (rough),
    ``seconds`` None unless a measured time of one forward was given.
    """

    f: float
    tflop: float
    memory_gib: float
    seconds: float | None


def estimate(
    backbone: Backbone,
    config: EditConfig,
    *,
    crop: bool = True,
    negative: bool = False,
    seconds_per_f: float | None = None,
) -> Estimate:
    """Cost of one image before it runs (docs/method.md 5): F = n_exec + guided + corrections + VAE.

    ``crop``: whether the region fits the window of output.roi_crop. ``negative``: whether there is
    a negative prompt other than the source's; where the whole picture is guided, an empty one is
    another than a text that ``tokens.source`` implies. Two decodes: the result and the reference of
    the residual composite. What looking costs (``census`` of the trace) is not in it.
    """
    side = _side(backbone, config, crop=crop)
    factor = backbone.factor
    r = ratios(backbone, (side // factor, side // factor))
    solver = Solver(config, backbone.scheduler_config)
    n_exec = solver.n_exec
    passes = _passes(config, n_exec, negative=negative)
    decodes = 2 if config.output.composite == "residual" else 1
    f = passes * r.forward() + _corrections(backbone, config, r, n_exec)
    f += r.encode + decodes * r.decode
    return Estimate(
        f=f,
        tflop=f * r.unit / 1e12,
        memory_gib=_memory(backbone, side) / 2**30,
        seconds=None if seconds_per_f is None else f * seconds_per_f,
    )


def _passes(config: EditConfig, n_exec: int, *, negative: bool) -> int:
    """UNet passes of denoising and inversion: each step's own, and those that guidance reads."""
    guided, regional = len(guided_steps(config, n_exec)), config.sampling.guidance_map == "region"
    others = references(regional=regional, negative=negative)
    apart = negative or (not regional and config.tokens.source == "opposite")
    passes, kind = n_exec + guided * len(others), config.start.kind
    if kind in ("ddim", "edit_friendly"):
        passes += n_exec
    if kind == "edit_friendly":  # what differs from the source's prediction; see ``invert``
        passes += guided * (int(apart) if both_gated(config) else len(others))
    return passes


def _side(backbone: Backbone, config: EditConfig, *, crop: bool) -> int:
    """Pixels of the square that is sampled."""
    if not (crop and config.output.roi_crop):
        return backbone.side
    side = config.output.roi_crop * backbone.side // 512 // backbone.multiple * backbone.multiple
    return side or backbone.side


def _corrections(backbone: Backbone, config: EditConfig, r: Ratios, n_exec: int) -> float:
    """F of all gradient passes of a run."""
    correct = config.correct
    if correct.alpha_max * correct.scale == 0:
        return 0.0
    layers = attention_levels(backbone.unet, r.hw)
    text = config.energy.levels
    levels = (2,) if text == "auto" else tuple(int(part) for part in text.split(","))
    last = last_cross_layer(layers, levels)
    stop = last if correct.truncated else ""
    window = len(boost_window(config.boost.mu, n_exec, side=config.boost.side))
    return window * (r.forward(stop) + r.backward(last))


def _memory(backbone: Backbone, side: int) -> float:
    """Bytes: all weights and activations."""
    return _weights(backbone) + _activations(backbone, side)


def _activations(backbone: Backbone, side: int) -> float:
    """Bytes: the widest activations of the VAE decoder four times over."""
    widths = backbone.vae.config.block_out_channels
    widest: int = widths[min(1, len(widths) - 1)]
    return 4.0 * widest * side * side * torch.float32.itemsize


def _weights(backbone: Backbone) -> int:
    """Bytes of all parameters."""
    modules = (backbone.unet, backbone.vae, backbone.text_encoder)
    return sum(p.numel() * p.element_size() for m in modules for p in m.parameters())


def seconds_per_f(backbone: Backbone) -> float:
    """Measured wall time of one F on this device: the second of two forwards on zeros."""
    side = backbone.side // backbone.factor
    width = int(backbone.unet.config.cross_attention_dim)
    states = torch.zeros(1, TEXT_TOKENS, width, device=backbone.device, dtype=backbone.dtype)
    z = states.new_zeros(1, int(backbone.unet.config.in_channels), side, side)
    for _ in range(2):  # the first one warms caches and kernels up
        began = perf_counter()
        with torch.no_grad():
            backbone.unet(z, 1, encoder_hidden_states=states)
        if backbone.device.type == "cuda":
            torch.cuda.synchronize(backbone.device)
    return perf_counter() - began


def check_memory(backbone: Backbone, config: EditConfig) -> None:
    """ResourceExhausted if what the run needs on top of the loaded weights is surely not free."""
    needed = _activations(backbone, _side(backbone, config, crop=True)) / 2**30
    free = free_bytes(backbone.device) / 2**30
    if needed > free:
        raise ResourceExhausted(
            f"The run needs about {needed:.1f} GiB more memory; {free:.1f} GiB are free.",
            hint="Use --preset fast, or a backbone of fewer pixels.",
        )


@contextmanager
def within_memory(backbone: Backbone, config: EditConfig) -> Iterator[None]:
    """``check_memory`` before a run, and the same error if memory runs out in it all the same."""
    check_memory(backbone, config)
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError, RuntimeError) as error:
        told = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not told and "can't allocate memory" not in str(error):  # torch's words on a CPU
            raise
        raise ResourceExhausted(
            f"Memory ran out while sampling on {backbone.device}.",
            hint="Use --preset fast, fewer seeds, or a backbone of fewer pixels.",
        ) from error


def free_bytes(device: torch.device) -> float:
    """Memory that is free on a device; infinite where the system does not tell."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if "SC_AVPHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return float("inf")  # not told by this system
    meminfo = Path("/proc/meminfo")  # counts what caches would give back, unlike sysconf
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        if "MemAvailable" in lines:
            return float(lines["MemAvailable"].split()[0]) * 1024
    return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
