# SPDX-License-Identifier: Apache-2.0
"""Figures per edit and their patients in, a mean with its 95 % interval out.

Every interval of the evaluation comes from here. Patients are drawn, not edits: the edits of one
patient resemble each other, and counting them as independent would make intervals too narrow.
``scipy.stats.bootstrap`` draws single observations only, hence own code.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr_cf.errors import BadRequest

Statistic = Callable[[NDArray[np.float64]], float]
DRAWS = 1000
LEVEL = 0.95


class Interval(NamedTuple):
    """A figure and its percentile interval; NaN thrice where there is nothing to count."""

    value: float
    low: float
    high: float


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean())


def draws_of(
    patients: Sequence[Hashable], *, draws: int = DRAWS, seed: int = 0
) -> Iterator[NDArray[np.intp]]:
    """Row indices of each bootstrap sample: as many patients as there are, with replacement.

    A patient drawn twice brings all of its rows twice, so samples differ in length.
    """
    number: dict[Hashable, int] = {}
    codes = np.array([number.setdefault(p, len(number)) for p in patients], dtype=np.intp)
    rows = [np.flatnonzero(codes == code) for code in range(len(number))]
    generator = np.random.default_rng(seed)
    for _ in range(draws):
        chosen = generator.integers(0, len(rows), len(rows))
        yield np.concatenate([rows[code] for code in chosen])


def interval(
    values: ArrayLike,
    patients: Sequence[Hashable],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    statistic: Statistic = _mean,
) -> Interval:
    """The statistic of all values, and its 95 % percentile interval over patients.

    Args:
        values: (N,) numbers or booleans; NaN (and None) is left out, together with its patient
            if that one has nothing else.
        patients: (N,) keys; rows with one key are drawn together.
        draws: bootstrap samples.
        seed: of the draws; same arguments, same interval.
        statistic: 1-D array -> number, of one sample.

    Returns:
        value, low, high. Where every value is the same, the interval is that one point: with few
        patients this says little, so N belongs beside it.

    Raises:
        BadRequest: values and patients differ in number.
    """
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    if len(numbers) != len(patients):
        raise BadRequest(f"There are {len(numbers)} values of {len(patients)} patients.")
    known = np.flatnonzero(~np.isnan(numbers))
    if not len(known):
        return Interval(float("nan"), float("nan"), float("nan"))
    numbers, kept = numbers[known], [patients[int(i)] for i in known]
    found = [statistic(numbers[rows]) for rows in draws_of(kept, draws=draws, seed=seed)]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(statistic(numbers)), float(low), float(high))


def paired_interval(
    a: ArrayLike,
    b: ArrayLike,
    patients: Sequence[Hashable],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Mean of a - b over the same edits, e.g. two settings on one input and seed.

    A pair with a NaN on either side is left out.

    Raises:
        BadRequest: the lengths differ.
    """
    first, second = (np.asarray(x, dtype=np.float64).reshape(-1) for x in (a, b))
    if first.shape != second.shape:
        raise BadRequest(f"Pairs need equal lengths; got {len(first)} and {len(second)}.")
    return interval(first - second, patients, draws=draws, seed=seed)
