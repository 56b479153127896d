# SPDX-License-Identifier: Apache-2.0
"""What a counterfactual is called, and on which side of a split it stands."""

import pytest

from monai_cxr_cf.batch.export.labels import SHARES, after, asked, moved, shares_from, split_of
from monai_cxr_cf.batch.rows.columns import Row
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.request import FindingEdit

ADD, REMOVE, CHANGE = "add", "remove", "change"


@pytest.mark.parametrize(
    ("source", "finding", "direction", "labels"),
    [
        (("Edema",), "cardiomegaly", ADD, ("Edema", "cardiomegaly")),
        (("Effusion", "Edema"), "pleural effusion", ADD, ("Effusion", "Edema")),
        (("Pleural_Effusion", "Mass"), "pleural effusion", REMOVE, ("Mass",)),
        (("No Finding",), "cardiomegaly", ADD, ("cardiomegaly",)),
        (("Cardiomegaly",), "cardiomegaly", REMOVE, ()),
        (("Cardiomegaly",), "cardiomegaly", CHANGE, ("Cardiomegaly",)),
        (("Support Devices",), "edema", REMOVE, ("Support Devices",)),
    ],
)
def test_labels_of_a_counterfactual(source, finding, direction, labels):
    assert after(source, [FindingEdit(finding, direction)]) == labels


def row(**more):
    """A row."""
    return Row(1, "a", "/x/a.dcm", "a.dcm", {"prompt": "cardiomegaly, no edema"}, **more)


def test_findings_of_words():
    found = [(edit.finding, edit.direction) for edit in asked(row())]
    assert sorted(found) == [("cardiomegaly", "add"), ("pulmonary edema", "remove")]
    assert moved(asked(row()))
    assert not moved([FindingEdit("pulmonary edema")])


def test_a_group_is_the_split_and_a_patient_has_one():
    assert split_of(row(group="valid"), SHARES) == "judge"
    assert split_of(row(group="test"), SHARES) == "test"
    splits = [split_of(row(patient=f"p{i}"), SHARES) for i in range(2000)]
    assert splits == [split_of(row(patient=f"p{i}"), SHARES) for i in range(2000)]
    shares = {name: splits.count(name) / 2000 for name in SHARES}
    assert all(abs(shares[name] - SHARES[name]) < 0.03 for name in SHARES)


@pytest.mark.parametrize("text", ["train", "train=1,test=1", "train=2,test=-1", "a=b", ","])
def test_shares_must_add_up(text):
    with pytest.raises(BadRequest, match="shares that add up to 1"):
        shares_from(text)


def test_shares():
    assert shares_from("train=0.9, test=.1") == {"train": 0.9, "test": 0.1}
