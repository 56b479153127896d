# SPDX-License-Identifier: Apache-2.0
"""Tables and reports that say two things, name nobody, or are none: told, never taken silently."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_cxr_cf.data.captioned import survey
from monai_cxr_cf.errors import UnreadableInput
from tests.data.made import SAID, Mimic, Plus


def again(m: Mimic, table: str, row: int, **cells: str) -> None:
    """A row once more, with other cells."""
    m.tables[table].append({**m.tables[table][row], **cells})
    m.write()


def folder_for(m: Mimic, table: str) -> None:
    """A folder under a table's name."""
    path = m.folder / m.at.format(table)
    path.unlink()
    path.mkdir()


REFUSED = {
    "an image in two splits": (lambda m: again(m, "split", 0, split="test"), "two things of x0-a"),
    "two label rows of a study": (lambda m: again(m, "chexpert", 1, Edema="0.0"),
                                  "two things of study 50000001"),
    "a folder for a table": (lambda m: folder_for(m, "split"), "has no mimic-cxr-2"),
    "splits of another name": (lambda m: [m.cells("split", n, split="val") for n in range(4)],
                               "2 without a known split"),
    "a label with two zeros": (lambda m: m.cells("chexpert", 0, Edema="1.00"), "'1.00' in column"),
    "an empty archive": (lambda m: (m.folder / m.at.format("split")).write_bytes(b""), "is empty"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_by_what_is_wrong(
    change: Callable[[Mimic], object], words: str, tmp_path: Path
) -> None:
    change(Mimic(tmp_path))
    with pytest.raises(UnreadableInput, match=words):
        survey("mimic-cxr-jpg", tmp_path)


def test_the_same_row_twice_in_split_or_labels_says_nothing_new(tmp_path: Path) -> None:
    m = Mimic(tmp_path)
    again(m, "split", 0)
    again(m, "chexpert", 1)
    assert len(survey("mimic-cxr-jpg", tmp_path)[0]) == 2


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_reports_are_read_in_the_coding_that_their_mark_names(coding: str, tmp_path: Path) -> None:
    m = Mimic(tmp_path)
    path = m.reports / f"{m.place(0)}.txt"
    mark = "\ufeff" if coding == "utf-16-be" else ""
    path.write_bytes((mark + path.read_text()).encode(coding))
    assert survey("mimic-cxr-jpg", tmp_path)[0][0].prompt == SAID


@pytest.mark.parametrize("patient", ["", "nan"])
def test_an_image_of_nobody_is_left_out_and_counted(patient: str, tmp_path: Path) -> None:
    p = Plus(tmp_path)
    p.cells(0, deid_patient_id=patient)
    rows, counts = survey("chexpert-plus", tmp_path)
    assert len(rows) == 1
    assert counts.left["without a patient"] == 1


def test_labels_that_are_still_packed_are_told(tmp_path: Path) -> None:
    p = Plus(tmp_path)
    (tmp_path / "chexbert_labels.zip").write_bytes(b"PK")
    assert any("still packed" in note for note in survey("chexpert-plus", tmp_path)[1].notes)
    (tmp_path / "chexbert_labels").mkdir()
    path = p.rows[1]["path_to_image"]
    text = json.dumps({"path_to_image": path, "Edema": 1})
    (tmp_path / "chexbert_labels" / "report_fixed.json").write_text(text)
    rows, counts = survey("chexpert-plus", tmp_path)
    assert rows[1].prompt == "pulmonary edema"
    assert not any("still packed" in note for note in counts.notes)
