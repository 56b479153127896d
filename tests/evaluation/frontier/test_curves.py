# SPDX-License-Identifier: Apache-2.0
"""Interpolation on made points, and which of them pays."""

import numpy as np
import pytest

from monai_cxr_cf.evaluation.bootstrap import Interval
from monai_cxr_cf.evaluation.frontier.curves import (
    NOTHING,
    OFF,
    PATIENTS,
    PAYS,
    PAYS_NOT,
    UNDECIDED,
    Curve,
    at_equal_in,
    interval_of,
    means,
    moved,
    on_front,
    over_common_range,
    verdict,
)

GUIDANCE = np.array([2.0, 4.0, 8.0, 16.0])


def made(scale: float = 1.0) -> Curve:
    """Effect 10, 20, 30, 40; the logarithm of the change rises in a straight line with it."""
    inside = np.array([10.0, 20.0, 30.0, 40.0])
    return Curve(inside, scale * np.exp(inside / 10))


def test_change_is_read_between_two_settings_at_the_same_effect() -> None:
    assert at_equal_in(25, float(np.exp(2.5)), made()) == pytest.approx(1)
    assert at_equal_in(25, 2 * float(np.exp(2.5)), made()) == pytest.approx(2)
    kinked = Curve(np.array([10.0, 20.0, 30.0]), np.array([1.0, 1.0, 4.0]))
    assert at_equal_in(15, 3, kinked) == pytest.approx(3)
    assert at_equal_in(25, 2, kinked) == pytest.approx(1)  # geometric mean of 1 and 4 is 2
    assert at_equal_in(30, 2, kinked) == pytest.approx(0.5)
    assert np.isnan(at_equal_in(9.9, 1, kinked))
    assert np.isnan(at_equal_in(30.1, 1, kinked))


def test_order_of_the_settings_does_not_matter() -> None:
    order = [2, 0, 3, 1]
    mixed = Curve(made().inside[order], made().outside[order])
    assert at_equal_in(25, 7, mixed) == at_equal_in(25, 7, made())


def test_two_lines_are_compared_only_where_both_have_the_effect() -> None:
    shifted = Curve(made().inside + 15, 0.5 * np.exp((made().inside + 15) / 10))
    assert over_common_range(shifted, made()) == pytest.approx(0.5)
    assert over_common_range(made(), shifted) == pytest.approx(2)
    assert over_common_range(made(), made()) == pytest.approx(1)
    far = Curve(made().inside + 100, made().outside)
    assert np.isnan(over_common_range(far, made()))
    point = Curve(np.array([20.0]), np.array([1.0]))
    assert np.isnan(over_common_range(point, made()))


def test_the_comparison_over_a_range_is_a_geometric_mean() -> None:
    one = Curve(np.array([0.0, 1.0]), np.array([1.0, 16.0]))
    flat = Curve(np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    assert over_common_range(one, flat) == pytest.approx(4)


def test_means_are_of_all_edits_first_and_patients_are_drawn_for_all_settings_alike() -> None:
    values = np.array([[1.0, 10.0], [3.0, 30.0], [8.0, 80.0]])
    found = means(values, ["a", "a", "b"])
    assert found[0].tolist() == [4.0, 40.0]
    assert np.allclose(found[:, 1], 10 * found[:, 0])
    assert set(np.round(found[1:, 0], 6)) == {2.0, 4.0, 8.0}  # a and a, a and b, b and b


def test_an_interval_needs_nearly_all_draws() -> None:
    draws = np.linspace(0.4, 0.6, 1001)
    assert interval_of(draws) == pytest.approx((0.4, 0.4051, 0.5951), abs=1e-3)
    lost = draws.copy()
    lost[-100:] = np.nan
    assert np.isnan(interval_of(lost).low)
    lost = draws.copy()
    lost[-20:] = np.nan
    assert not np.isnan(interval_of(lost).low)


@pytest.mark.parametrize(
    ("low", "high", "more", "said"),
    [
        (0.4, 0.6, {}, PAYS),
        (1.1, 1.6, {}, PAYS_NOT),
        (0.9, 1.1, {}, UNDECIDED),
        (float("nan"), float("nan"), {}, UNDECIDED),
        (0.4, 0.6, {"patients": PATIENTS - 1}, UNDECIDED),
        (0.4, 0.6, {"moved": 0.009}, NOTHING),
        (0.4, 0.6, {"same": True}, OFF),
    ],
)
def test_verdicts(low: float, high: float, more: dict, said: str) -> None:
    given = {"patients": PATIENTS, "moved": 0.5, "same": False, **more}
    assert verdict(Interval(1.0, low, high), **given) == said


def test_what_moves_is_the_larger_of_both_figures_at_any_guidance() -> None:
    assert moved(made(), made()) == 0
    assert moved(made(0.5), made()) == pytest.approx(0.5)
    inside = made().inside.copy()
    inside[2] *= 1.2
    assert moved(Curve(inside, made().outside), made()) == pytest.approx(0.2)


def test_a_setting_is_on_the_front_unless_another_is_better_in_one_and_no_worse_in_the_other() -> (
    None
):
    inside = np.array([10.0, 20.0, 20.0, 30.0, 5.0])
    outside = np.array([1.0, 2.0, 3.0, 4.0, 1.0])
    assert on_front(inside, outside).tolist() == [True, True, False, True, False]
    assert on_front(np.array([1.0, 1.0]), np.array([2.0, 2.0])).tolist() == [True, True]
