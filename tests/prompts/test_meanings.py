# SPDX-License-Identifier: Apache-2.0
"""Prompts with their meaning, by kind: each is read as it is meant, or refused; none is reversed.

``meanings.tsv`` grew with the grammar; ``meanings_stranger.tsv`` was written by someone who had not
read it. Both have one prompt a line: kind, prompt, expected, now. ``expected`` lists what the
prompt asks for as finding/side/zone/direction/severity ("-" where nothing is said), with "; "
between, or says "refused" where the words leave it open. The last column says "refused" where a
prompt has a meaning that the grammar does not read. Add a line to add a case.
"""

import csv
from pathlib import Path

import pytest

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.parse import parse_prompt
from monai_cxr_cf.request import FindingEdit

TABLES = ("meanings.tsv", "meanings_stranger.tsv")


def rows() -> list[dict[str, str]]:
    """All tables, one after the other; missing last cells are empty."""
    found: list[dict[str, str]] = []
    for name in TABLES:
        with Path(__file__).with_name(name).open(encoding="utf-8", newline="") as text:
            found += csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE, restval="")
    return found


def entry(edit: FindingEdit) -> str:
    """One entry in the notation of the table."""
    words = {"add": "add", "change": "worse", "remove": "remove"}[edit.direction]
    partial = edit.direction == "remove" and edit.severity is not None
    severity = "-" if edit.severity is None else f"{edit.severity:g}"
    side, zone = edit.side or "-", edit.zone or "-"
    return "/".join((edit.finding, side, zone, "better" if partial else words, severity))


def read(prompt: str) -> set[str] | None:
    """What the parser reads; None if it refuses, which it does with a question to the writer."""
    refusal = None
    try:
        found = parse_prompt(prompt).findings
    except BadRequest as error:
        refusal = error
    if refusal is not None:
        assert refusal.hint
        return None
    return {entry(edit) for edit in found}


def meant(row: dict[str, str]) -> set[str]:
    """The entries of a row; severities are numbers."""
    cells = [entry.strip().split("/") for entry in row["expected"].split(";")]
    return {"/".join((*c[:4], c[4] if c[4] == "-" else f"{float(c[4]):g}")) for c in cells}


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['kind']}: {row['prompt']}")
def test_a_prompt_is_read_as_meant_or_refused(row: dict[str, str]) -> None:
    if "refused" in (row["expected"], row["now"]):
        assert read(row["prompt"]) is None
    else:
        assert read(row["prompt"]) == meant(row)


def test_the_tables_hold_many_kinds_and_no_prompt_twice() -> None:
    table = rows()
    assert len({row["kind"] for row in table}) >= 12
    assert len({row["prompt"] for row in table}) == len(table)
    readable = [row for row in table if "refused" not in (row["expected"], row["now"])]
    assert len(readable) > len(table) / 3  # a parser that refuses everything is of no use
