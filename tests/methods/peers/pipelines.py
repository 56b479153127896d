# SPDX-License-Identifier: Apache-2.0
"""diffusers' own pipelines on our tiny networks: somebody else's code for the same method."""

from contextlib import contextmanager
from unittest.mock import patch

import diffusers
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from tests.methods.quick import backbone


def scheduler(kind: str = "text", name: str = "DDIMScheduler", **changes):
    """A scheduler of diffusers on the backbone's noise schedule."""
    config = {**backbone(kind).scheduler_config, **changes}
    config.pop("_class_name", None)
    return getattr(diffusers, name).from_config(config)


def pipeline(name: str, kind: str = "text", made=None, **more):
    """The pipeline class ``name`` of diffusers, quiet, on the tiny parts."""
    b = backbone(kind)
    found = getattr(diffusers, name)(
        vae=b.vae, text_encoder=b.text_encoder, tokenizer=b.tokenizer, unet=b.unet,
        scheduler=made or scheduler(kind), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False, **more,
    )  # fmt: skip
    found.set_progress_bar_config(disable=True)
    return found


@contextmanager
def posterior_mean():
    """The encoder gives its mean, as ours does, and draws nothing."""
    with patch.object(DiagonalGaussianDistribution, "sample",
                      lambda self, generator=None: self.mode()):  # fmt: skip
        yield


def picture(image):
    """A grey plane 0..1 as the (1, 3, S, S) in 0..1 that the pipelines take."""
    return torch.as_tensor(image)[None, None].expand(1, 3, -1, -1)


def drawn(seed: int = 1):
    """A generator as ours are seeded."""
    return torch.Generator("cpu").manual_seed(seed)


def apart(ours, theirs) -> float:
    """Largest difference of two latents, in units of the peer's spread where that is above 1.

    Rounding in float32 grows with the values, and random networks under guidance reach 20.
    """
    return float((ours - theirs).abs().max() / theirs.std().clamp(min=1))
