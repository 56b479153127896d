# SPDX-License-Identifier: Apache-2.0
"""A square radiograph in, logits of findings out: trunk, regions, and one linear map per finding.

The trunk, an EfficientNet-Lite0 cut short, makes features; a small head finds the regions of the
chest on them; features are averaged over each region, and each finding is a linear map of the
regions it can lie in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.judges.efficientnet import DEPTH, EfficientNetLite0
from monai_cxr_cf.judges.regions import PLANES, SHAPES, SIDED, SINGLE

SPREAD = 10.0  # of the shapes, whose values lie within some tenths, to that of features
TAPS = (4, 7, 10)  # blocks whose outputs are looked at: 40, 80 and 112 channels, strides 8, 16, 16


@dataclass(frozen=True)
class Shape:
    """What a judge's network looks like; stands in config.json."""

    side: int  # px of the square it looks at
    detail: int  # px of the square that every image is brought to before: nobody sees finer
    depth: int  # blocks of the trunk
    hidden: int  # channels of the region head


class JudgeNetwork(nn.Module):
    """Trunk, region head and one linear map of pooled features to the logits of ``findings``."""

    def __init__(self, shape: Shape, findings: int) -> None:
        super().__init__()
        self.taps = tuple(tap for tap in TAPS if tap < shape.depth)
        if not self.taps or shape.depth > DEPTH:
            raise BadRequest(
                f"A trunk has {TAPS[0] + 1} to {DEPTH} blocks, not {shape.depth}.",
                hint="Set depth in the recipe, or take config.json and weights of one release.",
            )
        self.trunk = EfficientNetLite0(depth=shape.depth)
        with torch.no_grad():
            self.trunk.eval()
            self.channels = sum(f.shape[1] for f in self._levels(torch.zeros(1, 1, 64, 64)))
            self.trunk.train()
        self.region_head = nn.Sequential(
            nn.Conv2d(self.channels, shape.hidden, 1),
            nn.ReLU(),
            nn.Conv2d(shape.hidden, shape.hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(shape.hidden, shape.hidden, 3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv2d(shape.hidden, len(PLANES), 1),
        )
        self.findings = nn.Linear(pooled_size(self.channels), findings)

    def _levels(self, x: Tensor) -> list[Tensor]:
        """(B, 1, S, S) in [0, 1] -> features, fine to coarse; grey becomes three equal channels."""
        return self.trunk.levels((2 * x - 1).expand(-1, 3, -1, -1), self.taps)

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, S, S) in [0, 1] -> features (B, C, S/8, S/8), region logits (B, planes, same)."""
        levels = self._levels(x)
        grid = levels[0].shape[-2:]
        joined = torch.cat([functional.interpolate(f, grid) for f in levels], 1)
        return joined, self.region_head(joined)

    def pooled(self, x: Tensor) -> Tensor:
        """(B, 1, S, S) in [0, 1] -> (B, D) features per region and shapes, float32.

        Means of the image and its mirror image, so that a finding weighs the same on either side.
        """
        (features, regions), (mirrored, others) = self.look(x), self.look(x.flip(-1))
        own = pool(features.float(), torch.sigmoid(regions.float()))
        return (own + pool(mirrored.float(), torch.sigmoid(others.float()))) / 2

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, S, S) in [0, 1] -> (B, findings) logits, float32."""
        return self.findings(self.pooled(x))  # type: ignore[no-any-return]


def pooled_size(channels: int) -> int:
    """Length of the pooled features of ``channels`` trunk channels."""
    return channels * (2 * len(SIDED) + len(SINGLE)) + len(SHAPES)


def pool(features: Tensor, regions: Tensor) -> Tensor:
    """Features averaged over each region.

    m_r = sum_p w_rp f_p / sum_p w_rp. The two sides of a zone give their mean and their maximum,
    so that a finding weighs the same on either side.

    Args:
        features: (B, C, g, g).
        regions: (B, planes, g, g) in 0..1.

    Returns:
        (B, C (2 zones + singles) + shapes), laid out as ``regions.columns_of`` says.
    """
    weights = regions / (regions.sum((2, 3), keepdim=True) + 1e-3)
    means = torch.einsum("brhw,bchw->brc", weights, features)
    count = len(SIDED)
    right, left, single = means[:, :count], means[:, count : 2 * count], means[:, 2 * count :]
    parts = [(right + left) / 2, torch.maximum(right, left), single]
    return torch.cat([*(part.flatten(1) for part in parts), SPREAD * shapes(regions)], 1)


def shapes(regions: Tensor) -> Tensor:
    """(B, planes, g, g) in 0..1 -> (B, 5) measures of size and form, as named in ``SHAPES``."""
    heart, lungs = regions[:, PLANES.index("heart")], regions[:, PLANES.index("lungs")]
    thirds = [SIDED.index(zone) for zone in ("upper", "mid", "lower")]
    right = regions[:, thirds].sum((1, 2, 3))
    left = regions[:, [len(SIDED) + k for k in thirds]].sum((1, 2, 3))
    width = torch.maximum(heart, lungs).amax(1).sum(1) + 1e-3
    heart_area, lung_area = heart.sum((1, 2)), lungs.sum((1, 2)) + 1e-3
    return torch.stack(
        [
            heart.amax(1).sum(1) / width,
            heart_area / lung_area,
            lungs.amax(2).sum(1) / width,
            heart_area.sqrt() / width,
            (right - left).abs() / (right + left + 1e-3),
        ],
        1,
    )
