# SPDX-License-Identifier: Apache-2.0
"""A bfloat16 network in, the same network in forms that a CPU trains quickly out.

Three forms are exchanged, none of them changes what is computed beyond rounding: group norm (the
library's channels-last bfloat16 kernel goes element by element where groups are narrow), attention
(its flash kernel runs far below two plain products at these sizes), and nearest-neighbour
upsampling before a 3x3 convolution (four 2x2 convolutions of the small picture are less work).
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MethodType
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextModel

LANES = 16  # channels a group from which the library's own kernel is quick
CELLS = 1024  # cells a picture from which its forward pass is quick
QUERIES = 1024  # of an attention whose weights are held in memory, at most


class _WideNorm(torch.autograd.Function):
    """Group norm of a channels-last bfloat16 picture, the backward pass in float32."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
    ) -> Tensor:
        count, channels, height, width = x.shape
        given = (x, weight, bias)
        if height * width < CELLS:
            given = (x.float(), weight.float(), bias.float())
        sizes = (count, channels, height * width, groups)
        out, mean, rstd = torch.ops.aten.native_group_norm(*given, *sizes, eps)
        ctx.save_for_backward(x, weight, mean, rstd)
        ctx.sizes = sizes
        return out.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, rstd = ctx.saved_tensors
        wide = [t.float() for t in (grads[0], x, mean, rstd, weight)]
        found = torch.ops.aten.native_group_norm_backward(*wide, *ctx.sizes, [True, True, True])
        return (*(g.to(x.dtype) for g in found), None, None)


def _norm(self: nn.GroupNorm, x: Tensor) -> Tensor:
    if x.dim() == 4 and not x.is_contiguous():
        return _WideNorm.apply(x, self.weight, self.bias, self.num_groups, self.eps)  # type: ignore[no-untyped-call]
    return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class PlainAttention:
    """Self-attention by two products; the weights are held, so only for few queries."""

    def __init__(self, other: Any) -> None:
        self.other = other

    def __call__(self, attn: Any, hidden_states: Tensor, *rest: Any, **words: Any) -> Tensor:
        """(B, N, C) -> (B, N, C); more than ``QUERIES`` go to the processor it stands for."""
        if hidden_states.shape[1] > QUERIES:
            return self.other(attn, hidden_states, *rest, **words)
        query, key, value = (
            attn.head_to_batch_dim(to(hidden_states)) for to in (attn.to_q, attn.to_k, attn.to_v)
        )
        weights = torch.bmm(query * attn.scale, key.transpose(1, 2)).softmax(-1)
        out = attn.batch_to_head_dim(torch.bmm(weights, value))
        return attn.to_out[1](attn.to_out[0](out))


def four_kernels(weight: Tensor) -> Tensor:
    """(O, I, 3, 3) -> (4 O, I, 2, 2): one kernel for each place in a cell doubled.

    Row 0 of a doubled cell sees the row above once and its own row twice, row 1 its own row twice
    and the row below once; columns alike.
    """
    fold = weight.new_tensor([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])
    kernels = torch.einsum("yar,xbc,oirc->yxoiab", fold, fold, weight)
    return kernels.reshape(-1, *kernels.shape[3:])


class _Interleave(torch.autograd.Function):
    """(B, 4 O, H + 1, W + 1) of ``four_kernels`` -> (B, O, 2 H, 2 W), both channels-last."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor) -> Tensor:
        count, channels, high, wide = parts.shape
        ctx.shape = parts.shape
        out = parts.new_empty(count, high - 1, 2, wide - 1, 2, channels // 4)
        for place, inside in _places(parts.permute(0, 2, 3, 1), channels // 4):
            out[:, :, place[0], :, place[1]] = inside
        return out.view(count, 2 * high - 2, 2 * wide - 2, -1).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        count, channels, high, wide = ctx.shape
        cells = grads[0].permute(0, 2, 3, 1)
        cells = cells.reshape(count, high - 1, 2, wide - 1, 2, channels // 4)
        back = cells.new_zeros(count, high, wide, channels)
        for place, inside in _places(back, channels // 4):
            inside.copy_(cells[:, :, place[0], :, place[1]])
        return back.permute(0, 3, 1, 2)


def _places(parts: Tensor, channels: int) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Each place in a doubled cell and its view of (B, H + 1, W + 1, 4 O)."""
    high, wide = parts.shape[1] - 1, parts.shape[2] - 1
    for number, (y, x) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        last = slice(number * channels, (number + 1) * channels)
        yield (y, x), parts[:, y : y + high, x : x + wide, last]


def _upsample(self: Upsample2D, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
    conv: Any = self.conv
    kernels = four_kernels(conv.weight).contiguous(memory_format=torch.channels_last)
    parts = F.conv2d(hidden_states, kernels, conv.bias.repeat(4), padding=1)
    return _Interleave.apply(parts)  # type: ignore[no-untyped-call]


def _plain(module: Upsample2D) -> bool:
    """Whether it is nearest-neighbour doubling and a 3x3 convolution, nothing else."""
    conv = module.conv
    other = module.use_conv_transpose or not module.interpolate or module.norm is not None
    return not other and isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3)


def quicken(network: nn.Module) -> None:
    """Exchange group norms, self-attention and the text encoder's attention where it helps."""
    for module in network.modules():
        if isinstance(module, nn.GroupNorm) and module.num_channels < LANES * module.num_groups:
            module.forward = MethodType(_norm, module)  # type: ignore[method-assign]
        if isinstance(module, Upsample2D) and _plain(module):
            module.forward = MethodType(_upsample, module)
        if isinstance(module, ResnetBlock2D):
            module.training = False  # in training it copies the picture into another layout
        if isinstance(module, UNet2DConditionModel):
            module.set_attn_processor(
                {
                    name: PlainAttention(old) if ".attn1." in name else old
                    for name, old in module.attn_processors.items()
                }
            )
        if isinstance(module, CLIPTextModel):
            module.set_attn_implementation("eager")
