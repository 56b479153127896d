# SPDX-License-Identifier: Apache-2.0
"""What decides a judge besides the data: its recipe, and the network of its first stage."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from monai_cxr_cf.judges.efficientnet import load_imagenet
from monai_cxr_cf.judges.networks import JudgeNetwork, LiteTrunk, Shape, pool
from monai_cxr_cf.training.classifier.data import (
    zone_figures,
)


@dataclass(frozen=True)
class ClassifierRecipe:
    """Everything that decides a judge besides the data."""

    judge: str = "j1"  # whose patients: j1 or j2
    trunk: str = "densenet"  # densenet, or efficientnet_lite0 with ImageNet weights, frozen
    side: int = 256  # px, square
    width: int = 24  # densenet: channels of the stem
    growth: int = 12  # densenet: channels each layer adds
    blocks: tuple[int, ...] = (3, 6, 8)  # densenet: layers per block
    hidden: int = 48  # channels of the region head
    findings: tuple[str, ...] = ()  # names of the vocabulary
    batch: int = 16
    steps: int = 1500
    learning_rate: float = 2e-3
    warmup: int = 30
    weight_decay: float = 1e-3
    grey_weight: float = 0.5  # of the loss on the zones' brightness and contrast
    ema_decay: float = 0.99
    precision: str = "bf16"  # accelerate's mixed_precision
    seed: int = 5
    check_every: int = 100  # steps between validation, curves and checkpoint
    copies: int = 4  # versions of a labelled image that a finding's map learns from
    prose_weight: float = 0.0  # of a finding that a written reading leaves out; 0: no readings
    ridges: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)  # penalties tried by cross-validation

    def shape(self) -> Shape:
        """The network's own settings."""
        return Shape(self.trunk, self.side, self.width, self.growth, self.blocks, self.hidden)

    def build(self) -> JudgeNetwork:
        """The untrained network, drawn from ``seed``; a Lite trunk gets its ImageNet weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = JudgeNetwork(self.shape(), len(self.findings))
        if isinstance(network.trunk, LiteTrunk):
            load_imagenet(network.trunk.net)
            network.trunk.requires_grad_(False)
        network.findings.requires_grad_(False)  # solved, not descended to
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Pretext(nn.Module):
    """A judge's network with what only its first stage needs: a map to the zones' grey values."""

    def __init__(self, network: JudgeNetwork) -> None:
        super().__init__()
        self.network = network
        self.grey = nn.Linear(network.channels, 2)

    def forward(self, images: Tensor, regions: Tensor) -> dict[str, Tensor]:
        """(B, 1, S, S), (B, planes, S/8, S/8) -> losses ``regions``, ``overlap`` and ``grey``."""
        features, logits = self.network.look(images)
        features, logits = features.float(), logits.float()
        weights = regions / (regions.sum((2, 3), keepdim=True) + 1e-3)
        means = torch.einsum("brhw,bchw->brc", weights, features)
        seen = (regions.sum((2, 3)) > 0.5).float()[..., None]
        error = (self.grey(means) - 4 * zone_figures(images, regions)).square() * seen
        p = torch.sigmoid(logits)
        both, total = (p * regions).sum((2, 3)), (p.square() + regions.square()).sum((2, 3))
        return {
            "regions": nn.functional.binary_cross_entropy_with_logits(logits, regions),
            "overlap": 1 - (2 * both / (total + 1)).mean(),
            "grey": error.mean(),
        }


@torch.no_grad()
def pooled_features(network: JudgeNetwork, images: Tensor) -> Tensor:
    """(N, 1, S, S) in 0..1 -> (N, D) pooled features, in batches, float32."""
    parts = []
    for batch in torch.split(images, 16):
        features, regions = network.look(batch)
        parts.append(pool(features.float(), torch.sigmoid(regions.float())))
    return torch.cat(parts)
