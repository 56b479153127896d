# SPDX-License-Identifier: Apache-2.0
"""Sentences of reports with what they say of their film: present, hedged, absent, by kind.

``reports.tsv`` has one report a line: kind, report (``\\n`` is a line break), present
(finding/side/zone/severity, "; " between), hedged and absent (names, ", " between); "-" is none.
"""

import csv
import random
from pathlib import Path

import pytest

from monai_cxr_cf.prompts.clean import clean_report, read_report
from monai_cxr_cf.prompts.compose import NORMAL
from monai_cxr_cf.prompts.parse import parse_prompt
from monai_cxr_cf.request import FindingEdit
from tests.fuzz import examples

TABLE = Path(__file__).with_name("reports.tsv")


def rows() -> list[dict[str, str]]:
    """The table, with line breaks; a literal backslash and n stays in rows of that kind."""
    with TABLE.open(encoding="utf-8", newline="") as text:
        table = list(csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE))
    for row in table:
        if row["kind"] != "literal break":
            row["report"] = row["report"].replace("\\n", "\n")
    return table


def names(cell: str, between: str = ", ") -> set[str]:
    """The entries of a cell."""
    return set() if cell == "-" else {entry.strip() for entry in cell.split(between)}


def entry(edit: FindingEdit) -> str:
    """A present finding in the notation of the table."""
    severity = "-" if edit.severity is None else f"{edit.severity:g}"
    return "/".join((edit.finding, edit.side or "-", edit.zone or "-", severity))


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['kind']}: {row['report'][:60]}")
def test_a_report_says_what_the_table_says(row: dict[str, str]) -> None:
    reading = read_report(row["report"])
    assert {entry(edit) for edit in reading.present} == names(row["present"], "; ")
    assert {edit.finding for edit in reading.hedged} == names(row["hedged"])
    assert {edit.finding for edit in reading.absent} == names(row["absent"])


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['kind']}: {row['report'][:60]}")
def test_a_caption_holds_what_is_present_in_lower_case(row: dict[str, str]) -> None:
    caption = clean_report(row["report"])
    assert caption == caption.lower()
    present = {name.split("/")[0] for name in names(row["present"], "; ")}
    if present:
        assert {edit.finding for edit in parse_prompt(caption).findings} == present
    elif row["hedged"] != "-":
        assert caption == ""  # a doubt is neither a finding nor a normal film
    elif row["absent"] != "-":
        assert caption == NORMAL
    else:
        assert caption in ("", NORMAL)


def test_hedged_findings_are_kept_where_that_is_asked_for() -> None:
    report = "Small left effusion. Possible right upper lobe nodule."
    assert clean_report(report) == "mild left effusion"
    kept = clean_report(report, uncertain="present")
    assert kept == "mild left effusion and right upper lung nodule"


def test_the_table_holds_enough_reports_of_every_kind() -> None:
    table = rows()
    assert len(table) >= 120
    assert len({row["report"] for row in table}) == len(table)
    assert len({row["kind"] for row in table}) >= 12


def test_mixed_reports_are_read_without_a_crash() -> None:
    rng = random.Random(0)
    table = [row["report"] for row in rows()]
    read = 0
    for _ in range(examples(200)):
        pieces = [rng.choice(table) for _ in range(rng.randint(1, 4))]
        text = rng.choice((" ", "\n", "\n\n", "; ", " and ")).join(pieces)
        words = text.split(" ")
        rng.shuffle(words) if rng.random() < 0.2 else words.pop(rng.randrange(len(words)))
        caption = clean_report(" ".join(words))
        assert caption in ("", NORMAL) or parse_prompt(caption).findings, text
        read += caption not in ("", NORMAL)
    assert read > examples(200) / 4


def test_two_reports_in_a_row_say_what_each_says() -> None:
    """A sentence changes nothing about the next, whatever stands before it."""
    rng = random.Random(1)
    plain = [r for r in rows() if ":" not in r["report"] and "\n" not in r["report"]]
    plain = [r for r in plain if r["report"].endswith(".") and "It has" not in r["report"]]
    assert len(plain) > 80
    for _ in range(examples(400)):
        pair = rng.sample(plain, 2)
        reading = read_report(rng.choice((" ", "\n", "\n\n")).join(r["report"] for r in pair))
        present = [names(r["present"], "; ") for r in pair]
        assert {entry(edit) for edit in reading.present} == present[0] | present[1], pair
        for found, column in ((reading.hedged, "hedged"), (reading.absent, "absent")):
            said = [names(r[column]) for r in pair]
            assert {edit.finding for edit in found} == said[0] | said[1], pair
