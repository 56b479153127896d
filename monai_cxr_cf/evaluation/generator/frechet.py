# SPDX-License-Identifier: Apache-2.0
"""Two sets of images in, how far apart they lie as sets out: Frechet distance, and its features.

Features are those of EfficientNet-Lite0 trained on ImageNet (1,280 numbers an image), reduced to
the 64 principal directions of real radiographs. Not comparable with published FID figures, which
use Inception-v3 and thousands of images: only distances of one table may be compared.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.bootstrap import LEVEL, Interval
from monai_cxr_cf.judges.efficientnet import EfficientNetLite0, load_imagenet

Features = NDArray[np.float32]  # (N, 1280)
Points = NDArray[np.float64]  # (N, dims)
SIDE = 224  # what EfficientNet-Lite0 was trained at
DIMENSIONS = 64
BATCH = 16


def load_features() -> Any:
    """EfficientNet-Lite0 with ImageNet weights; ComponentMissing without the extra [eval]."""

    return load_imagenet(EfficientNetLite0()).eval().requires_grad_(False)


@torch.no_grad()
def features(network: Any, images: Sequence[NDArray[np.float32]]) -> Features:
    """One vector per HxW image in 0..1: (N, 1280) float32, averaged over the image.

    Images are brought to 224 x 224; give squares, or they are stretched.
    """
    found = []
    for start in range(0, len(images), BATCH):
        planes = [to_side(image, SIDE) for image in images[start : start + BATCH]]
        grey = torch.from_numpy(np.stack(planes))[:, None] * 2 - 1
        found.append(network(grey.expand(-1, 3, -1, -1)).mean((2, 3)).numpy())
    return np.concatenate(found) if found else np.zeros((0, 1280), np.float32)


def cosine(a: Features, b: Features) -> NDArray[np.float64]:
    """Cosine of each row of (N, D) with the same row of the other: (N,), 1 for equal images."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return np.asarray((x * y).sum(1) / np.maximum(norms, 1e-12))


@dataclass(frozen=True, eq=False)
class Basis:
    """Mean and principal directions of real radiographs' features; call it to project."""

    mean: NDArray[np.float64]  # (D,)
    directions: NDArray[np.float64]  # (dims, D), orthonormal
    explained: float  # share of the variance that the directions hold

    def __call__(self, vectors: Features) -> Points:
        """(N, D) -> (N, dims) float64."""
        return (vectors.astype(np.float64) - self.mean) @ self.directions.T


def fit_basis(real: Features, *, dimensions: int = DIMENSIONS) -> Basis:
    """Principal directions of (N, D) features of real images.

    Raises:
        BadRequest: no more images than directions.
    """
    if len(real) <= dimensions:
        raise BadRequest(
            f"There are {len(real)} real images; {dimensions} directions need more than that."
        )
    mean = real.astype(np.float64).mean(0)
    _, scale, rows = np.linalg.svd(real - mean, full_matrices=False)
    power = scale**2
    explained = float(power[:dimensions].sum() / max(float(power.sum()), 1e-300))
    return Basis(mean, rows[:dimensions], explained)


def frechet(a: Points, b: Points) -> float:
    """Frechet distance of two normal distributions fitted to (N, dims) and (M, dims) points.

    |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^1/2), in float64; 0 for equal sets. Few points make
    it larger than it is, so only distances at the same N compare.

    Raises:
        BadRequest: a set has fewer than two points.
    """
    if min(len(a), len(b)) < 2:
        raise BadRequest(f"A Frechet distance needs two points a set; got {len(a)} and {len(b)}.")
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    first, second = np.atleast_2d(first), np.atleast_2d(second)
    root = _root(first)
    # tr (S_a S_b)^1/2 by way of the symmetric S_a^1/2 S_b S_a^1/2, which has real eigenvalues.
    inner = np.linalg.eigvalsh(root @ second @ root)
    crossed = float(np.sqrt(np.maximum(inner, 0)).sum())
    gap = float(((a.mean(0) - b.mean(0)) ** 2).sum())
    return max(gap + float(np.trace(first) + np.trace(second)) - 2 * crossed, 0.0)


def halves(
    patients: Sequence[Hashable], *, count: int, draws: int, seed: int = 0
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Random pairs of ``count`` rows each that share no patient.

    Raises:
        BadRequest: a half of the patients has fewer than ``count`` rows.
    """
    keys = list(dict.fromkeys(patients))
    rows = {key: [i for i, p in enumerate(patients) if p == key] for key in keys}
    generator = np.random.default_rng(seed)
    for _ in range(draws):
        order = [keys[i] for i in generator.permutation(len(keys))]
        sides: tuple[list[int], list[int]] = ([], [])
        for key in order:  # the emptier side takes the next patient
            min(sides, key=len).extend(rows[key])
        if min(map(len, sides)) < count:
            raise BadRequest(
                f"Half of the {len(patients)} images cannot give {count}.",
                hint="Take a smaller count, or more real images.",
            )
        one, other = (generator.permutation(np.array(side))[:count] for side in sides)
        yield one, other


def spread(values: Sequence[float]) -> Interval:
    """Mean of a distance over random subsets, and the range that holds 95 % of them."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(np.mean(values)), float(low), float(high))


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Symmetric square root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)


def to_side(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """HxW in 0..1 -> side x side; give squares, or they are stretched."""
    picture = Image.fromarray(np.asarray(image, np.float32)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    return np.clip(np.asarray(picture, np.float32), 0, 1)
