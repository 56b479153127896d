# SPDX-License-Identifier: Apache-2.0
"""The rule of a valid edit, criterion by criterion, on rows made by hand."""

import pytest

from monai_cxr_cf.evaluation.edits.valid import CRITERIA, judged, sham_threshold
from tests.evaluation.edits.rows import JUDGES, row, sham

QUIET = {"pleural effusion": 0.1, "cardiomegaly": 0.1, "nodule": 0.1}
SHAMS = [sham(f"s{n}", n / 20) for n in range(20)]  # gains 0 to .95


def verdict(edit: dict, shams: list | None = None, judges: dict = JUDGES) -> dict:
    return judged([edit, *(SHAMS if shams is None else shams)], judges)[0]["valid"]


def test_an_edit_that_meets_everything_is_valid() -> None:
    valid = verdict(row())
    assert {name: valid[name] for name in CRITERIA} == dict.fromkeys(CRITERIA, True)
    assert valid["all"] is True


@pytest.mark.parametrize(
    ("criterion", "fields"),
    [
        ("classifier", {"j2_after": {**QUIET, "pleural effusion": 0.24}}),
        ("geometry", {"geometry_gain": 0.9}),
        ("others", {"j2_after": {**QUIET, "pleural effusion": 0.6, "cardiomegaly": 0.21}}),
        ("organs", {"dice": {"right_lung": 0.94, "left_lung": 1.0, "heart": 1.0}}),
        ("outside", {"outside_max_diff": 1}),
    ],
)  # fmt: skip
def test_one_unmet_criterion_makes_it_invalid(criterion, fields) -> None:
    valid = verdict(row(**fields))
    assert [name for name in CRITERIA if valid[name] is False] == [criterion]
    assert valid["all"] is False


def test_what_a_weak_judge_says_does_not_count() -> None:
    risen = {"pleural effusion": 0.6, "cardiomegaly": 0.1, "nodule": 0.9}  # nodule: AUC .6
    assert verdict(row(j2_after=risen))["all"] is True


def test_a_finding_that_the_judge_is_weak_at_is_judged_by_geometry_alone() -> None:
    weak = {"j2": {**JUDGES["j2"], "auc": {"pleural effusion": {"auc": 0.79}}}}
    unseen = row(j2_after=row()["j2_before"])
    valid = verdict(unseen, judges=weak)
    assert valid["classifier"] is None
    assert valid["all"] is True
    without = verdict(row(j2_before=None, j2_after=None), judges={})
    assert (without["classifier"], without["others"], without["all"]) == (None, None, True)


def test_a_judge_counts_within_the_views_in_which_it_is_good() -> None:
    """The pooled AUC speaks where the view was not measured alone."""
    views = {"auc": 0.84, "PA": {"auc": 0.87}, "AP": {"auc": 0.62}}
    judges = {"j2": {**JUDGES["j2"], "auc": {"pleural effusion": views}}}
    unseen = row(j2_after=row()["j2_before"])
    found = {
        view: verdict({**unseen, "view": view}, judges=judges)["classifier"]
        for view in ("PA", "AP", "AP Supine", "")
    }
    assert found == {"PA": False, "AP": None, "AP Supine": None, "": False}


def test_related_findings_may_rise() -> None:
    judge = {"findings": [], "name": "", "auc": {"atelectasis": {"auc": 0.9}}}
    before, after = {"atelectasis": 0.1}, {"atelectasis": 0.9}
    edit = row(j2_before=before, j2_after=after)
    assert verdict(edit, judges={"j2": judge})["all"] is True
    lone = row(j2_before=before, j2_after=after, finding="nodule")
    assert verdict(lone, judges={"j2": judge})["others"] is False


def test_the_threshold_leaves_five_percent_of_the_shams_above_it() -> None:
    assert sham_threshold([n / 100 for n in range(1, 101)], 0.95) == pytest.approx(0.96)
    assert sham_threshold([-3.0, -2.0], 0.95) == 0.0  # moving backwards less is not forwards
    assert sham_threshold([], 0.95) is None


def test_a_patients_own_shams_set_no_threshold_for_that_patient() -> None:
    own = [sham("p1", 99.0)]
    assert verdict(row("p1"), [*SHAMS, *own])["geometry"] is True
    assert verdict(row("p2"), [*SHAMS, *own])["threshold"] >= 0.95
    alone = verdict(row("p1"), own)
    assert (alone["geometry"], alone["all"]) == (None, None)
    unmeasured = verdict(row(geometry_gain=None))
    assert (unmeasured["geometry"], unmeasured["all"]) == (False, False)


def test_shams_of_other_findings_and_settings_set_no_threshold() -> None:
    strangers = [
        *(sham("s1", 50.0, finding="pulmonary edema") for _ in range(9)),
        *(sham("s2", 50.0, config="other") for _ in range(9)),
        *(sham("s3", 50.0, direction="remove") for _ in range(9)),
    ]
    assert verdict(row(), [*SHAMS, *strangers])["geometry"] is True
    both_views = [sham("s4", 50.0, view="AP", cell="add left effusion, AP") for _ in range(9)]
    assert verdict(row(), [*SHAMS, *both_views])["geometry"] is False


def test_a_sham_passes_only_by_the_same_rule() -> None:
    loud = sham("loud", 5.0, j2_after=row()["j2_after"])
    quiet = sham("quiet", 5.0)
    found = {r["key"]: r["valid"]["all"] for r in judged([*SHAMS, loud, quiet], JUDGES)}
    assert [key for key, passes in found.items() if passes] == [loud["key"]]


def test_side_is_obeyed_where_the_asked_side_moves_further_the_asked_way() -> None:
    def obeyed(**fields):
        return judged([row(**fields)], {})[0]["side_obeyed"]

    assert obeyed() is True
    assert obeyed(mean_shift_side={"asked": 5.0, "other": 6.0}) is False
    assert obeyed(mean_shift_side={"asked": -1.0, "other": -2.0}) is False
    assert obeyed(mean_shift_side={"asked": -9.0, "other": 0.0}, direction="remove") is True
    assert obeyed(mean_shift_side=None, side=None) is None
    assert obeyed(kind="sham") is None


def test_removals_count_the_fall() -> None:
    fallen = row(direction="remove", j2_before=row()["j2_after"], j2_after=row()["j2_before"])
    assert verdict(fallen)["classifier"] is True
    assert verdict(row(direction="remove"))["classifier"] is False


def test_refused_rows_are_left_out() -> None:
    assert judged([{"refused": "empty_region", "kind": "edit"}], {}) == []
