# SPDX-License-Identifier: Apache-2.0
"""The statistics against what they stand for: all signs tried, the evaluation's bootstrap, Holm."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from monai_cxr_cf.audit.figures import chance
from monai_cxr_cf.evaluation.bootstrap import interval


def test_the_null_is_every_choice_of_signs():
    means = np.array([0.3, -0.1, 0.25, 0.4, 0.05])
    sums = [sum(s * m for s, m in zip(signs, means, strict=True))
            for signs in product((-1, 1), repeat=5)]  # fmt: skip
    wanted = np.mean([abs(x) >= means.sum() - 1e-12 for x in sums])
    assert chance.flipped(means) == wanted == 0.1875
    assert chance.flipped(np.abs(means)) == chance.least_p(5) == 2 / 2**5
    assert chance.flipped(np.zeros(5)) == 1
    assert chance.flipped(np.array([])) == 1
    many = np.random.default_rng(1).normal(0.3, 1, 30)
    assert abs(chance.flipped(many) - stats.ttest_1samp(many, 0).pvalue) < 0.01


def test_a_patient_counts_once_and_the_interval_is_the_evaluations():
    values, patients = [0.0, 1.0, 0.5, math.nan, 0.2], ["a", "a", "b", "b", "c"]
    assert chance.per_patient(values, patients).tolist() == [0.5, 0.5, 0.2]
    single = np.random.default_rng(2).normal(0.1, 0.3, 25)
    found = chance.effect(single, range(25))
    other = interval(single, range(25))
    assert (found.value, found.low, found.high) == pytest.approx(tuple(other), abs=1e-12)
    assert found.sd == pytest.approx(single.std(ddof=1))
    nothing = chance.effect([math.nan], ["a"])
    assert (nothing.p, nothing.patients) == (1.0, 0)


def test_holm():
    assert chance.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert chance.holm([0.9, 0.8]) == [1.0, 1.0]
    assert chance.holm([]) == []


def test_what_would_have_been_seen_would_have_been_seen():
    small = chance.smallest_seen(0.2, 20, 30)
    rng, hits = np.random.default_rng(4), 0
    for _ in range(60):
        hits += chance.effect(rng.normal(small, 0.2, 20), range(20)).p <= chance.PAGE_ONE / 30
    assert 0.65 < hits / 60 < 0.95
    assert chance.smallest_seen(0.2, 10, 30) is None
    assert chance.smallest_seen(0.2, chance.patients_needed(30), 30) > 0
    assert chance.least_p(chance.patients_needed(30) - 1) > chance.PAGE_ONE / 30
    assert chance.smallest_seen(0.2, 1, 1) is None


def test_groups_apart():
    rng = np.random.default_rng(5)
    same, other = rng.normal(0, 1, 12), rng.normal(2, 1, 9)
    assert chance.apart(same, other) < 0.01
    assert chance.apart(same[:6], same[6:]) > 0.05
