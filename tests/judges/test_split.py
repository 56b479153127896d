# SPDX-License-Identifier: Apache-2.0
"""Who may learn from which patient: roles are disjoint, fixed, and never touch the generator."""

from collections import Counter

from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.judges.split import judge_rows, role, tuning_rows
from monai_cxr_cf.training.images import generator_rows


def test_no_patient_has_two_roles(shared):
    rows = read_index(shared / "data" / "cxr")
    roles: dict[str, set[str]] = {}
    for row in rows:
        if found := role(row):
            roles.setdefault(row.patient, set()).add(found)
    assert roles
    assert all(len(found) == 1 for found in roles.values())


def test_nothing_of_train_test_or_the_generator_is_given_to_a_judge(shared):
    rows = read_index(shared / "data" / "cxr")
    seen = {row.patient for row in generator_rows(rows)}
    for row in rows:
        if row.split in ("train", "test") or row.patient in seen:
            assert role(row) is None


def test_tuning_patients_cover_normals_of_both_views_and_the_rare_findings(shared):
    rows = tuning_rows(read_index(shared / "data" / "cxr"))
    normal = Counter(row.view for row in rows if "No Finding" in row.labels)
    labels = Counter(label for row in rows for label in row.labels)
    assert len({row.patient for row in rows}) == 44
    assert min(normal["PA"], normal["AP"]) >= 5
    assert labels["Effusion"] >= 4
    assert labels["Cardiomegaly"] >= 1
    assert all(row.split == "judge" for row in rows)


def test_each_judge_gets_about_half_of_what_is_left(shared):
    rows = read_index(shared / "data" / "cxr")
    sizes = [len(judge_rows(rows, name)) for name in ("j1", "j2")]
    assert min(sizes) > 90
    assert max(sizes) / min(sizes) < 1.2
