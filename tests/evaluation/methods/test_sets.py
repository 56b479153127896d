# SPDX-License-Identifier: Apache-2.0
"""Distances between sets of vectors: known values, MONAI's figure, and what few pictures say."""

import numpy as np
import pytest

from monai_cxr_cf.evaluation.methods.sets import compare, identity, kid, prdc

LINE = np.arange(8.0)[:, None]


def drawn(count: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (count, 12))


def test_kid_is_the_unbiased_mean_of_cubes_over_pairs() -> None:
    a, b = drawn(5), drawn(7, 1, 1)

    def k(x, y):
        return (x @ y / 12 + 1) ** 3

    own = [np.mean([k(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j])
           for s in (a, b)]  # fmt: skip
    told = sum(own) - 2 * np.mean([k(x, y) for x in a for y in b])
    assert kid(a, b) == pytest.approx(told)
    assert abs(kid(drawn(400), drawn(400, seed=1))) < 0.05 < kid(drawn(400), drawn(400, 1, 1))


def test_balls_end_before_their_kth_neighbour() -> None:
    """Eight reals on a line, two edits at 3.5 and far away; k 2: radii are 1, at the ends 2."""
    found = prdc(np.array([[3.5], [100.0]]), LINE, nearest=2)
    assert found["precision"] == 0.5
    assert found["density"] == pytest.approx(2 / 4)  # balls of 3 and 4 hold it
    assert found["coverage"] == pytest.approx(2 / 8)
    assert prdc(LINE, LINE, nearest=2)["recall"] == 1.0
    assert prdc(LINE + 100, LINE, nearest=2) == dict.fromkeys(found, 0.0)


def test_a_table_of_sets_has_its_n_its_floor_and_no_word_below_eight() -> None:
    patients = [f"p{n}" for n in range(60)]
    near = compare(drawn(50, seed=1), drawn(60), patients)
    far = compare(drawn(50, 2, seed=1), drawn(60), patients, dimensions=10)
    assert (near["n"], far["dimensions"]) == (50, 10)
    assert near["frechet"][0] < near["floor"] * 2 < far["frechet"][0]
    assert near["frechet"][1] <= near["frechet"][2]
    assert compare(drawn(7), drawn(60), patients) == {}


def test_identity_is_the_share_that_finds_its_own_source() -> None:
    sources = np.repeat(np.eye(3), 2, 0)
    own = ["a", "a", "b", "b", "c", "c"]
    assert identity(sources + 0.1, sources, own) == 1.0
    swapped = sources[[2, 3, 0, 1, 4, 5]]
    assert identity(swapped, sources, own) == pytest.approx(1 / 3)
    assert identity(sources[:2], sources[:2], own[:2]) is None
