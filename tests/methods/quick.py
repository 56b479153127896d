# SPDX-License-Identifier: Apache-2.0
"""Every published editor with few steps, on the tiny backbone that it needs."""

from dataclasses import replace
from functools import cache
from typing import Any

import torch

from monai_cxr_cf.catalogue.row import CHANNELS
from monai_cxr_cf.catalogue.table import Choice, choose, row_of
from monai_cxr_cf.diffusion.cost.meter import Meter
from monai_cxr_cf.diffusion.model.tiny import tiny_backbone
from monai_cxr_cf.diffusion.task import Scorer
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.registry import run_method
from monai_cxr_cf.presets import DEFAULT
from tests.diffusion.conftest import make_task

QUICK: dict[str, dict[str, Any]] = {
    "sd_inpaint": {"steps": 5},
    "ddim_invert": {"steps": 5},
    "ddpm_invert": {"steps": 6, "skip": 2, "guidance": 5.0},
    "blended": {"steps": 6},
    "pie": {"rounds": 2, "steps": 6},
    "pie_latent": {"rounds": 2, "steps": 6},
    "radedit": {"steps": 6},
    "diffedit": {"steps": 5, "draws": 2},
    "ip2p": {"steps": 4},
    "biomedjourney": {"steps": 4, "weights": "c0ffee00"},
    "instructx2x": {"steps": 4},
    "latent_shift": {"furthest": 3.0},
    "p2p": {"steps": 6, "skip": 2, "guidance": 5.0},
    "masactrl": {"steps": 6, "start": 2},
    "attend_excite": {"steps": 6, "altered": 2, "refinements": 2},
    "layout_guidance": {"steps": 6, "guided": 2, "tries": 2},
    "ledits": {"steps": 6, "threshold": 0.5},
    "rse": {"strength": 0.1},
}


@cache
def backbone(kind: str = "text"):
    """A tiny backbone of a kind, its cross-attention sharpened so that words matter."""
    made = tiny_backbone(side=128, channels=CHANNELS[kind])
    made.files = {"unet/diffusion_pytorch_model.safetensors": "c0ffee00" * 8}
    with torch.no_grad():
        for name, weight in made.unet.named_parameters():
            if name.endswith(("attn2.to_q.weight", "attn2.to_k.weight")):
                weight.mul_(6)
    return made


def task(kind: str = "text"):
    """The edit task of the sampler's tests."""
    made = make_task(backbone(kind).tokenizer)
    return replace(made, source_prompt="normal heart", scorer=Scorer("dark", "0" * 64, dark))


def dark(images):
    """How dark the left half of some images is, as a probability."""
    return torch.sigmoid(20 * (0.5 - images[..., : images.shape[-1] // 2].mean((1, 2))))


def quick(name: str, **values: Any) -> Choice:
    """A method with few steps, and other values on top."""
    return choose(name, {**QUICK[name], **values})


def samples(name: str, *, seeds=(1,), kind: str | None = None, given=None, **values: Any):
    """A short run of a method."""
    kind = kind or row_of(name).kinds[0]
    choice = quick(name, **values)
    asked = given or task(kind)
    return run_method(choice, backbone(kind), asked, config=DEFAULT, seeds=list(seeds))


def bench_of(given=None, *, kind: str = "text", seeds=(1,)) -> Bench:
    """What an editor is called with."""
    b = backbone(kind)
    return Bench(b, given or task(kind), seeds=seeds, meter=Meter(b))
