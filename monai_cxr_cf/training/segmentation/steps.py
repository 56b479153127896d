# SPDX-License-Identifier: Apache-2.0
"""A training set and a step number in, an augmented batch and the losses of both segmenters out.

Rows differ in what is drawn on them: landmarks, lung masks, hearts only in JSRT. Every loss
therefore carries a mask of what is known and says nothing about the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_cxr_cf.anatomy.hybridgnet import CONTOURS, HybridGNet, coarse_nodes, halve
from monai_cxr_cf.training.segmentation.augment import (
    Augmentation,
    expose,
    random_affine,
    to_input,
    to_output,
    warp,
)
from monai_cxr_cf.training.segmentation.data import SegmentationSet


@dataclass(frozen=True)
class Batch:
    """B augmented radiographs with whatever is known about each."""

    images: Tensor  # (B, 1, S, S) float32
    labels: Tensor  # (B, S, S) int64: 0 rest, 1 right lung, 2 left lung, 3 heart
    known: Tensor  # (B, 3) float32: organ drawn in labels
    landmarks: Tensor  # (B, 120, 2) fractions
    marked: Tensor  # (B, 120) float32: landmark known
    distance: Tensor  # (B, 2, S, S) float32: pixels to each lung's outline, before the warp
    theta: Tensor  # (B, 2, 3) output -> input coordinates


class Sampler:
    """Draws batches from a set with fixed shares of hearts, other landmarks and masks only."""

    def __init__(
        self, data: SegmentationSet, shares: tuple[int, int, int], augmentation: Augmentation
    ) -> None:
        self.images = torch.from_numpy(data.images)
        self.labels = torch.from_numpy(data.labels)
        self.known = torch.from_numpy(data.known).float()
        self.landmarks = torch.from_numpy(data.landmarks)
        self.marked = torch.from_numpy(data.marked).float()
        self.distance = torch.from_numpy(data.distance)
        self.augmentation = augmentation
        heart = self.known[:, 2] > 0
        lungs = (self.marked[:, 0] > 0) & ~heart
        groups = [g.nonzero().flatten() for g in (heart, lungs, ~heart & ~lungs)]
        self.groups = [(g, n) for g, n in zip(groups, shares, strict=True) if len(g) and n]

    def draw(self, generator: torch.Generator) -> Batch:
        """One augmented batch; everything random comes from ``generator``."""
        pick = torch.cat(
            [g[torch.randint(len(g), (n,), generator=generator)] for g, n in self.groups]
        )
        raw = Batch(
            images=self.images[pick].float().unsqueeze(1) / 255.0,
            labels=self.labels[pick].long(),
            known=self.known[pick],
            landmarks=self.landmarks[pick],
            marked=self.marked[pick].repeat_interleave(torch.tensor(CONTOURS), 1),
            distance=self.distance[pick].float(),
            theta=torch.eye(2, 3).expand(len(pick), 2, 3),
        )
        return augmented(raw, self.augmentation, generator)


def augmented(raw: Batch, config: Augmentation, generator: torch.Generator) -> Batch:
    """The batch warped and re-exposed; everything random comes from ``generator``.

    ``raw`` holds images in 0..1 and an identity ``theta``; its distance maps stay as they are.
    """
    count = len(raw.images)
    theta = random_affine(count, config, generator)
    fill = torch.randint(0, 3, (count, 1, 1, 1), generator=generator) / 2.0
    images, labels = warp(raw.images, raw.labels.float().unsqueeze(1), theta, fill)
    return replace(
        raw,
        images=expose(images, config, generator),
        labels=labels.squeeze(1).long(),
        landmarks=to_output(raw.landmarks, theta),
        theta=theta,
    )


def landmark_losses(
    model: HybridGNet, batch: Batch, generator: torch.Generator, precision: torch.dtype
) -> dict[str, Tensor]:
    """Mean losses of the landmark network on one batch, see ``losses_of``."""
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        outputs = landmark_outputs(model, batch.images, generator)
    return losses_of(outputs, batch)


def landmark_outputs(
    model: HybridGNet, images: Tensor, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """What the losses look at: ``stage0`` to ``stage4`` (B, n, 2) fractions, ``scores``
    (B, 3, s, s), ``mean`` and ``log_variance`` (B, latent) of the bottleneck, all float32.

    The latent is drawn with ``generator``; None = torch's own.
    """
    maps = [m.float() for m in model.features(images)]
    mean, log_variance = model.encode(maps[0])
    noise = torch.randn(mean.shape, generator=generator).to(mean.device)
    stages = model.decode(mean + noise * torch.exp(0.5 * log_variance), maps)
    found = {f"stage{i}": xy for i, xy in enumerate(stages)}
    found |= {"scores": model.dense(maps[3]), "mean": mean, "log_variance": log_variance}
    return {name: value.float() for name, value in found.items()}


def losses_of(outputs: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """Mean losses from ``landmark_outputs``, lengths in hundredths of the side.

    ``points``: smooth L1 of every stage against the landmarks (later stages count more);
    ``outline``: distance of lung landmarks to the drawn outline where only a mask is known;
    ``dense``: cross-entropy of the auxiliary organ scores; ``kl``: of the bottleneck.
    """
    mean, log_variance = outputs["mean"], outputs["log_variance"]
    stages = [outputs[f"stage{i}"] for i in range(5)]
    half, full = coarse_nodes(CONTOURS), torch.arange(sum(CONTOURS))
    quarter = half[coarse_nodes(halve(CONTOURS))]
    points = torch.zeros((), device=mean.device)
    for xy, nodes, weight in zip(
        stages, (quarter, quarter, half, full, full), (0.25, 0.5, 0.5, 1.0, 1.0), strict=True
    ):
        error = F.smooth_l1_loss(
            100 * xy, 100 * batch.landmarks[:, nodes], reduction="none", beta=0.5
        )
        points = points + weight * _mean(error.sum(2), batch.marked[:, nodes])
    return {
        "points": points,
        "outline": outline_loss(stages[-1], batch) + 0.5 * outline_loss(stages[-2], batch),
        "dense": dense_loss(outputs["scores"], batch),
        "kl": -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean(),
    }


def outline_loss(xy: Tensor, batch: Batch) -> Tensor:
    """Distance of lung landmarks to the drawn outline, in hundredths of the side.

    Only rows with masks but no landmarks. The distance map is looked up before the warp, where it
    was computed: the warp's own matrix takes each landmark there.
    """
    at = to_input(xy, batch.theta)
    side = batch.distance.shape[-1]
    lengths = []
    for lung, nodes in enumerate((slice(0, 44), slice(44, 94))):
        grid = at[:, nodes].unsqueeze(2)
        far = F.grid_sample(
            batch.distance[:, lung : lung + 1], grid, padding_mode="border", align_corners=False
        )
        lengths.append(far.flatten(1) * (100.0 / side))
    known = batch.known[:, :1] * (1 - batch.marked[:, :1])
    return _mean(torch.cat(lengths, 1), known.expand(-1, 94))


def dense_loss(scores: Tensor, batch: Batch) -> Tensor:
    """Binary cross-entropy of (B, 3, s, s) organ scores against area-pooled labels."""
    organs = torch.stack([(batch.labels == k).float() for k in (1, 2, 3)], 1)
    target = F.adaptive_avg_pool2d(organs, (scores.shape[2], scores.shape[3]))
    error = F.binary_cross_entropy_with_logits(scores, target, reduction="none").mean((2, 3))
    return _mean(error, batch.known)


def pixel_losses(logits: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Cross-entropy and soft Dice of (B, 4, S, S) logits.

    Where no heart is drawn, heart and background count as one class: their probabilities add up.
    """
    log_p = F.log_softmax(logits.float(), 1)
    rest = torch.logaddexp(log_p[:, 0], log_p[:, 3])
    whole = batch.known[:, 2, None, None]
    merged = torch.cat([(whole * log_p[:, 0] + (1 - whole) * rest).unsqueeze(1), log_p[:, 1:]], 1)
    cross = F.nll_loss(merged, batch.labels)
    p = log_p[:, 1:].exp()
    truth = torch.stack([(batch.labels == k).float() for k in (1, 2, 3)], 1)
    overlap = 2 * (p * truth).sum((2, 3)) + 1.0
    dice = 1 - overlap / (p.sum((2, 3)) + truth.sum((2, 3)) + 1.0)
    return {"cross": cross, "dice": _mean(dice, batch.known)}


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean; 0 where every weight is 0."""
    return (values * weights).sum() / weights.sum().clamp(min=1.0)
