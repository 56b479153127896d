# SPDX-License-Identifier: Apache-2.0
"""Any data folder: no name of a collection matters, labels in any spelling, few columns needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.errors import BadRequest, UnreadableInput
from monai_cxr_cf.evaluation import segmentation as organs
from monai_cxr_cf.evaluation.classifier.run import evaluate_classifier
from monai_cxr_cf.evaluation.cohort import findings, held_out, without_findings
from monai_cxr_cf.evaluation.edits import inputs
from monai_cxr_cf.evaluation.edits.protocol import EDITS
from monai_cxr_cf.weights import models_folder
from tests.dicom.factory import phantom, phantom_masks

LABELS = ("No Finding", "Pleural Effusion", "Effusion|Edema", "Cardiomegaly|Support Devices", "")


def index(folder: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    """An index.csv of these cells."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [",".join(columns), *(",".join(row) for row in rows)]
    (folder / "index.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Ten PNG radiographs with id, patient, view and labels, and nothing else."""
    rows = [(f"i{n}", f"p{n}", "PA", LABELS[n % 5]) for n in range(10)]
    folder = index(tmp_path / "mine", ("id", "patient", "view", "labels"), rows)
    (folder / "images").mkdir()
    for n in range(10):
        values = (phantom(120, 96) * (200 + 5 * n)).astype(np.uint8)
        Image.fromarray(values).save(folder / "images" / f"i{n}.png")
    return folder


def test_labels_of_every_spelling_are_the_same_findings(labelled: Path) -> None:
    normal, chexpert, nih, heart, blank = read_index(labelled, inputs.COLUMNS)[:5]
    assert findings(chexpert) == {"pleural effusion"}
    assert findings(nih) == {"pleural effusion", "pulmonary edema"}
    assert findings(heart) == {"cardiomegaly"}
    assert findings(normal) == findings(blank) == frozenset()
    assert [without_findings(r) for r in (normal, chexpert, heart, blank)] == [True] + [False] * 3


def test_without_a_split_all_is_held_out_and_with_one_it_must_be_there(
    labelled: Path, tmp_path: Path
) -> None:
    assert len(held_out(labelled, "test", inputs.COLUMNS)) == 10
    rows = [("a", "p", "validation"), ("b", "q", "test")]
    split = index(tmp_path / "split", ("id", "patient", "split"), rows)
    assert [row.id for row in held_out(split, "test", ("id",))] == ["b"]
    with pytest.raises(BadRequest, match="no split 'train'") as caught:
        held_out(split, "train", ("id",))
    assert caught.value.hint == "Splits: judge, test."
    with pytest.raises(UnreadableInput, match="labels"):
        held_out(split, "test", inputs.COLUMNS)


def test_edits_find_their_radiographs_whatever_labels_and_endings_are_called(
    labelled: Path,
) -> None:
    rows = held_out(labelled, "test", inputs.COLUMNS)
    chosen = {edit.group: inputs.candidates(rows, edit, "PA") for edit in EDITS}
    assert {row.id for row in chosen["remove effusion"]} == {"i1", "i2", "i6", "i7"}
    assert {row.id for row in chosen["remove cardiomegaly"]} == {"i3", "i8"}
    for edit in EDITS:
        if edit.direction == "add":
            assert {row.id for row in chosen[edit.group]} == {"i0", "i5"}
    source = Path(inputs.input_of(rows[1], labelled).path)
    assert source == labelled / "images" / "i1.png"
    assert source.is_file()


def test_a_judge_is_measured_on_any_folder(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = tmp_path / "judge"
    judge.mkdir()
    for path in (models_folder() / "judges" / "j1").iterdir():
        (judge / path.name).write_bytes(path.read_bytes())
    result: dict[str, Any] = evaluate_classifier(judge, labelled)
    assert result["images"] == 8, "two rows have no label"
    assert result["auc"]["pleural effusion"]["positives"] == 4
    assert result["auc"]["pulmonary edema"]["positives"] == 2
    nothing = index(tmp_path / "none", ("id", "patient", "labels"), [("a", "p", "")])
    with pytest.raises(UnreadableInput, match="has labels"):
        evaluate_classifier(judge, nothing)


def test_organs_are_measured_on_any_folder_with_three_columns(tmp_path: Path) -> None:
    cells = [(f"i{n}", f"p{n}", "lungs+heart") for n in range(2)]
    folder = index(tmp_path / "drawn", ("id", "patient", "organ_mask"), cells)
    drawn = np.zeros((240, 192), np.uint8)
    for value, mask in enumerate(phantom_masks(240, 192).values(), 1):
        drawn[mask] = value
    for name, values in (("images", (phantom(240, 192) * 255).astype(np.uint8)),
                         ("organ_masks", drawn)):  # fmt: skip
        (folder / name).mkdir()
        for n in range(2):
            Image.fromarray(values).save(folder / name / f"i{n}.png")
    result = organs.evaluate_segmentation(folder, models_folder(), every=True)
    assert result["collections"]["drawn"]["images"] == 2
    assert 0 < result["collections"]["drawn"]["dice_lungs"] <= 1
    assert result["bars"] == []
    with pytest.raises(UnreadableInput, match="held out"):
        organs.evaluate_segmentation(
            index(tmp_path / "no", ("id", "patient", "organ_mask"), [("a", "p", "")]),
            models_folder(), every=True,
        )  # fmt: skip
