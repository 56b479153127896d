# SPDX-License-Identifier: Apache-2.0
"""The quick forms of a bfloat16 network compute what the library's own forms compute."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.nn import functional as F

from monai_cxr_cf.training import quick
from monai_cxr_cf.training.generator.pipeline_folder import build_unet


def pixels(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Channels-last noise of a fixed seed."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + shape[-1]))
    return noise.to(dtype, memory_format=torch.channels_last).requires_grad_()


def apart(found: Tensor, wanted: Tensor) -> float:
    """Norm of the difference over that of the wanted."""
    return float(((found.double() - wanted.double()).norm() / wanted.double().norm()).detach())


@pytest.mark.parametrize("side", [8, 32], ids=["few cells", "many cells"])
def test_a_quick_group_norm_is_the_exact_one_to_bfloat16(side: int) -> None:
    norm = nn.GroupNorm(4, 16).to(torch.bfloat16)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, 16))
        norm.bias.copy_(torch.linspace(-1, 1, 16))
    x = pixels(3, 16, side, side, dtype=torch.bfloat16)
    pull = x.detach().roll(1, 2) * 3 + 1
    exact = F.group_norm(x.double(), 4, norm.weight.double(), norm.bias.double(), norm.eps)
    wanted = torch.autograd.grad(exact, (x, norm.weight, norm.bias), pull.double())
    quick.quicken(norm)
    assert "forward" in vars(norm)
    out = norm(x)
    found = torch.autograd.grad(out, (x, norm.weight, norm.bias), pull)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert apart(out, exact) < 0.004
    assert all(apart(a, b) < 0.006 for a, b in zip(found, wanted, strict=True))


def test_a_group_as_wide_as_a_vector_keeps_the_library_s_norm() -> None:
    wide, narrow = nn.GroupNorm(4, 64), nn.GroupNorm(4, 60)
    quick.quicken(nn.ModuleList([wide, narrow]))
    assert "forward" not in vars(wide)
    assert "forward" in vars(narrow)


def test_upsampling_in_four_kernels_is_upsampling_before_one() -> None:
    plain = Upsample2D(6, use_conv=True, out_channels=5)
    swift = copy.deepcopy(plain)
    quick.quicken(swift)
    assert "forward" in vars(swift)
    x, pull = pixels(2, 6, 5, 7), pixels(2, 5, 10, 14)
    both = []
    for module in (plain, swift):
        out = module(x)
        inputs = (x, module.conv.weight, module.conv.bias)
        both.append((out, *torch.autograd.grad(out, inputs, pull)))
    assert both[1][0].is_contiguous(memory_format=torch.channels_last)
    assert all(apart(a, b) < 1e-6 for a, b in zip(both[1], both[0], strict=True))


def test_upsampling_of_another_kind_is_left_alone() -> None:
    kinds = [Upsample2D(4), Upsample2D(4, use_conv=True, kernel_size=5, padding=2)]
    kinds.append(Upsample2D(4, use_conv_transpose=True))
    quick.quicken(nn.ModuleList(kinds))
    assert not [module for module in kinds if "forward" in vars(module)]


def tiny() -> UNet2DConditionModel:
    """A UNet of the generator's layout."""
    torch.manual_seed(0)
    return build_unet((32, 64, 64, 64), text_width=16, latent_side=16)


def test_plain_attention_is_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    stock, swift = tiny(), tiny()
    inputs = (pixels(2, 4, 16, 16), torch.tensor([3, 700]), pixels(2, 7, 1, 16)[:, :, 0])
    quick.quicken(swift)
    kinds = {n: type(p) for n, p in swift.attn_processors.items()}
    assert {n for n, kind in kinds.items() if kind is quick.PlainAttention} == {
        n for n in kinds if ".attn1." in n
    }
    wanted = stock(*inputs).sample
    assert apart(swift(*inputs).sample, wanted) < 1e-5
    before = torch.bmm
    called: list[int] = []
    monkeypatch.setattr(torch, "bmm", lambda *a: called.append(a[0].shape[1]) or before(*a))
    monkeypatch.setattr(quick, "QUERIES", 64)
    assert apart(swift(*inputs).sample, wanted) < 1e-5
    assert set(called) == {64, 16, 4}  # 256 queries went to the processor that was there


def test_a_quick_network_s_gradient_is_as_near_to_float32_as_the_library_s() -> None:
    exact = tiny()
    half = copy.deepcopy(exact).to(torch.bfloat16, memory_format=torch.channels_last)
    swift = copy.deepcopy(half)
    quick.quicken(swift)
    noisy, states = pixels(4, 4, 16, 16), pixels(4, 77, 1, 16)[:, :, 0]
    gradients = []
    for network in (exact, half, swift):
        dtype = next(network.parameters()).dtype
        out = network(noisy.to(dtype), torch.tensor([9, 99, 500, 900]), states.to(dtype)).sample
        (out.float() - noisy).square().mean().backward()
        gradients.append(torch.cat([p.grad.float().flatten() for p in network.parameters()]))
    assert apart(gradients[2], gradients[0]) < 1.15 * apart(gradients[1], gradients[0])
