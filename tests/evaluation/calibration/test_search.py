# SPDX-License-Identifier: Apache-2.0
"""What an edit is worth, and the search by halving, which finds a known best."""

import pytest

from monai_cxr_cf.evaluation.calibration.search import (
    LEAK,
    SPACES,
    Candidate,
    Space,
    by_finding,
    halve,
    rounds,
    schedule,
    summarise,
    worth,
    worth_over_shams,
)
from monai_cxr_cf.presets import DEFAULT

JUDGES = {"j1": {"auc": {"pleural effusion": {"auc": 0.9}, "nodule": {"auc": 0.9}}}}


def edit(**fields) -> dict:
    """A row of an edit that did all it should."""
    values = {
        "patient": "p1", "input": "i1", "group": "add left effusion", "cell": "c", "config": "c",
        "backbone": "b", "finding": "pleural effusion", "side": "left", "zone": None, "view": "PA",
        "direction": "add", "kind": "edit", "seed": 0, "geometry_gain": 3.0, "seconds": 1.0,
        "j1_before": {"pleural effusion": 0.1, "nodule": 0.1},
        "j1_after": {"pleural effusion": 0.6, "nodule": 0.1},
        "dice": {"right_lung": 0.99, "left_lung": 0.8, "heart": 0.97}, "outside_max_diff": 0,
        "beyond": 0.5, "mean_shift_side": {"asked": 20.0, "other": 1.0}, "verdict": "passed",
        "verdict_failed": [],
    }  # fmt: skip
    return {**values, **fields}


def test_a_full_change_without_a_fault_is_worth_one() -> None:
    assert worth(edit(), JUDGES) == 1
    half = {"j1_after": {"pleural effusion": 0.25, "nodule": 0.1}, "geometry_gain": 1.0}
    assert worth(edit(**half), JUDGES) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ({"mean_shift_side": {"asked": 1.0, "other": 20.0}}, 0.0),
        ({"verdict_failed": ["texture"]}, 0.5),
        ({"verdict": "failed", "verdict_failed": ["shift:pleural effusion"]}, 0.5),
        ({"verdict": "failed", "verdict_failed": ["foreign_grey"]}, 0.25),
        ({"verdict_failed": ["texture", "foreign_grey"]}, 0.25),
        ({"dice": {"right_lung": 0.9, "left_lung": 0.8}}, 0.5),
        ({"outside_max_diff": 2}, 0.5),
        ({"j1_after": {"pleural effusion": 0.6, "nodule": 0.3}}, 0.5),
        ({"geometry_gain": -2.0}, 0.5),
        ({"geometry_gain": None}, 0.5),
    ],
)
def test_faults_and_the_wrong_side_cost(fields: dict, value: float) -> None:
    assert worth(edit(**fields), JUDGES) == value


def test_a_judge_that_does_not_count_is_not_asked() -> None:
    weak = {"j1": {"auc": {"pleural effusion": {"auc": 0.7}}}}
    assert worth(edit(j1_after={"pleural effusion": 0.0, "nodule": 0.1}), weak) == 1
    assert worth(edit(j1_before=None, j1_after=None), {}) == 1


def test_what_shams_do_without_words_earns_nothing() -> None:
    half = {"geometry_gain": 1.0, "j1_before": None, "j1_after": None, "mean_shift_side": None}
    rows = [edit(), edit(kind="sham", **half), edit(seed=1), edit(patient="p2", input="i2")]
    refused = {"refused": "Nothing to remove.", "kind": "edit", "group": "add left effusion"}
    assert worth_over_shams([*rows, refused], JUDGES) == [0.5, 1.0, 1.0]
    assert by_finding([*rows, refused], JUDGES) == {
        "add left effusion": pytest.approx(5 / 6, abs=1e-4)
    }
    tried = summarise(Candidate(0.7, 4.0), [*rows, refused], JUDGES, inputs=1)
    assert (tried.edits, tried.figures["sham_worth"]) == (3, 0.5)
    assert (tried.figures["verdict_passed"], tried.figures["sham_passed"]) == (1, 1)
    assert tried.figures["organs_kept"] == 1
    assert tried.figures["geometry_gain"] == 3.0
    assert tried.worth.value == pytest.approx(5 / 6)


