# SPDX-License-Identifier: Apache-2.0
"""Small real UNets, tasks and plans for the tests of the attention laws."""

from dataclasses import replace

import numpy as np
import torch
from diffusers import UNet2DConditionModel

from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.laws.plan import plan_laws
from monai_cxr_cf.diffusion.model.layers import attention_levels
from monai_cxr_cf.diffusion.task import EditTask, Target
from monai_cxr_cf.presets import DEFAULT

SIDE = 128
LATENT = (16, 16)
WIDTH = 32  # of the text states
# Every law on, whatever the presets rest: what the tests of single laws take something away from.
EVERY = DEFAULT.with_overrides(
    {
        "sampling": {"cfg_from": 0.0, "cfg_until": 0.75, "guidance_map": "uniform"},
        "gate": {"beta": 4.0},
        "anatomy": {"strength": 0.5},
        "boost": {"eta": 1.5},
        "tokens": {"source": "empty"},
        "correct": {"alpha_max": 0.05},
    }
)


def small_unet(*, heads=2, channels=(32, 32, 64, 64), dtype=torch.float32, seed=0):
    """SD v1.5's layout at 1/1000 of its size; attention on 16x16, 8x8 and 4x4, mid block 2x2."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        sample_size=LATENT[0],
        block_out_channels=channels,
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=heads,
        norm_num_groups=4,
    )
    with torch.no_grad():  # random weights attend almost uniformly: sharpen them
        for name, weight in unet.named_parameters():
            if name.endswith(("to_q.weight", "to_k.weight")):
                weight.mul_(4)
    return unet.to(dtype).eval()


def states(*, seed=1, batch=1, dtype=torch.float32):
    """Text states (batch, 77, C), all items alike."""
    generator = torch.Generator().manual_seed(seed)
    one = torch.randn(1, 77, WIDTH, generator=generator, dtype=torch.float64)
    return one.expand(batch, -1, -1).to(dtype)


def latent(*, seed=2, batch=1, dtype=torch.float32, grid=LATENT):
    """A latent (batch, 4, rows, columns)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 4, *grid, generator=generator, dtype=torch.float64).to(dtype)


def box(top, bottom, left, right):
    """A plane that is 1 in rows top..bottom and columns left..right."""
    plane = np.zeros((SIDE, SIDE), np.float32)
    plane[top:bottom, left:right] = 1
    return plane


ORGANS = {
    "right_lung": box(10, 100, 12, 52),
    "left_lung": box(10, 100, 76, 116),
    "heart": box(60, 104, 52, 86),
}
REGION = box(60, 100, 84, 112)
EFFUSION = Target(name="pleural effusion", tokens=(3, 4), region=REGION)


def edit_task(*targets, **changes):
    """A left effusion unless other targets are given; tokens are positions in random states."""
    task = EditTask(
        image=np.full((SIDE, SIDE), 0.5, np.float32),
        organs=ORGANS,
        prompt="moderate left pleural effusion",
        targets=targets or (EFFUSION,),
        kappa=box(56, 104, 80, 116),
        organ_tokens={8: "lungs", 9: "heart"},
        special_tokens=tuple(range(12, 77)),
    )
    return replace(task, **changes)


def plan(unet, config=EVERY, task=None, *, grid=LATENT, source=None):
    """The plan of ``task`` for ``unet``."""
    dtype = unet.dtype
    return plan_laws(
        task or edit_task(),
        config,
        levels=attention_levels(unet, grid),
        source_states=states(seed=7, dtype=dtype) if source is None else source,
        dtype=dtype,
    )


def off(**parts):
    """A configuration with every attention law off, then some fields set: off(gate={...})."""
    laws = {
        "gate": {"mode": "off"},
        "anatomy": {"strength": 0.0},
        "boost": {"eta": 0.0},
        "tokens": {"regional_prompt": False},
        "correct": {"alpha_max": 0.0},
    }
    return EVERY.with_overrides(laws).with_overrides(parts)


IDLE = {"branch": "cond", "gate": False, "boost": False, "regional": False, "record": False}
ALL_ON = {"branch": "cond", "gate": True, "boost": True, "regional": True, "record": True}


@torch.no_grad()
def predict(unet, z=None, text=None, t=500):
    """The network's output, whatever is installed."""
    z = latent() if z is None else z
    text = states() if text is None else text
    return unet(z, t, encoder_hidden_states=text.expand(len(z), -1, -1)).sample


def steered(unet, made, *, z=None, text=None, t=500, **switches):
    """The output under the laws of ``made``; every switch on unless named."""
    with controlled(unet, made) as control:
        control.set(**(ALL_ON | switches))
        return predict(unet, z, text, t)


def change(unet, made, **switches):
    """Largest change of the prediction by the laws of ``made``."""
    return float((steered(unet, made, **switches) - predict(unet)).abs().max())
