# SPDX-License-Identifier: Apache-2.0
"""Plain sentences about a run: what is not proven is never said to be so."""

from typing import Any

import pytest
from CXRCounterfactualLib.contract.events import STAGES, Progressed, Result
from CXRCounterfactualLib.contract.params import Choice
from CXRCounterfactualLib.presenter.words import (
    DOING,
    estimate,
    kind_of,
    outside_words,
    percent_of,
    progress_words,
    seconds_words,
    verdict_words,
)

ZERO = "Nothing outside the region and its band changed (largest difference 0)."
JUDGE = {"judge": "j1", "counts": ["pleural effusion"]}
BAD = {"name": "texture", "passed": False, "words": "fine texture is 3.0 times the source's"}
OPEN = {"name": "ratio", "passed": None, "words": "the heart could not be measured"}
GOOD = {"name": "shift", "passed": True, "words": "denser"}


def result(verdict: dict[str, Any] | None = None, **metrics: Any) -> Result:
    """A result with a verdict and metrics."""
    return Result((), {"outside_max_diff": 0, **metrics}, verdict or {})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, ZERO),
        (3, "Outside the region pixels changed by up to 3 stored units."),
        (None, "How much changed outside the region was not measured."),
        ("0", "How much changed outside the region was not measured."),
        (False, "How much changed outside the region was not measured."),
    ],
)
def test_the_outside_in_plain_words(value: object, expected: str) -> None:
    assert outside_words(result(outside_max_diff=value)) == expected


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (
            {"verdict": "passed", "proven": False, "checks": [GOOD], "classifier": None},
            ("All checks passed.", "Unproven: no classifier has judged the finding."),
        ),
        (
            {"verdict": "passed", "proven": True, "checks": [GOOD], "classifier": JUDGE},
            ("All checks passed.", "Classifier J1 sees the finding change as asked."),
        ),
        (
            {"verdict": "passed", "proven": False, "checks": [GOOD], "classifier": JUDGE},
            (
                "All checks passed.",
                "Where classifier J1 cannot tell, density and outlines judge.",
            ),
        ),
        (
            {"verdict": "failed", "proven": False, "checks": [GOOD, BAD], "classifier": JUDGE},
            ("A check failed: fine texture is 3.0 times the source's.",),
        ),
        (
            {"verdict": "unmeasured", "checks": [OPEN], "classifier": None},
            (
                "Not all could be checked: the heart could not be measured.",
                "Unproven: no classifier has judged the finding.",
            ),
        ),
        ({}, ("Not all could be checked.", "Unproven: no classifier has judged the finding.")),
    ],
)
def test_the_verdict_sentence_by_sentence(
    verdict: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert verdict_words(result(verdict)) == (ZERO, *expected)


def test_of_several_images_it_says_how_many_passed() -> None:
    members = [{"verdict": "passed"}, {"verdict": "failed"}, {"verdict": "passed"}]
    assert verdict_words(result({}, members=members))[-1] == "2 of 3 images passed all checks."
    assert len(verdict_words(result({}, members=members[:1]))) == 3


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "about 1 s"), (4.4, "about 4 s"), (22, "about 20 s"), (88, "about 90 s"),
     (100, "about 2 min"), (1000, "about 17 min")],
)  # fmt: skip
def test_times_as_people_say_them(seconds: float, expected: str) -> None:
    assert seconds_words(seconds) == expected


def test_the_estimate_takes_the_middle_of_runs_that_are_alike_for_each_image() -> None:
    fast, remote = Choice(preset="fast"), Choice(backend="remote")
    past = [("default", 1, 20.0), ("default", 2, 80.0), ("default", 1, 30.0), ("fast", 1, 5.0)]
    assert estimate(past, Choice()) == "about 30 s"
    assert estimate(past, Choice(seeds=(1, 2), levels=(0.5, 1.0))) == "about 2 min"
    assert estimate(past, fast) == "about 5 s"
    assert "not known" in estimate(past, remote)
    assert estimate([*past, (kind_of(remote), 1, 60.0)], remote) == "about 60 s"
    assert "not known" in estimate([], fast)
    sampled = Choice(levels=(0.5, 1.0), levels_by="guidance")
    assert "not known" in estimate(past, sampled), "a blend takes one run for all levels"
    assert kind_of(sampled) != kind_of(Choice(levels=(0.5, 1.0)))


def test_a_stage_of_the_runner_has_a_name_and_a_place() -> None:
    for number, stage in enumerate(STAGES, 1):
        words = progress_words(Progressed(stage, 1, 1))
        assert words == f"Stage {number} of 7: {DOING[stage]}"
    assert percent_of(Progressed("read", 0, 1)) == 0
    assert percent_of(Progressed("write", 1, 1)) == 100


def test_other_stages_are_told_without_a_place() -> None:
    assert progress_words(None) == "Starting the runner"
    assert progress_words(Progressed("install", 1, 4)) == "install, step 1 of 4"
    assert percent_of(Progressed("download", 3, 4)) == 0
