# SPDX-License-Identifier: Apache-2.0
"""A manifest of ``cxr-cf batch`` is a source of the bundle, too: the same items as a datalist's."""

import json
from pathlib import Path

import pytest

from monai_cxr_cf.errors import BadRequest, UnreadableInput
from monai_cxr_cf.transforms.cases import cases

FIELDS = {"prompt": "cardiomegaly", "preset": "fast", "seeds": []}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files that are there."""
    for name in ("a.dcm", "b.dcm"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_manifest_gives_the_items_of_a_datalist(folder: Path) -> None:
    (folder / "m.csv").write_text(
        "id,path,prompt,finding,severity,seeds,overrides.boost.eta,patient,age\n"
        "x,a.dcm,no cardiomegaly,,,3,2,p1,61\n"
        "y,b.dcm,,edema,0.5,,,p2,\n"
        "z,b.dcm,,,,1;2,,p2,\n"
    )
    rows = [
        {"image": "a.dcm", "prompt": "no cardiomegaly", "seeds": [3],
         "overrides": {"boost": {"eta": 2}}},
        {"image": "b.dcm", "findings": [{"finding": "edema", "severity": 0.5}]},
        {"image": "b.dcm", "seeds": [1, 2]},
    ]  # fmt: skip
    (folder / "list.json").write_text(json.dumps(rows))
    (folder / "m.jsonl").write_text(
        "".join(json.dumps({"path": row.pop("image"), **row}) + "\n" for row in rows)
    )
    out = folder / "out"
    wanted = cases(folder / "list.json", FIELDS, output_dir=out)
    assert len(wanted) == 3
    assert cases(folder / "m.csv", FIELDS, output_dir=out) == wanted
    assert cases(folder / "m.jsonl", FIELDS, output_dir=out) == wanted


def test_bad_rows_are_told_by_number_before_anything(folder: Path) -> None:
    (folder / "m.csv").write_text("path,prompt\na.dcm,edema\ngone.dcm,edema\nb.dcm,a zebra\n")
    with pytest.raises(BadRequest, match="2 of 3 rows of the manifest cannot be run") as caught:
        cases(folder / "m.csv", FIELDS, output_dir=folder / "out")
    assert caught.value.hint.startswith("row 2: The file of 'path' is not there. row 3: ")
    (folder / "m.csv").write_text("path,severty\na.dcm,1\n")
    with pytest.raises(BadRequest) as caught:
        cases(folder / "m.csv", FIELDS, output_dir=folder / "out")
    assert "nearly 'severity'" in caught.value.hint


def test_an_empty_manifest_is_told(folder: Path) -> None:
    (folder / "m.csv").write_text("path,prompt\n")
    with pytest.raises(UnreadableInput, match="The manifest holds no row"):
        cases(folder / "m.csv", FIELDS, output_dir=folder / "out")
