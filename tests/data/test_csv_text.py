# SPDX-License-Identifier: Apache-2.0
"""CSV files as tools and spreadsheets write them: the same rows, or what is wrong in a sentence."""

import gzip
from pathlib import Path

import pytest

from monai_cxr_cf.data.csv_text import filled, read_rows
from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.errors import UnreadableInput

ROWS = [{"id": "1", "text": "small effusion"}, {"id": "2", "text": "a, b\nc"}]
PLAIN = 'id,text\n1,small effusion\n2,"a, b\nc"\n'
READ = {
    "as the standard library writes it": PLAIN.encode(),
    "lines of Windows": PLAIN.replace("\n", "\r\n").replace("b\r\nc", "b\nc").encode(),
    "UTF-8 with a mark (Excel)": PLAIN.encode("utf-8-sig"),
    "UTF-16 (Excel's Unicode text)": PLAIN.encode("utf-16"),
    "UTF-16 big-endian": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "packed": gzip.compress(PLAIN.encode()),
    "packed with a mark": gzip.compress(PLAIN.encode("utf-8-sig")),
    "everything quoted": b'"id","text"\n"1","small effusion"\n"2","a, b\nc"\n',
    "no line at the end": PLAIN.rstrip().encode(),
    "blank lines": PLAIN.replace("1,", "\n\n1,").encode() + b"\n\n",
    "spaces around names": PLAIN.replace("id,text", " id , text").encode(),
    "spaces around cells": PLAIN.replace("1,small effusion", " 1 , small effusion ").encode(),
    "another order of columns": b'text,id\nsmall effusion,1\n"a, b\nc",2\n',
    "a column more": b'id,text,x\n1,small effusion,\n2,"a, b\nc",9\n',
    "an index column without a name": b',id,text\n0,1,small effusion\n1,2,"a, b\nc"\n',
    "empty columns at the end": b'id,text,,\n1,small effusion,,\n2,"a, b\nc",,\n',
}
REFUSED = {
    "semicolons": (PLAIN.replace(",", ";").encode(), "separated by semicolons; expected commas"),
    "tabs": (PLAIN.replace(",", "\t").encode(), "separated by tabs"),
    "bars": (PLAIN.replace(",", "|").encode(), "separated by bars"),
    "Excel's separator line": (b"sep=;\n" + PLAIN.encode(), "separated by semicolons"),
    "a workbook": (b"PK\x03\x04rest", "spreadsheet or an archive"),
    "an old workbook": (b"\xd0\xcf\x11\xe0rest", "spreadsheet or an archive"),
    "Latin-1": ("id,text\n1,é\n".encode("latin-1"), "neither UTF-8 nor UTF-16"),
    "UTF-16 without a mark": (PLAIN.encode("utf-16-le"), "zero bytes"),
    "half a packed file": (gzip.compress(PLAIN.encode())[:-9], "packed and damaged"),
    "nothing": (b"", "is empty"),
    "one empty line": (b"\n", "is empty"),
    "a web page": (b"<!DOCTYPE html>\n<html>log in</html>\n", "lacks the columns id, text"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "lacks the columns"),
    "another column": (b"ID,text\n1,a\n", "lacks the columns id; it has ID, text"),
    "a column twice": (b"id,text,id\n1,a,2\n", "has the column id twice"),
    "an unquoted comma": (b"id,text\n1,a, b\n", "has 3 cells in line 2 and 2 columns"),
    "a cell too few": (b"id,text\n1,a\n2\n", "has 1 cells in line 3 and 2 columns"),
    "a quote that never ends": (b'id,text\n1,"a\n2,b', "is no CSV: unexpected end of data"),
}


@pytest.mark.parametrize("content", READ.values(), ids=READ)
def test_the_rows_are_the_same(content: bytes, tmp_path: Path) -> None:
    for name in ("table.csv", "table.csv.gz"):  # whatever the name says of packing
        (tmp_path / name).write_bytes(content)
        rows = list(read_rows(tmp_path / name, ("id", "text")))
        assert [{key: row[key] for key in ("id", "text")} for row in rows] == ROWS


@pytest.mark.parametrize(("content", "words"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_in_one_sentence(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(UnreadableInput, match=words) as caught:
        list(read_rows(tmp_path / "table.csv", ("id", "text")))
    assert caught.value.message.startswith("table.csv ")
    assert "\n" not in caught.value.message


def test_a_report_may_be_longer_than_the_library_allows(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("id,text\n1," + "a" * 200_000 + "\n")
    assert len(next(read_rows(tmp_path / "table.csv", ("id",)))["text"]) == 200_000


@pytest.mark.parametrize("cell", ["", " ", "nan", "NaN", "None", "NULL", "n/a", "<NA>"])
def test_words_for_nothing_are_nothing(cell: str) -> None:
    assert filled(cell) == ""
    assert filled("Nancy") == "Nancy"


INDEX = "id,patient,view,split,labels\na,p1,PA,train,Effusion\n"
INDEX_REFUSED = {
    "without patients": (INDEX.replace(",p1,", ",,"), "names no patient"),
    "without an id": (INDEX.replace("\na,", "\n,"), "names no id"),
    "no column of splits": ("id,patient,view\na,p,PA\n", "lacks the columns split"),
    "two columns alone": ("id,labels\na,Effusion\n", "lacks the columns patient, split, view"),
    "another word for masks": (
        INDEX.replace("labels", "organ_mask").replace("Effusion", "yes"),
        "organ_mask 'yes'",
    ),
}


@pytest.mark.parametrize(("text", "words"), INDEX_REFUSED.values(), ids=INDEX_REFUSED)
def test_an_index_that_cannot_be_used_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text(text)
    with pytest.raises(UnreadableInput, match=words):
        read_index(tmp_path)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("train", "train"),
        ("Train", "train"),
        ("training", "train"),
        ("val", "judge"),
        ("valid", "judge"),
        ("validate", "judge"),
        ("validation", "judge"),
        ("dev", "judge"),
        ("judge", "judge"),
        ("TEST", "test"),
        ("testing", "test"),
        ("research", "research"),
    ],
)
def test_splits_have_the_names_of_other_tools(written: str, read: str, tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text(INDEX.replace("train", written))
    (row,) = read_index(tmp_path)
    assert (row.split, row.labels, row.source, row.age) == (read, ("Effusion",), "", None)
