# SPDX-License-Identifier: Apache-2.0
"""Two sets of feature vectors in, how they lie to each other out: FID's kin, on any network.

Frechet distance, KID (unbiased, cubic kernel), precision, recall, density, coverage (k nearest
within each set). Few images bias a Frechet distance upwards: N, KID and the distance of two halves
of real patients stand beside it, and its interval comes from subsets, never from a bootstrap.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.evaluation.generator.frechet import fit_basis, frechet, halves, spread

Points = NDArray[np.float64]
NEAREST = 5
DRAWS = 20
LEAST = 8  # vectors a set, below which nothing is said


def kid(a: Points, b: Points) -> float:
    """Unbiased MMD² under (x·y / d + 1)³; may fall below 0 where the sets are alike."""

    def kernel(x: Points, y: Points) -> Points:
        return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)

    def within(x: Points) -> float:
        k = kernel(x, x)
        return float((k.sum() - np.trace(k)) / (len(x) * (len(x) - 1)))

    return within(a) + within(b) - 2 * float(kernel(a, b).mean())


def prdc(edits: Points, reals: Points, *, nearest: int = NEAREST) -> dict[str, float]:
    """Precision, recall, density and coverage; a ball ends before its k-th neighbour."""
    real_balls, edit_balls = _radii(reals, nearest), _radii(edits, nearest)
    apart = _distances(edits, reals)
    inside = apart < real_balls[None]
    return {
        "precision": float(inside.any(1).mean()),
        "recall": float((apart < edit_balls[:, None]).any(0).mean()),
        "density": float(inside.sum() / (nearest * len(edits))),
        "coverage": float(inside.any(0).mean()),
    }


def _distances(a: Points, b: Points) -> Points:
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def _radii(points: Points, nearest: int) -> Points:
    """Distance of each point to its k-th neighbour in its own set, itself not counted."""
    apart = _distances(points, points)
    np.fill_diagonal(apart, 0)
    return np.asarray(np.sort(apart, 1)[:, min(nearest, len(points) - 1)])


def compare(
    edits: Points, reals: Points, patients: Sequence[Hashable], *, dimensions: int = 64
) -> dict[str, Any]:
    """All of it at equal N; an empty mapping below ``LEAST``.

    Args:
        edits, reals: (N, D) and (M, D); the Frechet distance is taken in the principal directions
            of the reals, as many as N can carry.
        patients: of the reals.
    """
    count = min(len(edits), len(reals))
    if count < LEAST or len(set(patients)) < 4:
        return {}
    basis = fit_basis(reals.astype(np.float32), dimensions=min(dimensions, count // 2))
    generator = np.random.default_rng(0)
    mine, theirs = basis(edits.astype(np.float32)), basis(reals.astype(np.float32))

    def drawn(points: Points, size: int) -> Points:
        return points[generator.permutation(len(points))[:size]]

    part = max(LEAST // 2, round(0.8 * count))
    values = [frechet(drawn(mine, part), drawn(theirs, part)) for _ in range(DRAWS)]
    half = count // 2
    pairs = list(halves(patients, count=half, draws=DRAWS)) if _enough(patients, half) else []
    floor = [frechet(theirs[a], theirs[b]) for a, b in pairs]
    whole = frechet(mine[:count], theirs[:count])
    return {
        "n": count,
        "dimensions": len(basis.directions),
        "frechet": [round(whole, 4), *(round(v, 4) for v in spread(values)[1:])],
        "floor": round(float(np.mean(floor)), 4) if floor else None,
        "kid": round(kid(edits[:count], reals[:count]), 6),
        **{k: round(v, 4) for k, v in prdc(edits[:count], reals[:count]).items()},
    }


def _enough(patients: Sequence[Hashable], count: int) -> bool:
    """Whether both halves of the patients are sure to give ``count`` images."""
    return count >= 2 and len(patients) // 2 - patients_most(patients) >= count


def patients_most(patients: Sequence[Hashable]) -> int:
    """Images of the patient who has most."""
    return max((list(patients).count(p) for p in set(patients)), default=0)


def identity(edits: Points, sources: Points, own: Sequence[Hashable]) -> float | None:
    """Share of edits to which the source of their own radiograph is the nearest of all."""
    first = {name: number for number, name in reversed(list(enumerate(own)))}
    if len(first) < 2:
        return None
    names = list(first)
    known = sources[[first[name] for name in names]]
    unit = known / np.linalg.norm(known, axis=1, keepdims=True)
    near = (edits @ unit.T).argmax(1)
    return float(np.mean([names[k] == name for k, name in zip(near, own, strict=True)]))
