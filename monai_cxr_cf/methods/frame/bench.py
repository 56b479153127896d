# SPDX-License-Identifier: Apache-2.0
"""What every published editor works with: one image, its masks, guided predictions, one count.

A method is a function ``(bench, settings) -> z``: final latents (N, 4, h, w), one per seed, from a
``Bench`` and settings of ``catalogue.settings``. ``Bench`` keeps cost, progress and trace.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_cxr_cf.diffusion.cost.meter import Meter
from monai_cxr_cf.diffusion.laws.priors import latent_edit_mask
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.codec import decode, encode
from monai_cxr_cf.diffusion.model.text import check_words, encode_text
from monai_cxr_cf.diffusion.steps import Noise
from monai_cxr_cf.diffusion.task import EditTask, Progress
from monai_cxr_cf.methods.frame.schedule import Level, Schedule

Plane = NDArray[np.float32]


class Bench:
    """One run of one method.

    Attributes:
        task: what to edit; of several findings the prompt that names all of them holds.
        z0: (1, 4, h, w) float32, the source.
        noise: unit noise per seed.
        schedule: noise levels of the backbone.
        meter: counts passes.
        steps: what was executed, for the trace.
        notes: what else the trace says.
        images: finished pictures (N, S, S) in the stead of latents.
        own: a mask that the method found by itself, (N, 1, h, w), in place of the region's.
    """

    def __init__(
        self,
        backbone: Backbone,
        task: EditTask,
        *,
        seeds: Sequence[int],
        meter: Meter,
        progress: Progress | None = None,
    ) -> None:
        check_words(backbone, task)
        self.backbone, self.task, self.seeds = backbone, task, tuple(seeds)
        self.meter, self.progress = meter, progress
        with meter.expecting("encode"):
            self.z0 = encode(backbone, task.image)
        self.noise = Noise(self.seeds, tuple(self.z0.shape[1:]), backbone.device)
        self.schedule = Schedule(backbone.scheduler_config)
        self.steps: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.own: Tensor | None = None
        self.images: Plane | None = None
        self._texts: dict[str, Tensor] = {}

    @property
    def hw(self) -> tuple[int, int]:
        """Latent rows and columns."""
        return int(self.z0.shape[-2]), int(self.z0.shape[-1])

    # Masks.

    @property
    def region(self) -> Plane:
        """S x S, 1 where a finding's region lies."""
        union = np.max([t.region for t in self.task.targets], axis=0) >= 0.5
        return np.asarray(union, np.float32)

    def mask(self, *, as_published: bool = False) -> Tensor:
        """m, (1, 1, h, w) float32 of 0 and 1: latent cells of the edit.

        All cells that region and band touch, as our own paste has it. ``as_published``: the region
        alone, nearest pixel.
        """
        if self.own is not None:
            return self.own
        if as_published:
            return self.nearest(self.region)
        cells = latent_edit_mask(self.task.kappa, self.hw).astype(np.float32)
        return torch.as_tensor(cells, device=self.backbone.device)[None, None]

    def pixels(self, *, as_published: bool = False) -> Plane:
        """The same mask on the model image, S x S of 0 and 1."""
        return self.region if as_published else np.asarray(self.task.kappa > 0, np.float32)

    def nearest(self, plane: Plane) -> Tensor:
        """A plane on the latent grid by its nearest pixel, (1, 1, h, w)."""
        return self._resized(plane, mode="nearest")

    def bilinear(self, plane: Plane) -> Tensor:
        """A plane on the latent grid, bilinear, (1, 1, h, w)."""
        return self._resized(plane, mode="bilinear")

    def _resized(self, plane: Plane, *, mode: str) -> Tensor:
        given = torch.as_tensor(np.array(plane, np.float32), device=self.backbone.device)
        return torch.nn.functional.interpolate(given[None, None], size=self.hw, mode=mode)

    # The network.

    def text(self, words: str) -> Tensor:
        """States (1, 77, C) of some words."""
        if words not in self._texts:
            self._texts[words] = encode_text(self.backbone, words)
        return self._texts[words]

    def predict(self, z: Tensor, t: int, words: str, *, beside: Tensor | None = None) -> Tensor:
        """ε under some words at timestep t, (N, 4, h, w) float32, whatever the UNet predicts.

        ``beside``: further input channels, (1, C, h, w).
        """
        states = self.text(words).expand(len(z), -1, -1)
        given = z if beside is None else torch.cat([z, beside.expand(len(z), -1, -1, -1)], 1)
        when = torch.tensor([t], device=z.device).expand(len(z))
        dtype = self.backbone.dtype
        unet = self.backbone.unet
        found: Tensor = unet(given.to(dtype), when, encoder_hidden_states=states).sample
        exact = torch.promote_types(found.dtype, torch.float32)
        return self.as_epsilon(found.to(exact), z, t)

    def as_epsilon(self, found: Tensor, z: Tensor, t: int) -> Tensor:
        """What the UNet predicts as ε."""
        if self.backbone.prediction_type != "v_prediction":
            return found
        a = self.schedule.alphas[t]
        e: Tensor = a**0.5 * found + (1 - a) ** 0.5 * z
        return e

    def guided(self, z: Tensor, t: int, scale: float, words: str | None = None) -> Tensor:
        """cfg(s) = e_u + s (e_c - e_u); c is the prompt, u the negative one, empty as a rule."""
        e = self.predict(z, t, self.task.prompt if words is None else words)
        if scale == 1:
            return e
        e_u = self.predict(z, t, self.task.negative_prompt)
        return e_u + scale * (e - e_u)

    # Rounds through the picture.

    def decoded(self, z: Tensor) -> Plane:
        """D(z), (N, S, S) in 0..1."""
        return decode(self.backbone, z)

    def encoded(self, images: Plane) -> Tensor:
        """E(x) of (N, S, S), (N, 4, h, w)."""
        found = []
        for image in images:
            with self.meter.expecting("encode"):
                found.append(encode(self.backbone, image))
        return torch.cat(found)

    def sampled(self, images: Plane) -> Tensor:
        """A draw from the posterior of (N, S, S), instead of its mean, (N, 4, h, w)."""
        vae, noise, found = self.backbone.vae, self.noise.draw(), []
        for image, one in zip(images, noise, strict=True):
            grey = torch.as_tensor(image, device=self.backbone.device) * 2 - 1
            x = grey.expand(1, int(vae.config.in_channels), *grey.shape)
            posterior = vae.encode(x).latent_dist
            found.append(posterior.mean + posterior.std * one)
        return torch.cat(found) * float(vae.config.scaling_factor)

    # The account.

    def run(self, levels: Sequence[Level], *, rounds: int = 1) -> Iterator[Level]:
        """The levels in order, each written down when its step is done."""
        total = len(levels) * rounds
        for level in levels:
            yield level
            self._write(level, total)

    def _write(self, level: Level, total: int) -> None:
        done = len(self.steps)
        self.steps.append(
            {
                "index": done,
                "timestep": level.t,
                "alpha_bar": level.a,
                "window": False,
                "guided": True,
                "gated": False,
                "roi_score": {},
                "roi_lift": {},
                "energy": [],
                "correction": None,
                "f": self.meter.split(self.hw)["total"],
            }
        )
        if self.progress is not None:
            self.progress({"stage": "sample", "step": done + 1, "total": total})

    def inverting(self, levels: Sequence[Level]) -> Iterator[Level]:
        """The levels of an inversion in the order given, counted as such."""
        for done, level in enumerate(levels):
            with self.meter.during("inversion"):
                yield level
            if self.progress is not None:
                self.progress({"stage": "invert", "step": done + 1, "total": len(levels)})
