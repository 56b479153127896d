# SPDX-License-Identifier: Apache-2.0
"""Intervals over patients: seeded, honest about clusters, and right on known distributions."""

import numpy as np
import pytest

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.bootstrap import draws_of, interval, paired_interval


def test_the_value_is_the_mean_and_lies_within_its_interval() -> None:
    values = [0.0, 1.0, 2.0, 5.0]
    found = interval(values, ["a", "b", "c", "d"])
    assert found.value == 2.0
    assert found.low < found.value < found.high
    assert min(values) <= found.low
    assert found.high <= max(values)


def test_the_same_call_gives_the_same_interval_and_another_seed_another() -> None:
    values = np.random.default_rng(0).normal(size=30)
    patients = list(range(30))
    assert interval(values, patients) == interval(values, patients)
    assert interval(values, patients) != interval(values, patients, seed=1)


def test_the_interval_agrees_with_theory_for_independent_values() -> None:
    values = np.random.default_rng(1).normal(size=200)
    found = interval(values, list(range(200)))
    half = 1.96 * values.std() / np.sqrt(200)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_copies_of_a_patient_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(2).normal(size=20)
    once = interval(values, list(range(20)))
    often = interval(np.repeat(values, 10), np.repeat(np.arange(20), 10).tolist())
    assert often == pytest.approx(once)


def test_a_draw_brings_all_rows_of_a_patient() -> None:
    patients = ["a", "a", "a", "b", "c", "c"]
    sizes = {"a": 3, "b": 1, "c": 2}
    for rows in draws_of(patients, draws=50):
        drawn = [patients[row] for row in rows]
        assert all(drawn.count(p) % size == 0 for p, size in sizes.items())
        assert sum(drawn.count(p) // size for p, size in sizes.items()) == 3


def test_a_paired_difference_ignores_what_both_sides_share() -> None:
    rng = np.random.default_rng(3)
    hard = rng.normal(scale=10, size=40)
    a, b = hard + 1 + rng.normal(scale=0.1, size=40), hard
    found = paired_interval(a, b, list(range(40)))
    assert 0.9 < found.low < found.value < found.high < 1.1
    assert interval(a, list(range(40))).low < 0


def test_missing_values_are_left_out_with_their_pair() -> None:
    assert interval([1.0, float("nan"), 3.0], ["a", "b", "c"]).value == 2.0
    found = paired_interval([1.0, 5.0], [float("nan"), 4.0], ["a", "b"])
    assert found == (1.0, 1.0, 1.0)
    assert np.isnan(interval([], [])).all()


def test_another_statistic_is_bootstrapped_the_same_way() -> None:
    values = np.arange(11.0)
    found = interval(values, list(range(11)), statistic=lambda x: float(np.median(x)))
    assert found.value == 5.0
    assert found.low < 5 < found.high


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(BadRequest, match="2 values of 1 patients"):
        interval([1.0, 2.0], ["a"])
    with pytest.raises(BadRequest, match="equal lengths"):
        paired_interval([1.0, 2.0], [1.0], ["a", "b"])
