# SPDX-License-Identifier: Apache-2.0
"""The Inception-v3 of published FIDs (the port of 2015), its 2,048 pooled features.

Keys as that port has them. Beside torchvision's Inception it leaves the rim out of averages, and
its last block takes a maximum.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Size = int | tuple[int, int]
WIDE: tuple[Size, Size] = ((1, 7), (0, 3))  # kernel, padding
TALL: tuple[Size, Size] = ((7, 1), (3, 0))
Plan = Sequence[tuple[str, int, Size, int, Size]]  # name, channels, kernel, stride, padding


class Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, given: int, made: int, kernel: Size, stride: int, padding: Size) -> None:
        super().__init__()
        self.conv = nn.Conv2d(given, made, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(made, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        return F.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """Chains of units side by side, and a pooled one; ``split`` chains end in two units each.

    Args:
        chains: name of the first unit -> the chain; a chain that ends with a list of two is split.
        pool: ``mean``, ``max`` (both of stride 1, then unit ``branch_pool``) or ``down``.
    """

    def __init__(self, given: int, chains: Sequence[Sequence[Plan]], pool: str, made: int) -> None:
        super().__init__()
        self.names: list[list[list[str]]] = []
        for chain in chains:
            width, steps = given, []
            for step in chain:  # one unit, or two that read the same
                for name, channels, kernel, stride, padding in step:
                    self.add_module(name, Unit(width, channels, kernel, stride, padding))
                steps.append([unit[0] for unit in step])
                width = step[0][1]
            self.names.append(steps)
        self.pool = pool
        if pool != "down":
            self.branch_pool = Unit(given, made, 1, 1, 0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        found = []
        for steps in self.names:
            now = [x]
            for step in steps:
                now = [self.get_submodule(name)(now[0]) for name in step]
            found += now
        return torch.cat([*found, self._pooled(x)], 1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "down":
            return F.max_pool2d(x, 3, 2)
        if self.pool == "max":
            pooled = F.max_pool2d(x, 3, 1, 1)
        else:
            pooled = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        out: Tensor = self.branch_pool(pooled)
        return out


def _one(name: str, made: int, kernel: Size = 1, padding: Size = 0, stride: int = 1) -> Plan:
    return [(name, made, kernel, stride, padding)]


def _a(given: int, pool: int) -> Block:
    return Block(given, [
        [_one("branch1x1", 64)],
        [_one("branch5x5_1", 48), _one("branch5x5_2", 64, 5, 2)],
        [_one("branch3x3dbl_1", 64), _one("branch3x3dbl_2", 96, 3, 1),
         _one("branch3x3dbl_3", 96, 3, 1)],
    ], "mean", pool)  # fmt: skip


def _c(c: int) -> Block:
    dbl = "branch7x7dbl_"
    return Block(768, [
        [_one("branch1x1", 192)],
        [_one("branch7x7_1", c), _one("branch7x7_2", c, *WIDE), _one("branch7x7_3", 192, *TALL)],
        [_one(f"{dbl}1", c), _one(f"{dbl}2", c, *TALL), _one(f"{dbl}3", c, *WIDE),
         _one(f"{dbl}4", c, *TALL), _one(f"{dbl}5", 192, *WIDE)],
    ], "mean", 192)  # fmt: skip


def _e(given: int, pool: str) -> Block:
    def both(name: str) -> Plan:
        return [(f"{name}a", 384, (1, 3), 1, (0, 1)), (f"{name}b", 384, (3, 1), 1, (1, 0))]

    return Block(given, [
        [_one("branch1x1", 320)],
        [_one("branch3x3_1", 384), both("branch3x3_2")],
        [_one("branch3x3dbl_1", 448), _one("branch3x3dbl_2", 384, 3, 1), both("branch3x3dbl_3")],
    ], pool, 192)  # fmt: skip


class InceptionFid(nn.Module):
    """(N, 3, 299, 299) in -1..1 -> (N, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, 2, 0)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3, 1, 0)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3, 1, 1)
        self.Conv2d_3b_1x1 = Unit(64, 80, 1, 1, 0)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3, 1, 0)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _a(192, 32), _a(256, 64), _a(288, 64)
        self.Mixed_6a = Block(288, [
            [_one("branch3x3", 384, 3, 0, 2)],
            [_one("branch3x3dbl_1", 64), _one("branch3x3dbl_2", 96, 3, 1),
             _one("branch3x3dbl_3", 96, 3, 0, 2)],
        ], "down", 0)  # fmt: skip
        self.Mixed_6b, self.Mixed_6c = _c(128), _c(160)
        self.Mixed_6d, self.Mixed_6e = _c(160), _c(192)
        self.Mixed_7a = Block(768, [
            [_one("branch3x3_1", 192), _one("branch3x3_2", 320, 3, 0, 2)],
            [_one("branch7x7x3_1", 192), _one("branch7x7x3_2", 192, *WIDE),
             _one("branch7x7x3_3", 192, *TALL), _one("branch7x7x3_4", 192, 3, 0, 2)],
        ], "down", 0)  # fmt: skip
        self.Mixed_7b, self.Mixed_7c = _e(1280, "mean"), _e(2048, "max")

    def forward(self, x: Tensor) -> Tensor:
        """The pooled features."""
        for name, layer in self.named_children():
            x = layer(x)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = F.max_pool2d(x, 3, 2)
        return x.mean((2, 3))
