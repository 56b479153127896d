# SPDX-License-Identifier: Apache-2.0
"""The verdict follows the picture: a wrong sign, a moved organ or a changed background fails."""

from dataclasses import replace

import numpy as np
import pytest

from monai_cxr_cf.judges.evidence import Evidence, Expected
from monai_cxr_cf.judges.verdict import judge
from monai_cxr_cf.measures.masks import cardiothoracic_ratio, dice

SHAPE = (100, 100)


def box(top, left, height, width):
    mask = np.zeros(SHAPE, bool)
    mask[top : top + height, left : left + width] = True
    return mask


ORGANS = {
    "right_lung": box(10, 10, 70, 30),
    "left_lung": box(10, 60, 70, 30),
    "heart": box(50, 40, 25, 36),
}
ROWS, COLUMNS = np.mgrid[:100, :100]
REGION = box(60, 60, 20, 30) & (ROWS > 75 - 0.5 * (COLUMNS - 60))  # rises to the wall as fluid does
SOURCE = np.tile(np.linspace(0.3, 0.7, 100, dtype=np.float32), (100, 1))
SOURCE[:, 40:60] = 0.9  # what lies between the lungs
NOISE = np.random.default_rng(0).normal(0, 0.2, SHAPE).astype(np.float32)


def evidence(sign=1, grey=20, outside=0, after=None, where=REGION):
    change = np.where(where, np.float32(grey / 255), 0).astype(np.float32)
    expected = (Expected("effusion", REGION, sign, may_change=("left_lung",)),)
    return Evidence(SOURCE, change, expected, ORGANS, after or ORGANS, outside)


def failed(verdict):
    return [c["name"] for c in verdict["checks"] if c["passed"] is False]


def test_a_dense_finding_in_its_region_passes_and_stays_unproven():
    verdict = judge(evidence())
    assert verdict["verdict"] == "passed"
    assert verdict["proven"] is False


@pytest.mark.parametrize(
    ("case", "check"),
    [
        (evidence(grey=-20), "shift:effusion"),
        (evidence(sign=-1), "shift:effusion"),
        (evidence(grey=1), "shift:effusion"),
        (evidence(outside=1), "outside_max_diff"),
        (evidence(where=REGION | box(0, 0, 50, 100)), "inside_share"),
        (evidence(after={**ORGANS, "right_lung": box(10, 20, 70, 30)}), "dice:right_lung"),
    ],
)
def test_each_fault_fails_its_own_check(case, check):
    assert failed(judge(case)) == [check]


FAULTS = [  # case, what the verdict says is wrong
    (evidence(outside=1), "pixels outside the region and its band changed by up to 1 stored units"),
    (evidence(where=REGION | box(0, 0, 50, 100)), "6.5% of the change lies in the region "
     "(at least 50% expected)"),
    (evidence(grey=-20), "effusion: the region became more lucent by 20 of 255 grey levels "
     "(expected: denser by at least 4)"),
    (evidence(grey=1), "effusion: the region became denser by 1 of 255 grey levels "
     "(expected: denser by at least 4)"),
    (evidence(after={**ORGANS, "right_lung": box(10, 20, 70, 30)}), "the outline of the right lung "
     "moved (overlap with the source's right lung, Dice 0.667; at least 0.95 expected)"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "words"), FAULTS)
def test_a_failed_verdict_says_what_is_wrong_and_who_judged(case, words):
    alone = "judged by density and outlines alone: no classifier is installed"
    assert judge(case)["words"] == f"failed: {words}; {alone}"


def test_a_passed_check_says_nothing_of_what_was_expected():
    said = [check["words"] for check in judge(evidence())["checks"]]
    assert said[0] == "nothing changed outside the region and its band"
    assert said[-1] == "the outline of the heart stayed (Dice 1.000)"
    assert not [words for words in said if "expected" in words]


def test_noise_in_the_region_fails_although_the_mean_moved_the_right_way():
    noisy = replace(evidence(), change=evidence().change + np.where(REGION, NOISE, 0))
    assert failed(judge(noisy)) == ["texture", "foreign_grey", "glare", "hole"]


@pytest.mark.parametrize(
    ("grey", "faults"), [(-80, ["foreign_grey"]), (100, ["foreign_grey", "glare"])]
)
def test_holes_and_glare_fail_even_where_the_direction_is_right(grey, faults):
    verdict = judge(evidence(sign=1 if grey > 0 else -1, grey=grey))
    assert failed(verdict) == faults


def test_a_black_hole_where_a_heart_was_fails_though_air_beside_the_lung_is_as_black():
    source = np.full(SHAPE, 0.6, np.float32)
    source[ORGANS["right_lung"] | ORGANS["left_lung"]] = 0.35
    source[:, 85:] = 0.02  # air beside the patient, and a strip of it in the lung's mask
    heart = ORGANS["heart"] & ~ORGANS["left_lung"] & ~ORGANS["right_lung"]
    lung_like = np.where(heart, np.float32(0.35 - 0.6), 0).astype(np.float32)
    hole = np.where(heart, np.float32(0.05 - 0.6), 0).astype(np.float32)
    expected = (Expected("cardiomegaly", heart, -1, may_change=("heart", "left_lung")),)
    case = Evidence(source, lung_like, expected, ORGANS, ORGANS, 0)
    assert "foreign_grey" not in failed(judge(case))
    assert "foreign_grey" in failed(judge(replace(case, change=hole)))


def test_nothing_changed_is_a_failure_not_a_division_by_zero():
    assert judge(evidence(grey=0))["verdict"] == "failed"


def test_an_organ_that_may_follow_the_finding_is_not_held_against_it():
    moved = {**ORGANS, "left_lung": box(10, 60, 50, 30)}
    assert judge(evidence(after=moved))["verdict"] == "passed"


@pytest.mark.parametrize(
    ("width", "sign", "passed"), [(46, 1, True), (36, 1, False), (26, -1, True), (46, -1, False)]
)
def test_heart_findings_are_judged_by_the_cardiothoracic_ratio(width, sign, passed):
    change = np.where(REGION, np.float32(0.05), 0).astype(np.float32)
    expected = (Expected("cardiomegaly", REGION, sign, "heart", ("heart",)),)
    after = {**ORGANS, "heart": box(50, 40, 25, width)}
    verdict = judge(Evidence(SOURCE, change, expected, ORGANS, after, 0))
    assert (verdict["verdict"] == "passed") is passed
    assert "heart size and outlines alone" in verdict["words"]
    assert ("expected" in verdict["words"]) is not passed
    unmeasured = judge(Evidence(SOURCE, change, expected, ORGANS, {}, 0))
    assert unmeasured["verdict"] == "unmeasured"


def test_measures_are_what_they_say():
    assert cardiothoracic_ratio(ORGANS) == pytest.approx(36 / 80)
    assert cardiothoracic_ratio({"heart": ORGANS["heart"]}) is None
    assert dice(REGION, REGION) == 1
    assert dice(REGION, box(0, 0, 5, 5)) == 0
    assert dice(~box(0, 0, 100, 100), ~box(0, 0, 100, 100)) == 1
