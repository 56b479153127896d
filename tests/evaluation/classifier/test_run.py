# SPDX-License-Identifier: Apache-2.0
"""A judge on a drawn collection: figures beside its scores, experts asked, gaps said in words."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.cli import main
from monai_cxr_cf.evaluation.classifier.run import evaluate_classifier
from monai_cxr_cf.judges.classifier import load_judge


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "cxr"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines, experts = ["id,patient,view,labels,split"], ["id,rsna,google_pneumothorax"]
    for k in range(24):
        side = 128 if k % 2 else 200
        pixels = rng.integers(0, 255, (side, side)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{k}.png")
        label = ("Effusion", "No Finding", "Consolidation")[k % 3]
        lines.append(f"{k},p{k // 2},{'PA' if k % 4 < 2 else 'AP'},{label},test")
        experts.append(f"{k},{'Lung Opacity' if k % 3 == 2 else 'Normal'},")
    (folder / "index.csv").write_text("\n".join(lines))
    (folder / "expert.csv").write_text("\n".join(experts))
    return folder


def test_figures_stand_beside_every_score(tiny_judge, collection, tmp_path):
    folder = shutil.copytree(tiny_judge, tmp_path / "judge")
    result = evaluate_classifier(folder, collection)
    assert result["images"] == 24
    assert result["patients"] == 12
    assert set(result["auc"]) == {"pleural effusion", "consolidation"}
    assert set(result["auc"]["pleural effusion"]) >= {"auc", "low", "high", "PA", "AP", "all_pairs"}
    assert result["not_measured"] == {
        "cardiomegaly": "cardiomegaly: of 24 radiographs none names it: there were no positives"
    }
    assert list(result["experts"]) == ["rsna"]
    assert result["experts"]["rsna"]["finding"] == "consolidation"
    assert result["experts"]["rsna"]["positives"] == 8
    assert set(result["confounds"]) == {"view", "size", "findings"}
    again = load_judge(folder)
    assert again.sha256 == load_judge(tiny_judge).sha256
    assert again.auc == json.loads(json.dumps(result["auc"]))
    card = (folder / "MODEL_CARD.md").read_text()
    assert "| cardiomegaly | not measured |" in card
    assert result["table"] in card


def test_scores_are_those_of_the_judge(tiny_judge, collection, tmp_path):
    folder = shutil.copytree(tiny_judge, tmp_path / "judge")
    result = evaluate_classifier(folder, collection)
    judge = load_judge(folder)
    images = [
        np.asarray(Image.open(collection / "images" / f"{k}.png"), np.float32) / 255
        for k in range(24)
    ]
    told = judge.predict(images)[:, judge.findings.index("pleural effusion")]
    truth, portable = np.arange(24) % 3 == 0, np.arange(24) % 4 >= 2
    pairs = [
        (told[a] > told[b]) + 0.5 * (told[a] == told[b])
        for view in (False, True)
        for a in np.flatnonzero(truth & (portable == view))
        for b in np.flatnonzero(~truth & (portable == view))
    ]
    assert result["auc"]["pleural effusion"]["auc"] == pytest.approx(np.mean(pairs), abs=0.02)


def test_the_command_says_in_words_what_was_not_there(tiny_judge, collection, tmp_path, capsys):
    folder = shutil.copytree(tiny_judge, tmp_path / "judge")
    assert main(["evaluate", "classifier", "--judge", str(folder), "--data", str(collection)]) == 0
    said = capsys.readouterr().out
    assert "nan" not in said
    assert "cardiomegaly: of 24 radiographs none names it: there were no positives" in said
    assert "consolidation against rsna: AUC" in said
    assert "| size: " in said
