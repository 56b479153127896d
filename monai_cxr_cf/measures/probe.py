# SPDX-License-Identifier: Apache-2.0
"""Features and labels in, a linear map and its cross-validated scores out.

Ridge logistic regression: a convex problem with one dial, each group with
an intercept of its own so that it is not learnt, and folds that never share a patient.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0)  # penalties tried; of equals the strongest wins
FOLDS = 5
MAIN = "nih"  # the collection whose intercept a judge keeps


@dataclass(frozen=True, eq=False)
class Samples:
    """Labelled images of one finding."""

    features: Array  # N x D
    labels: Array  # N, 0 or 1
    weights: Array  # N
    patients: tuple[Hashable, ...]
    groups: tuple[str, ...]  # collections; each has its own intercept, so it is not learnt
    scored: Bools  # N: counts in the cross-validation; False for augmented copies and prose

    def part(self, chosen: Bools) -> Samples:
        """The samples where ``chosen``."""
        index = np.flatnonzero(chosen)
        return Samples(
            self.features[index],
            self.labels[index],
            self.weights[index],
            tuple(self.patients[i] for i in index),
            tuple(self.groups[i] for i in index),
            self.scored[index],
        )


@dataclass(frozen=True, eq=False)
class Linear:
    """logit = w x + b."""

    weight: Array  # D
    bias: float

    def __call__(self, features: Array) -> Array:
        """N x D -> N logits."""
        return np.asarray(features @ self.weight + self.bias, np.float64)


def auc(scores: Array, labels: Array) -> float:
    """Area under the ROC curve: P(score of a positive > score of a negative), ties half.

    NaN without positives or negatives.
    """
    from scipy.stats import rankdata

    positives, negatives = int((labels > 0).sum()), int((labels <= 0).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(scores)[labels > 0].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * negatives))


def fit(samples: Samples, *, ridge: float, main_group: str = MAIN) -> Linear:
    """Weighted ridge logistic regression; positives weigh as much as negatives in each group.

    minimise sum_i w_i log(1 + exp(-s_i (v z_i + b_g(i)))) + ridge/2 |v|^2 with z the standardised
    features over sqrt(D). Solved by Newton's method in the span of the data. The intercept
    returned is the main group's.
    """
    return _fits(samples, (ridge,), main_group)[0]


def _fits(samples: Samples, ridges: Sequence[float], main_group: str = MAIN) -> list[Linear]:
    """``fit`` for several penalties; the data are decomposed once."""
    x = samples.features
    mean, spread = x.mean(0), x.std(0) + 1e-3
    scale = 1 / (spread * np.sqrt(x.shape[1]))
    z = (x - mean) * scale
    values, vectors = np.linalg.eigh(z @ z.T)
    kept = values > 1e-9 * values.max()
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    groups = sorted(set(samples.groups))
    dummies = np.array([[g == name for name in groups] for g in samples.groups], np.float64)
    design, weights = np.hstack([vectors * roots, dummies]), _balanced(samples)
    found = []
    for ridge in ridges:
        penalty = np.r_[np.full(len(roots), ridge), np.full(len(groups), 1e-4)]
        theta = _newton(design, samples.labels, weights, penalty=penalty)
        direction = (z.T @ (vectors / roots @ theta[: len(roots)])) * scale
        bias = theta[len(roots) + groups.index(main_group)] if main_group in groups else 0.0
        found.append(Linear(direction, float(bias - mean @ direction)))
    return found


def _balanced(samples: Samples) -> Array:
    weights = samples.weights.copy()
    groups = np.array(samples.groups)
    for group in set(samples.groups):
        inside = groups == group
        total = weights[inside].sum()
        for value in (0.0, 1.0):
            chosen = inside & (samples.labels == value)
            if chosen.any():
                weights[chosen] *= 0.5 * total / weights[chosen].sum()
    return weights


def _newton(design: Array, y: Array, weights: Array, *, penalty: Array) -> Array:
    theta = np.zeros(design.shape[1])
    for _ in range(40):
        p = 1 / (1 + np.exp(-np.clip(design @ theta, -30, 30)))
        slope = design.T @ (weights * (p - y)) + penalty * theta
        curve = (design.T * (weights * p * (1 - p))) @ design + np.diag(penalty + 1e-9)
        step = np.linalg.solve(curve, slope)
        theta -= step
        if np.abs(step).max() < 1e-7:
            break
    return theta


def folds_of(samples: Samples, *, folds: int = FOLDS, seed: int = 0) -> NDArray[np.intp]:
    """The fold of each sample: by patient, positives spread evenly."""
    positive: dict[Hashable, float] = {}
    for patient, label in zip(samples.patients, samples.labels, strict=True):
        positive[patient] = max(positive.get(patient, 0.0), float(label))
    names = sorted(positive, key=str)
    order = np.random.default_rng(seed).permutation(len(names))
    ranked = sorted(order, key=lambda i: positive[names[i]])
    fold = {names[i]: k % folds for k, i in enumerate(ranked)}
    return np.array([fold[p] for p in samples.patients], np.intp)


def out_of_fold(samples: Samples, *, ridges: Sequence[float], seed: int = 0) -> Array:
    """(penalties, N) logits of every sample from the maps that never saw its patient."""
    fold, scores = folds_of(samples, seed=seed), np.zeros((len(ridges), len(samples.labels)))
    for k in range(FOLDS):
        for row, linear in enumerate(_fits(samples.part(fold != k), ridges)):
            scores[row, fold == k] = linear(samples.features[fold == k])
    return scores


def choose(samples: Samples, *, ridges: Sequence[float] = RIDGES) -> tuple[float, float, Array]:
    """The penalty of the best cross-validated AUC; of equals the strongest.

    Returns:
        penalty, its AUC, and the out-of-fold logits it gives (mean of two foldings).
    """
    ordered = sorted(ridges, reverse=True)
    scores = np.mean([out_of_fold(samples, ridges=ordered, seed=s) for s in (0, 1)], axis=0)
    labels = samples.labels[samples.scored]
    values = [auc(row[samples.scored], labels) for row in scores]
    best = 0
    for index, value in enumerate(values):
        if value > values[best] + 0.005:
            best = index
    return ordered[best], values[best], scores[best]


def calibration(logits: Array, labels: Array, groups: Sequence[str]) -> tuple[float, float]:
    """Slope and shift after which a logit of 0 means "as likely as not, were the classes equal".

    Platt's scaling with classes made equally common in each group. One class alone says nothing:
    slope 1, shift 0.
    """
    if not 0 < labels.sum() < len(labels):
        return 1.0, 0.0
    count = len(labels)
    samples = Samples(
        logits[:, None], labels, np.ones(count), tuple(range(count)), tuple(groups),
        np.ones(count, bool),
    )  # fmt: skip
    design = np.stack([logits, np.ones(count)], 1)
    theta = _newton(design, labels, _balanced(samples), penalty=np.array([1e-2, 1e-2]))
    return float(theta[0]), float(theta[1])
