# SPDX-License-Identifier: Apache-2.0
"""One switch for doubts, in words and in labels: left out, or counted as present, and told."""

import json
from pathlib import Path

import pytest

from monai_cxr_cf.cli import main
from monai_cxr_cf.data.captioned import Collection, survey
from monai_cxr_cf.data.table import Wanted
from monai_cxr_cf.errors import BadRequest
from tests.data.made import SAID, Mimic, Plus

HEDGED = "FINAL REPORT\n FINDINGS: Possible right lower lobe pneumonia. Small left effusion.\n"


@pytest.fixture
def mimic(tmp_path: Path) -> Path:
    """The first image has a hedged report, the second an uncertain label alone."""
    made = Mimic(tmp_path)
    (made.reports / f"{made.place(0)}.txt").write_text(HEDGED)
    made.cells("chexpert", 1, Edema="-1.0", Cardiomegaly="1.0")
    return tmp_path


PROMPTS = {
    "drop": ["mild left effusion", "cardiomegaly"],
    "present": ["right lower lung pneumonia and mild left effusion", "cardiomegaly and edema"],
}
NOTES = {
    "drop": "uncertain ones count as nothing",
    "present": "uncertain ones count as present",
}


@pytest.mark.parametrize("rule", PROMPTS)
def test_words_and_labels_follow_one_rule(rule: str, mimic: Path) -> None:
    rows, counts = survey("mimic-cxr-jpg", mimic, Wanted(uncertain=rule))
    said = [row.prompt for row in rows]
    assert [set(p.replace("pulmonary ", "").split(" and ")) for p in said] == [
        set(p.split(" and ")) for p in PROMPTS[rule]
    ]
    assert any(NOTES[rule] in note for note in counts.notes)
    told = "hedged findings of reports count as present" in counts.notes
    assert told == (rule == "present")
    learnt = Collection(mimic, "mimic-cxr-jpg", uncertain=rule).read(("PA",), ("train",))
    assert [row.prompt for row in learnt] == said


def test_chexbert_labels_follow_it_too(tmp_path: Path) -> None:
    made = Plus(tmp_path)
    second = made.rows[1]["path_to_image"]
    (tmp_path / "report_fixed.json").write_text(
        json.dumps({"path_to_image": second, "Edema": -1, "Pneumonia": 0}) + "\n"
    )
    found = {
        rule: [row.prompt for row in survey("chexpert-plus", tmp_path, Wanted(uncertain=rule))[0]]
        for rule in PROMPTS
    }
    assert found == {"drop": [SAID, ""], "present": [SAID, "pulmonary edema"]}


def test_the_command_line_counts_by_it(mimic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["read", str(mimic), "--layout", "mimic-cxr-jpg", "--uncertain"]
    assert main([*words, "present"]) == 0
    assert "pneumonia" in capsys.readouterr().out
    assert main([*words, "drop"]) == 0
    assert "pneumonia" not in capsys.readouterr().out


WRONG = {
    "one file": (["read", "docs/example.dcm", "--uncertain", "present"], "go with --layout"),
    "a network of organs": (
        ["train", "segmentation", "--data", "D", "--out", "O", "--uncertain", "present"],
        "are for fine-tuning",
    ),
    "a generator from nothing": (
        ["train", "diffusion", "--data", "D", "--out", "O", "--reports", "R"],
        "are for fine-tuning",
    ),
    "a language model": (
        ["train", "diffusion", "--data", "D", "--out", "O", "--layout", "mimic-cxr-jpg",
         "--uncertain", "present", "--cleaner", "llm", "--llm-model", "M"],
        "goes with --cleaner rules",
    ),
    "a data folder": (
        ["evaluate", "ablation", "--data", "D", "--out", "O", "--uncertain", "present"],
        "are for --layout",
    ),
    "another word": (["read", "D", "--layout", "folder", "--uncertain", "keep"], "keep"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "sentence"), WRONG.values(), ids=WRONG)
def test_a_flag_that_would_change_nothing_is_refused(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert sentence in capsys.readouterr().err


def test_reports_of_a_layout_that_holds_them_are_refused(tmp_path: Path) -> None:
    Plus(tmp_path)
    with pytest.raises(BadRequest, match="stand in its table"):
        survey("chexpert-plus", tmp_path, Wanted(reports=tmp_path))
