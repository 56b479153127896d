# SPDX-License-Identifier: Apache-2.0
"""Cells become a request by the names of their columns; a wrong cell gives one sentence."""

from pathlib import Path

import pytest

from monai_cxr_cf.batch.rows.columns import check_columns, read_row, row_of
from monai_cxr_cf.errors import BadRequest


def row(tmp_path, cells, common=None):
    """The row of some cells; the file is there."""
    (tmp_path / "a.dcm").touch()
    return read_row(7, {"path": "a.dcm", **cells}, tmp_path, common or {})


def test_a_prompt_and_a_path_are_enough(tmp_path):
    found = row(tmp_path, {"prompt": "cardiomegaly"})
    assert found.request == {"prompt": "cardiomegaly"}
    assert Path(found.path) == tmp_path / "a.dcm"
    assert (found.number, found.given, len(found.id)) == (7, "a.dcm", 16)
    assert found.edit.prompt == "cardiomegaly"
    assert row_of(found.line()) == found


def test_columns_of_one_finding(tmp_path):
    cells = {"finding": "pleural effusion", "side": "left", "severity": "0.7", "zone": "",
             "direction": "add"}  # fmt: skip
    told = {"finding": "pleural effusion", "side": "left", "severity": 0.7, "direction": "add"}
    assert row(tmp_path, cells).request == {"findings": [told]}


def test_several_findings_as_json(tmp_path):
    cells = {"findings": '[{"finding": "edema"}, {"finding": "cardiomegaly"}]'}
    assert len(row(tmp_path, cells).edit.findings) == 2


@pytest.mark.parametrize(
    ("cells", "field", "value"),
    [
        ({"seeds": "3"}, "seeds", [3]),
        ({"seeds": "1;2|3"}, "seeds", [1, 2, 3]),
        ({"levels": "[0.5, 1]"}, "levels", [0.5, 1]),
        ({"sham": "TRUE"}, "sham", True),
        ({"strength": "0.4"}, "strength", 0.4),
        ({"strength": "nan"}, "strength", None),
        ({"preset": "fast"}, "preset", "fast"),
        ({"reading": '{"allow_raster": true}'}, "reading", {"allow_raster": True}),
        ({"reading.allow_raster": "True"}, "reading", {"allow_raster": True}),
        ({"overrides.boost.eta": "2"}, "overrides", {"boost": {"eta": 2}}),
        ({"reading.allow_raster": ""}, "reading", None),
    ],
)
def test_a_field_of_the_request_by_its_own_name(cells, field, value, tmp_path):
    assert row(tmp_path, {"prompt": "edema", **cells}).request.get(field) == value


def test_other_columns_pass_through_and_patients_are_kept(tmp_path):
    cells = {"prompt": "edema", "patient": "p1", "group": "test", "age": "63", "note": ""}
    found = row(tmp_path, cells)
    assert (found.patient, found.group, found.more) == ("p1", "test", {"age": "63"})


def test_common_fields_hold_unless_the_row_says_otherwise(tmp_path):
    common = {"preset": "fast", "prompt": "cardiomegaly"}
    assert row(tmp_path, {}, common).request == common
    assert row(tmp_path, {"preset": "paper", "prompt": "edema"}, common).request == {
        "preset": "paper",
        "prompt": "edema",
    }
    assert "prompt" not in row(tmp_path, {"finding": "edema"}, common).request


def test_masks_are_relative_to_the_manifest(tmp_path):
    found = row(tmp_path, {"prompt": "edema", "roi": "drawn.png"})
    assert found.request["roi"] == str(tmp_path / "drawn.png")


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({}, "It says nothing in 'prompt', 'finding' or 'findings'"),
        ({"prompt": "edema", "path": ""}, "It names no file in 'path'"),
        ({"prompt": "edema", "path": "b.dcm"}, "file of 'path' is not there"),
        ({"prompt": "edema", "finding": "edema"}, "both 'prompt' and 'findings'"),
        ({"findings": "[]", "finding": "edema"}, "both 'finding' and 'findings'"),
        ({"side": "left", "prompt": "edema"}, "It has side without a 'finding'"),
        ({"prompt": "edema", "strength": "much"}, "strength is 'much'; expected a JSON number"),
        ({"prompt": "edema", "strength": "7"}, "strength: 7 is greater than the maximum of 1"),
        ({"prompt": "edema", "uids": "random"}, "a batch needs 'stable'"),
        ({"prompt": "edema", "id": "x" * 201}, "longer than 200 characters"),
        ({"prompt": "edema", "overrides.boost.zeta": "2"}, "zeta"),
        ({"finding": "zebra"}, "zebra"),
    ],
)
def test_a_wrong_cell_gives_a_sentence(cells, said, tmp_path):
    with pytest.raises(BadRequest, match=said):
        row(tmp_path, cells)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("severty", "nearly 'severity'"),
        ("Prompt", "nearly 'prompt'"),
        ("seed", "nearly 'seeds'"),
    ],
)
def test_a_column_that_is_most_likely_a_slip_is_refused(name, said):
    with pytest.raises(BadRequest, match=said):
        check_columns([name])


STORE = {"pacs": "https://p.example/web/", "study": "1.2", "series": "1.3", "instance": "1.4"}


def test_a_place_in_a_store_is_an_address(tmp_path):
    (tmp_path / "a.dcm").touch()
    found = row(tmp_path, {**STORE, "prompt": "edema", "path": ""})
    assert found.path == "https://p.example/web/studies/1.2/series/1.3/instances/1.4"
    assert (found.given, found.more) == (found.path, {})


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"path": "a.dcm"}, "both 'path' and a place in a store"),
        ({"path": "", "series": "", "instance": ""}, "It lacks series, instance"),
        ({"path": "", "study": "../x"}, "must be DICOM UIDs"),
        ({"path": "", "pacs": "https://me:secret@p.example"}, "Credentials do not belong"),
        ({"path": "https://p.example/x", **dict.fromkeys(STORE, "")}, "is an address; expected a"),
    ],
)
def test_a_place_that_is_none_is_refused(cells, said, tmp_path):
    (tmp_path / "a.dcm").touch()
    with pytest.raises(BadRequest, match=said):
        row(tmp_path, {**STORE, "prompt": "edema", **cells})


def test_columns_of_data_sets_pass():
    check_columns(["id", "path", "patient", "age", "sex", "view", "labels", "split", "report",
                   "subject_id", "StudyDate", "No Finding", "Edema"])  # fmt: skip
