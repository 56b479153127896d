# SPDX-License-Identifier: Apache-2.0
"""Compiled blocks give what the others give, under every law and with gradients."""

import shutil

import pytest
import torch
from diffusers.models.attention import FeedForward
from diffusers.models.resnet import ResnetBlock2D
from torch._dynamo.utils import counters

from monai_cxr_cf.diffusion.model import compiled
from monai_cxr_cf.diffusion.model.compiled import compile_blocks
from monai_cxr_cf.diffusion.model.recall import identity
from monai_cxr_cf.diffusion.model.tiny import tiny_backbone
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.errors import ComponentMissing
from tests.diffusion.small import EVERY, off

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, compiled.COMPILERS)), reason="no C++ compiler on this machine"
)


@needs_compiler
def test_an_edit_by_compiled_blocks_is_the_edit(tiny, task) -> None:
    config = EVERY.with_overrides({"sampling": {"steps": 6}})
    plain = sample(tiny, task, config, seeds=[1])
    other = tiny_backbone(side=tiny.side)
    other.unet.load_state_dict(tiny.unet.state_dict())
    compile_blocks(other.unet, device="cpu", backend="aot_eager")  # traced, but nothing is built
    other.compiled = True
    fast = sample(other, task, config, seeds=[1])
    assert any(m._compiled_call_impl is not None for m in other.unet.modules())
    assert fast.trace["backbone"]["compiled"] is True
    assert "compiled" not in plain.trace["backbone"]
    torch.testing.assert_close(fast.z, plain.z, atol=2e-4, rtol=0)


@needs_compiler
def test_every_block_is_compiled_however_many_there_are(tiny, task) -> None:
    """PyTorch gives up after eight shapes of one kind of block, unless each is told apart."""
    other = tiny_backbone(side=tiny.side)
    blocks = [m for m in other.unet.modules() if isinstance(m, ResnetBlock2D | FeedForward)]
    compile_blocks(other.unet, device="cpu", backend="aot_eager")
    counters["frames"].clear()
    sample(other, task, off(sampling={"steps": 2}), seeds=[1])
    assert len(blocks) > 16
    assert counters["frames"] == {"total": len(blocks), "ok": len(blocks)}


@needs_compiler
def test_a_block_that_was_built_gives_what_it_gave() -> None:
    unet = torch.nn.Sequential(FeedForward(32, mult=2))
    x = torch.linspace(-1, 1, 4 * 32).reshape(1, 4, 32).requires_grad_()
    plain = unet(x)
    (gradient,) = torch.autograd.grad(plain.sum(), x)
    compile_blocks(unet, device="cpu")
    built = unet(x)
    torch.testing.assert_close(built, plain, atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.autograd.grad(built.sum(), x)[0], gradient, atol=1e-6, rtol=0)


def test_nothing_kept_by_one_is_recalled_by_the_other(tiny) -> None:
    before = identity(tiny)
    tiny.compiled = True
    try:
        assert identity(tiny) != before
    finally:
        tiny.compiled = False


def test_a_cpu_without_a_compiler_is_told(tiny, monkeypatch) -> None:
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    with pytest.raises(ComponentMissing, match="no C\\+\\+ compiler"):
        compile_blocks(tiny.unet, device="cpu")
    assert all(m._compiled_call_impl is None for m in tiny.unet.modules())
