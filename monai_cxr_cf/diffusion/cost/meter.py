# SPDX-License-Identifier: Apache-2.0
"""What a run costs: F counted while it runs.

F = one forward of the loaded UNet, batch 1, at its native latent. ``Meter`` counts calls by hooks
on the modules; ``Ratios`` says how many F each kind of pass is, from counted FLOPs.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from monai_cxr_cf.diffusion.cost.flops import config_key, unet_flops, vae_flops
from monai_cxr_cf.diffusion.model.backbone import Backbone

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
