# SPDX-License-Identifier: Apache-2.0
"""What decides a judge besides the data: its recipe, and what its network learns by."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from monai_cxr_cf.judges.efficientnet import load_imagenet
from monai_cxr_cf.judges.networks import JudgeNetwork, Shape, pool
from monai_cxr_cf.judges.regions import columns_of
from monai_cxr_cf.training.classifier.labels import ASIDE, OPACITY


@dataclass(frozen=True)
class ClassifierRecipe:
    """Everything that decides a judge besides the data."""

    judge: str = "j1"  # whose patients: j1 or j2
    side: int = 128  # px, square
    detail: int = 128  # px of the square that every image is brought to first
    depth: int = 8  # blocks of EfficientNet-Lite0, from ImageNet weights
    frozen: int = 3  # of them that stay as they are, and the stem
    hidden: int = 32  # channels of the region head
    findings: tuple[str, ...] = ()  # names of the vocabulary
    apart: tuple[str, ...] = ()  # findings learnt among patients who are ill otherwise, and among
    # those who are not, so that being ill is not taken for the finding
    batch: int = 32
    steps: int = 2000
    learning_rate: float = 5e-4  # of the trunk
    head_rate: float = 2e-3  # of the maps and the region head
    warmup: int = 50
    weight_decay: float = 1e-3
    head_decay: float = 0.05
    dropout: float = 0.3  # of the pooled features
    region_weight: float = 1.0  # of the loss on the regions
    ema_decay: float = 0.998
    precision: str = "no"  # accelerate's mixed_precision
    seed: int = 5
    check_every: int = 200  # steps between validation, curves and checkpoint

    def shape(self) -> Shape:
        """The network's own settings."""
        return Shape(self.side, self.detail, self.depth, self.hidden)

    def learnt(self) -> tuple[str, ...]:
        """All that is learnt: the findings, then what no judge speaks of."""
        return (*self.findings, *ASIDE, OPACITY)

    def build(self) -> JudgeNetwork:
        """The untrained network, drawn from ``seed``; its trunk has ImageNet weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = JudgeNetwork(self.shape(), len(self.findings))
        load_imagenet(network.trunk)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Lesson(nn.Module):
    """A judge's network with what only its training needs: maps to what no judge speaks of."""

    def __init__(self, recipe: ClassifierRecipe) -> None:
        super().__init__()
        self.network = recipe.build()
        maps = self.network.findings
        self.aside = nn.Linear(maps.in_features, len(recipe.learnt()) - len(recipe.findings))
        self.dropout = nn.Dropout(recipe.dropout)
        for linear in (maps, self.aside):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        channels = self.network.channels
        sees = [columns_of(finding, channels) for finding in recipe.findings]
        self.sees: Tensor
        mask = torch.from_numpy(np.array(sees, np.float32).reshape(-1, maps.in_features))
        self.register_buffer("sees", mask, persistent=False)
        self.trunk_frozen = [
            self.network.trunk.stem,
            *list(self.network.trunk.blocks)[: recipe.frozen],
        ]
        for part in self.trunk_frozen:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "Lesson":
        """Training mode; what is frozen keeps its own statistics."""
        super().train(mode)
        for part in self.trunk_frozen:
            part.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, S, S) -> logits of all that is learnt (B, F), region logits (B, planes, S/8, S/8).

        A finding sees only the regions that it can lie in.
        """
        features, regions = self.network.look(images)
        features, regions = features.float(), regions.float()
        pooled = self.dropout(pool(features, torch.sigmoid(regions)))
        maps = self.network.findings
        logits = nn.functional.linear(pooled, maps.weight * self.sees, maps.bias)
        return torch.cat([logits, self.aside(pooled)], 1), regions


def region_loss(logits: Tensor, regions: Tensor) -> Tensor:
    """How far region logits (B, planes, g, g) lie from covered shares (B, planes, g, g)."""
    p = torch.sigmoid(logits)
    both, total = (p * regions).sum((2, 3)), (p.square() + regions.square()).sum((2, 3))
    overlap = 1 - (2 * both / (total + 1)).mean()
    return 4 * nn.functional.binary_cross_entropy_with_logits(logits, regions) + overlap


def finding_loss(logits: Tensor, labels: Tensor, odds: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy over what is said.

    Args:
        logits: (B, F).
        labels: (B, F), NaN where nobody says.
        odds: (B, F) log odds of each finding in the row's stratum.
        weights: (F,) of the findings.
    """
    known = ~torch.isnan(labels)
    loss = nn.functional.binary_cross_entropy_with_logits(
        logits + odds, torch.where(known, labels, torch.zeros_like(labels)), reduction="none"
    )
    return (loss * known * weights).sum() / len(labels)