def test_rounds_double_and_halve() -> None:
    assert rounds(1) == [1]
    assert rounds(6) == [1, 2, 4, 6]
    assert schedule(12, 4) == [(12, 1), (6, 2), (3, 4)]


def measured(calls: list):
    """Edits whose worth peaks at strength .45, guidance 6."""

    def measure(one: Candidate, count: int) -> list[dict]:
        calls.append((one, count))
        gain = 2 - 4 * abs(one.strength - 0.45) - 0.2 * abs(one.guidance - 6)
        row = edit(geometry_gain=gain, j1_before=None, j1_after=None)
        return [{**row, "patient": f"p{number}"} for number in range(count)]

    return measure


def test_the_search_finds_the_best_and_spends_more_on_the_better() -> None:
    calls: list = []
    first = SPACES["edit"].candidates()
    tried = halve(first, measured(calls), {}, inputs=4)
    best = tried[0].candidate
    assert (best.strength, best.guidance) == (0.45, 6.0)
    assert len(calls) == 18 + 9 + 5
    assert {count for one, count in calls if one == best} == {1, 2, 4}
    assert tried[0].inputs == 4
    assert len(tried) == len(calls)


def test_of_equals_the_gentler_wins() -> None:
    tried = halve(SPACES["edit"].candidates(), lambda one, count: [edit()], {}, inputs=1)
    assert tried[0].candidate == min(SPACES["edit"].candidates())


@pytest.mark.parametrize(("worth_", "chosen"), [(0.92, 9.0), (0.9, 6.0)])
def test_of_what_is_worth_about_the_same_the_verdict_tells_the_better(
    worth_: float, chosen: float
) -> None:
    """One of eight verdicts fails at 6, which is worth .9375; none at 9."""
    plain = {"j1_before": None, "j1_after": None}
    sound = [edit(geometry_gain=2.0, **plain, patient=f"p{n}") for n in range(8)]
    rows = {
        6.0: [{**sound[0], "verdict": "failed"}, *sound[1:]],
        9.0: [{**row, "geometry_gain": 2 * worth_} for row in sound],
    }
    space = Space((0.5,), rms=tuple(rows))
    tried = halve(space.candidates(), lambda one, _: rows[one.rms], {}, inputs=1)
    assert {one.candidate.rms: one.worth.value for one in tried} == pytest.approx(
        {6.0: 0.9375, 9.0: worth_}
    )
    assert tried[0].candidate.rms == chosen


def test_of_what_the_verdict_tells_alike_that_is_taken_which_leaks_less() -> None:
    def measure(one: Candidate, count: int) -> list[dict]:
        return [edit(geometry_gain=1.9 + one.rms / 10, beyond=one.rms, j1_before=None)]

    tried = halve(Space((0.5,), rms=(0.2, 0.4)).candidates(), measure, {}, inputs=1)
    assert [one.candidate.rms for one in tried] == [0.2, 0.4]


def test_what_leaks_loses_to_whatever_does_not() -> None:
    def measure(one: Candidate, count: int) -> list[dict]:
        strong = one.guidance > 6
        return [edit(geometry_gain=2.0 if strong else 0.5, beyond=LEAK + strong, j1_before=None)]

    tried = halve(SPACES["edit"].candidates(), measure, {}, inputs=1)
    assert tried[0].candidate == Candidate(0.4, 1.5)
    assert (tried[0].worth.value, tried[0].figures["beyond"]) == (0.25, LEAK)
    assert [one.leaks for one in tried] == sorted(one.candidate.guidance > 6 for one in tried)


def test_every_candidate_is_a_valid_configuration() -> None:
    for space in SPACES.values():
        for one in space.candidates():
            config = DEFAULT.with_overrides(one.overrides())
            assert (config.start.strength, config.sampling.guidance_rms) == (
                one.strength,
                one.rms,
            )
            assert config.sampling.guidance_scale == (one.guidance or 7.5)
            assert bool(one.guidance) != bool(one.rms)
