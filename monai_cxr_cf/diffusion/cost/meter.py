# SPDX-License-Identifier: Apache-2.0
"""What a run costs: F counted while it runs, and an estimate of F, time and memory before it.

F = one forward of the loaded UNet, batch 1, at its native latent. ``Meter`` counts calls by hooks
on the modules; ``Ratios`` says how many F each kind of pass is, from counted FLOPs.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from monai_cxr_cf.diffusion.cost.flops import TEXT_TOKENS, config_key, unet_flops, vae_flops
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.layers import attention_levels
from monai_cxr_cf.diffusion.model.truncate import last_cross_layer
from monai_cxr_cf.diffusion.steps import Solver, boost_window, guided_steps
from monai_cxr_cf.errors import ResourceExhausted
from monai_cxr_cf.presets import EditConfig

Grid = tuple[int, int]


@dataclass(frozen=True)
class Ratios:
    """FLOPs of each kind of pass on a latent of ``hw``, divided by those of one F."""

    unet_key: str
    vae_key: str
    native: Grid
    hw: Grid

    @property
    def unit(self) -> int:
        """FLOPs of one F."""
        return unet_flops(self.unet_key, self.native)

    def forward(self, last_layer: str = "") -> float:
        """A UNet forward, stopped after ``last_layer`` ("" = whole)."""
        return unet_flops(self.unet_key, self.hw, last_layer=last_layer) / self.unit

    def backward(self, last_layer: str) -> float:
        """The gradient pass back from ``last_layer`` to the latent."""
        both = unet_flops(self.unet_key, self.hw, last_layer=last_layer, backward=True)
        return both / self.unit - self.forward(last_layer)

    @property
    def encode(self) -> float:
        """One VAE encoding."""
        return vae_flops(self.vae_key, self.hw, encode=True) / self.unit

    @property
    def decode(self) -> float:
        """One VAE decoding."""
        return vae_flops(self.vae_key, self.hw, encode=False) / self.unit


def ratios(backbone: Backbone, hw: Grid | None = None) -> Ratios:
    """Ratios of the backbone for a latent of ``hw`` (its native one by default)."""
    side = backbone.side // backbone.factor
    return Ratios(
        unet_key=config_key(backbone.unet),
        vae_key=config_key(backbone.vae),
        native=(side, side),
        hw=hw or (side, side),
    )


class Meter:
    """Counts passes of a backbone's modules by hooks; ``phase`` says what a UNet call is for.

    Attributes:
        phase: ``unet``, ``gradient`` or ``inversion``; set by the sampler.
        images: passes times batch items, by kind: the phases, ``backward``, ``encode``, ``decode``.
        calls: module calls of the same kinds, whatever their batch.
        recalled: images of passes that did not run, since their result was recalled.

    A recalled pass counts like one that ran, and so does each of two that one pass has served: F
    is the method's cost, whatever was kept.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.began = perf_counter()
        self.phase = "unet"
        self.images: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.recalled: Counter[str] = Counter()

    @contextmanager
    def counting(self) -> Iterator["Meter"]:
        """Hooks on the UNet and both halves of the VAE, removed on any exit."""
        vae = self.backbone.vae
        modules = ((self.backbone.unet, ""), (vae.encoder, "encode"), (vae.decoder, "decode"))
        hooks = [
            m.register_forward_pre_hook(self._counter(k), with_kwargs=True) for m, k in modules
        ]
        try:
            yield self
        finally:
            for hook in hooks:
                hook.remove()

    def _counter(self, kind: str) -> Any:
        def count(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            batch = args[0] if args else kwargs["sample"]
            self.add(kind or self.phase, items=len(batch))

        return count

    def add(self, kind: str, *, items: int, calls: int = 1) -> None:
        """Count ``calls`` passes of ``items`` images each."""
        self.calls[kind] += calls
        self.images[kind] += calls * items

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Calls inside belong to ``phase``."""
        before, self.phase = self.phase, phase
        try:
            yield
        finally:
            self.phase = before

    @contextmanager
    def expecting(self, kind: str, *, items: int = 1) -> Iterator[None]:
        """One pass of ``kind`` belongs inside; if none runs, its result was recalled."""
        before = self.calls[kind]
        yield
        if self.calls[kind] == before:
            self.add(kind, items=items)
            self.recalled[kind] += items

    def recalled_f(self, hw: Grid) -> float:
        """F of the passes that did not run."""
        r, n = ratios(self.backbone, hw), self.recalled
        vae = n["encode"] * r.encode if n["encode"] else 0.0
        vae += n["decode"] * r.decode if n["decode"] else 0.0
        return n["inversion"] * r.forward() + vae

    def split(self, hw: Grid, *, stop: str = "", last: str = "") -> dict[str, float]:
        """F so far, all images of the run together: total, unet, gradient, inversion, vae.

        ``stop``: layer after which gradient forwards stop ("" = whole network); ``last``: layer
        from which their backward starts.
        """
        r, n = ratios(self.backbone, hw), self.images
        parts = {
            "unet": n["unet"] * r.forward(),
            "gradient": (n["gradient"] * r.forward(stop) if n["gradient"] else 0.0)
            + (n["backward"] * r.backward(last) if n["backward"] else 0.0),
            "inversion": n["inversion"] * r.forward(),
            "vae": (n["encode"] * r.encode if n["encode"] else 0.0)
            + (n["decode"] * r.decode if n["decode"] else 0.0),
        }
        return {"total": sum(parts.values()), **parts}


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
    backbone: Backbone, config: EditConfig, *, crop: bool = True, seconds_per_f: float | None = None
) -> Estimate:
    """Cost of one image before it runs (docs/method.md 5): F = n_exec + guided + corrections + VAE.

    ``crop``: whether the region fits the window of output.roi_crop. Two decodes: the result and
    the reference of the residual composite.
    """
    side = _side(backbone, config, crop=crop)
    factor = backbone.factor
    r = ratios(backbone, (side // factor, side // factor))
    solver = Solver(config, backbone.scheduler_config)
    n_exec, guided = solver.n_exec, len(guided_steps(config, solver.n_exec))
    passes = n_exec + guided
    if config.start.kind in ("ddim", "edit_friendly"):
        passes += n_exec + (guided if config.start.kind == "edit_friendly" else 0)
    decodes = 2 if config.output.composite == "residual" else 1
    f = passes * r.forward() + _corrections(backbone, config, r, n_exec)
    f += r.encode + decodes * r.decode
    return Estimate(
        f=f,
        tflop=f * r.unit / 1e12,
        memory_gib=_memory(backbone, side) / 2**30,
        seconds=None if seconds_per_f is None else f * seconds_per_f,
    )


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
    due = -(-window // correct.every) * correct.iters
    return due * (r.forward(stop) + r.backward(last))


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
    free = _free_bytes(backbone.device) / 2**30
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


def _free_bytes(device: torch.device) -> float:
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
