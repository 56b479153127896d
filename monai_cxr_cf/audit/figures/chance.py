# SPDX-License-Identifier: Apache-2.0
"""Could it be chance? Sign flips, intervals over patients, Holm, and what would have been seen.

Every figure of an audit is a paired difference (edit minus sham, shifted minus plain) averaged per
patient. Where the classifier cannot tell the two apart they are exchangeable, so each patient's
difference may as well have the other sign: that is the null, and it needs no distribution.
"""

import math
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
EXACT = 13  # patients up to whom every choice of signs is tried
FLIPS, DRAWS, SEED = 20_000, 1000, 0
ALPHA = 0.05  # a whole report names something by chance in at most so many audits:
PAGE_ONE, OTHERS, GROUPS = 0.03, 0.01, 0.01  # page one, all other scores, subgroups
LEVEL, POWER = 0.95, 0.8
TIE = 1e-12


class Effect(NamedTuple):
    """A mean over patients: value, 95 % interval, p, patients, spread over patients."""

    value: float
    low: float
    high: float
    p: float
    patients: int
    sd: float


def per_patient(values: ArrayLike, patients: Sequence[Hashable]) -> Floats:
    """(N,) values -> one mean a patient, in order of first appearance; NaN is left out."""
    found: dict[Hashable, list[float]] = {}
    for value, patient in zip(np.asarray(values, np.float64), patients, strict=True):
        if not math.isnan(value):
            found.setdefault(patient, []).append(float(value))
    return np.array([np.mean(each) for each in found.values()])


def effect(values: ArrayLike, patients: Sequence[Hashable]) -> Effect:
    """The mean of paired differences over patients, each of whom counts once."""
    means = per_patient(values, patients)
    count = len(means)
    if not count:
        return Effect(math.nan, math.nan, math.nan, 1.0, 0, math.nan)
    low = high = math.nan  # of one patient
    if count > 1:
        low, high = np.quantile(_weights(count) @ means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    sd = float(means.std(ddof=1)) if count > 1 else math.nan
    return Effect(float(means.mean()), float(low), float(high), flipped(means), count, sd)


def flipped(means: Floats) -> float:
    """Two-sided p of a mean under random signs; exact up to 13 patients."""
    if not len(means):
        return 1.0
    signs = _signs(len(means))
    seen = np.abs(signs @ means) >= abs(float(means.sum())) - TIE
    if len(means) <= EXACT:
        return float(seen.mean())
    return float((1 + seen.sum()) / (1 + len(signs)))


def least_p(count: int) -> float:
    """The smallest p that so many patients can give."""
    return 2.0 ** (1 - count) if count <= EXACT else 1 / (1 + FLIPS)


@lru_cache(maxsize=64)
def _signs(count: int) -> NDArray[Any]:
    if count <= EXACT:
        bits = np.arange(2 ** (count - 1))[:, None] >> np.arange(count) & 1  # others mirror these
        return bits * 2.0 - 1
    return np.random.default_rng(SEED).integers(0, 2, (FLIPS, count)) * 2.0 - 1


@lru_cache(maxsize=64)
def _weights(count: int) -> Floats:
    """How much each patient weighs in each bootstrap sample: DRAWS x count."""
    generator = np.random.default_rng(SEED)
    chosen = np.stack([generator.integers(0, count, count) for _ in range(DRAWS)])
    found = np.zeros((DRAWS, count))
    np.add.at(found, (np.arange(DRAWS)[:, None], chosen), 1 / count)
    return found


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p values, in the given order: how sure of each, with all looked at."""
    order = sorted(range(len(ps)), key=lambda n: ps[n])
    found, worst = [1.0] * len(ps), 0.0
    for rank, number in enumerate(order):
        worst = max(worst, min(1.0, (len(ps) - rank) * ps[number]))
        found[number] = worst
    return found


def smallest_seen(sd: float, patients: int, tests: int) -> float | None:
    """How large a mean had to be to be found on page one, with a power of 80 %, by so many tests.

    None where no effect, however large, could have been: too few patients.
    """
    alpha = PAGE_ONE / max(tests, 1)
    if patients < 2 or math.isnan(sd) or least_p(patients) > alpha:
        return None
    quantiles = stats.t.ppf(1 - alpha / 2, patients - 1) + stats.t.ppf(POWER, patients - 1)
    return float(quantiles * sd / math.sqrt(patients))


def patients_needed(tests: int) -> int:
    """So many patients are the least with which anything can be shown among so many tests."""
    return next(n for n in range(2, 64) if least_p(n) <= PAGE_ONE / max(tests, 1) or n > EXACT)


def apart(first: Floats, second: Floats) -> float:
    """Two-sided p of a difference of two groups of patients, by shuffling who belongs where."""
    pool, count = np.concatenate([first, second]), len(first)
    gap = abs(float(first.mean() - second.mean()))
    order = np.argsort(np.random.default_rng(SEED).random((2000, len(pool))), axis=1)
    drawn = pool[order]
    gaps = np.abs(drawn[:, :count].mean(1) - drawn[:, count:].mean(1))
    return float((1 + (gaps >= gap - TIE).sum()) / 2001)
