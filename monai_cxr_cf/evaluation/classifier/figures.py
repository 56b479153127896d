# SPDX-License-Identifier: Apache-2.0
"""Scores and truth in, AUC within one view and its interval over patients out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.data.folder import Row
from monai_cxr_cf.data.views import projection
from monai_cxr_cf.evaluation.bootstrap import DRAWS
from monai_cxr_cf.evaluation.cohort import findings
from monai_cxr_cf.measures.probe import auc
from monai_cxr_cf.training.classifier.labels import NARROW, NIH

Array = NDArray[np.float64]
VIEWS = ("PA", "AP")


def figures(scores: Array, rows: Sequence[Row], finding: str) -> dict[str, Any] | None:
    """What a judge's score of one finding is worth; None without positives or negatives.

    Returns:
        ``auc`` with ``low`` and ``high``: over pairs of one view, for portable films carry more
        findings, which alone scores; the same for ``PA`` and ``AP``; ``all_pairs``: AUC without
        regard to the view; ``positives``, ``negatives``; ``own_label_auc`` where the finding takes
        several labels: by its own alone, over all pairs.
    """
    found = against(scores, labels_of(rows, finding), rows)
    if found is not None and finding in NARROW:
        narrow = auc(scores, labels_of(rows, finding, names=NARROW[finding]))
        found |= {} if np.isnan(narrow) else {"own_label_auc": round(narrow, 4)}
    return found


def against(scores: Array, labels: Array, rows: Sequence[Row]) -> dict[str, Any] | None:
    """The same for any truth: 1, 0, or NaN where nobody says."""
    known = np.flatnonzero(~np.isnan(labels))
    scores, labels = scores[known], labels[known]
    views = np.array([projection(rows[int(i)].view) for i in known])
    patients = [rows[int(i)].patient for i in known]
    if not 0 < labels.sum() < len(labels) or np.isnan(within(scores, labels, views)):
        return None
    found: dict[str, Any] = _interval(scores, labels, views, patients)
    found["all_pairs"] = round(auc(scores, labels), 4)
    for view in VIEWS:
        inside = np.flatnonzero(views == view)
        if 0 < labels[inside].sum() < len(inside):
            own = [patients[i] for i in inside]
            found[view] = _interval(scores[inside], labels[inside], views[inside], own)
    return found


def _interval(
    scores: Array, labels: Array, strata: NDArray[np.str_], patients: Sequence[str]
) -> dict[str, Any]:
    low, high = np.nanpercentile(drawn(scores, labels, strata, patients), [2.5, 97.5])
    values = {"auc": within(scores, labels, strata), "low": low, "high": high}
    counts = {"positives": int(labels.sum()), "negatives": int((1 - labels).sum())}
    return {name: round(float(value), 4) for name, value in values.items()} | counts


def drawn(
    scores: Array, labels: Array, strata: NDArray[np.str_], patients: Sequence[Hashable]
) -> Array:
    """``within`` of each bootstrap sample of patients, as ``bootstrap.draws_of`` draws them.

    A row counts as often as its patient was drawn; scores are sorted once.
    """
    _, codes = np.unique([str(patient) for patient in patients], return_inverse=True)
    count, generator = int(codes.max()) + 1, np.random.default_rng(0)
    times = np.stack([
        np.bincount(generator.integers(0, count, count), minlength=count) for _ in range(DRAWS)
    ])  # fmt: skip
    won, pairs = np.zeros(DRAWS), np.zeros(DRAWS)
    for stratum in np.unique(strata):
        inside = np.flatnonzero(strata == stratum)
        inside = inside[np.argsort(scores[inside], kind="stable")]
        starts = np.flatnonzero(np.r_[True, np.diff(scores[inside]) > 0])
        weights = times[:, codes[inside]].astype(np.float64)
        positive = np.add.reduceat(weights * (labels[inside] > 0), starts, axis=1)
        negative = np.add.reduceat(weights * (labels[inside] <= 0), starts, axis=1)
        won += (positive * (np.cumsum(negative, axis=1) - negative / 2)).sum(1)
        pairs += positive.sum(1) * negative.sum(1)
    return np.asarray(np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan))


def within(scores: Array, labels: Array, strata: NDArray[np.str_]) -> float:
    """AUC over the pairs of one stratum; NaN without any."""
    total = weight = 0.0
    for stratum in np.unique(strata):
        chosen = strata == stratum
        pairs = float(labels[chosen].sum() * (1 - labels[chosen]).sum())
        if pairs:
            total += pairs * auc(scores[chosen], labels[chosen])
            weight += pairs
    return total / weight if weight else float("nan")


def labels_of(rows: Sequence[Row], finding: str, *, names: tuple[str, ...] | None = None) -> Array:
    """1 where a row's labels name a finding, else 0.

    Args:
        rows: with labels in any published spelling.
        finding: of the vocabulary.
        names: labels that count as it; None = those that the judges learnt it by, and its name.
    """
    wanted = set(NIH.get(finding, ()) if names is None else names)
    own = frozenset() if names is not None else frozenset({finding})
    return np.array([float(bool(wanted & set(r.labels) or own & findings(r))) for r in rows])
