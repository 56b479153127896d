# SPDX-License-Identifier: Apache-2.0
"""Manifests as people save them; what is none is told in a sentence."""

import pytest

from monai_cxr_cf.batch.rows.table import read_table
from monai_cxr_cf.errors import BadRequest, CxrError, UnreadableInput

WANTED = [(1, {"path": "a", "prompt": "é"}), (2, {"path": "b", "prompt": "x"})]


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_codings_of_a_csv(coding, tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("path, prompt\na,é\n\nb , x\n", encoding=coding)
    assert list(read_table(path)) == WANTED


def test_json_lines(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"path": "a", "side": null}\n\nno json\n["a"]\n', encoding="utf-8")
    assert list(read_table(path)) == [
        (1, {"path": "a"}),
        (2, "The line is not JSON."),
        (3, "The line is no JSON object."),
    ]


def test_a_row_of_another_length_is_a_bad_row(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("path,prompt\na,b,c\nd,e\n")
    assert list(read_table(path)) == [
        (1, "It has 3 cells; expected 2."),
        (2, {"path": "d", "prompt": "e"}),
    ]


@pytest.mark.parametrize(
    ("name", "data", "said", "kind"),
    [
        ("m.csv", b"", "m.csv is empty", UnreadableInput),
        ("m.csv", b"path;prompt\na;b\n", "separated by semicolons", UnreadableInput),
        ("m.csv", b"image,prompt\na,b\n", "lacks the columns path", UnreadableInput),
        ("m.csv", b"path,path\na,b\n", "has the column path twice", UnreadableInput),
        ("m.csv", b"path\n\xff\n", "no CSV in UTF-8", UnreadableInput),
        ("m.csv", b"\x1f\x8bzz", "no CSV in UTF-8", UnreadableInput),
        ("m.xlsx", b"PK", r"kind '\.xlsx' is not read", BadRequest),
    ],
)
def test_what_is_no_manifest(name, data, said, kind, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(kind, match=said):
        list(read_table(tmp_path / name))


def test_no_such_manifest(tmp_path):
    with pytest.raises(CxrError, match="The manifest does not exist"):
        read_table(tmp_path / "m.csv")
