# SPDX-License-Identifier: Apache-2.0
"""A bfloat16 UNet: laws compute in float32 and round once, and looking changes no bit."""

from types import SimpleNamespace

import pytest
import torch

from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.attention.processors import SteeredCross, SteeredSelf
from monai_cxr_cf.diffusion.correction.correction import Correction
from monai_cxr_cf.diffusion.laws.specification import HardPartition, MaskGate, Partition, TokenGain
from tests.diffusion.attention.test_processors import attention, control
from tests.diffusion.small import ALL_ON, LATENT, latent, off, plan, small_unet, states

HALF = torch.bfloat16
CELLS = torch.tensor([0.0, 0.1, 0.3, 0.7, 0.9, 1.0])
GATES = {
    "keys": MaskGate(CELLS, side="keys"),
    "outer": MaskGate(CELLS, side="outer", lam=0.7),
    "renormalised": MaskGate(CELLS, renorm=True),
    "partition": Partition(torch.stack([CELLS, 1 - CELLS], 1)),
    "hard": HardPartition(torch.tensor([0, 0, 1, 1, -1, 1])),
}
CROSS = {
    "gain": {"gain": TokenGain((2, 4), torch.linspace(0.1, 2.5, 12).view(2, 6))},
    "renormalised gain": {"gain": TokenGain((4,), torch.linspace(0.1, 2.5, 6)[None], renorm=True)},
}
LAYER = SimpleNamespace(level=0, grid=(2, 3), name="layer")


def halved(*, cross: bool):
    """A layer in bfloat16, and the same weights in float32."""
    half = attention(cross=cross).to(HALF)
    wide = attention(cross=cross).float()
    wide.load_state_dict({name: value.float() for name, value in half.state_dict().items()})
    return half, wide


def projected(attn, out):
    """(B, heads, N, d) through the output projection of a layer."""
    joined = out.transpose(1, 2).flatten(2).to(attn.to_out[0].weight.dtype)
    return attn.to_out[1](attn.to_out[0](joined)) / attn.rescale_output_factor


@torch.no_grad()
@pytest.mark.parametrize("name", list(GATES))
def test_a_gate_is_that_of_float32_on_the_same_keys_rounded_once(name):
    half, _ = halved(cross=False)
    hidden = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(2)).to(HALF)
    switches = control()
    switches.plan.gates = {0: GATES[name]}
    q, k, v = (
        norm(to(hidden).view(2, 6, 2, 8).transpose(1, 2)).float()
        for norm, to in (
            (half.norm_q, half.to_q), (half.norm_k, half.to_k), (torch.nn.Identity(), half.to_v),
        )
    )  # fmt: skip
    probs = (q @ k.transpose(-1, -2) * 8**-0.5).softmax(-1)
    exact = GATES[name](probs) @ v
    steered = SteeredSelf(switches, LAYER, None)
    inside = steered.steer(half, hidden, None)
    assert inside.dtype == torch.float32
    assert (inside - exact).abs().max() < 2e-6
    found = steered(half, hidden)
    assert found.dtype == HALF
    assert torch.equal(found, projected(half, inside))


@torch.no_grad()
@pytest.mark.parametrize("name", list(CROSS))
def test_gains_and_recorded_columns_are_float32(name):
    half, _ = halved(cross=True)
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(1, 6, 16, generator=generator).to(HALF)
    text = torch.randn(1, 9, 12, generator=generator).to(HALF)
    switches = control(record=True, **CROSS[name])
    inside = SteeredCross(switches, LAYER, None).steer(half, hidden, text)
    q = half.norm_q(half.to_q(hidden).view(1, 6, 2, 8).transpose(1, 2)).float()
    k = half.norm_k(half.to_k(text).view(1, 9, 2, 8).transpose(1, 2)).float()
    v = half.to_v(text).view(1, 9, 2, 8).transpose(1, 2).float()
    probs = (q @ k.transpose(-1, -2) * 8**-0.5).softmax(-1)
    assert inside.dtype == torch.float32
    assert (inside - CROSS[name]["gain"](probs) @ v).abs().max() < 2e-6
    (columns,) = switches.stored
    assert columns.dtype == torch.float32
    assert (columns - probs[..., [4, 2]].mean(1)).abs().max() < 1e-6


@torch.no_grad()
def test_looking_at_a_bfloat16_layer_changes_no_bit():
    half, _ = halved(cross=True)
    generator = torch.Generator().manual_seed(4)
    hidden = torch.randn(1, 6, 16, generator=generator).to(HALF)
    text = torch.randn(1, 9, 12, generator=generator).to(HALF)
    plain = half(hidden, encoder_hidden_states=text)
    switches = control(record=True)
    found = SteeredCross(switches, LAYER, None)(half, hidden, encoder_hidden_states=text)
    assert torch.equal(found, plain)
    assert switches.stored[0].dtype == torch.float32


def test_energy_and_gradient_of_a_bfloat16_unet_come_in_float32():
    unet, z = small_unet(dtype=HALF), latent(dtype=torch.float32)
    made = plan(unet, off(correct={"alpha_max": 0.05}))
    with controlled(unet, made) as switches:
        switches.set(**ALL_ON)
        correction = Correction(unet, switches, made)
        leaf, scores, value = correction._look(z, 900, states(dtype=HALF))
        gradient = correction._slope(value, leaf)
    assert z.shape[-2:] == LATENT
    assert value.dtype == gradient.dtype == torch.float32
    assert all(s.dtype == torch.float32 for s in scores.per_finding().values())
    assert gradient.isfinite().all()
    assert float(gradient.abs().max()) > 0
