# SPDX-License-Identifier: Apache-2.0
"""Arms of drawn chests: learnt at small size, resumed, refused where patients would mix."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.batch.export.samples import ARMS, COPIES, EDITED, REAL
from monai_cxr_cf.cli import main
from monai_cxr_cf.errors import CxrError
from monai_cxr_cf.evaluation.augmentation import run as module
from monai_cxr_cf.evaluation.augmentation.arms import cohort, materials
from monai_cxr_cf.evaluation.augmentation.run import RECIPE, learnt
from monai_cxr_cf.evaluation.augmentation.table import figures
from tests.training.classifier.test_classifier import chest

TINY = replace(RECIPE, side=64, detail=64, depth=5, frozen=1, batch=4, steps=4, check_every=2)
HEAD = ("id", "source", "patient", "view", "split", "labels")


def write(folder, cells, maps):
    """A data folder; ``maps`` gets the organs of each radiograph."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(len(cells))
    for name, _, _, _, _, labels in cells:
        found = chest("ardiomegaly" in labels)
        image = np.choose(found, [0.7, 0.25, 0.25, 0.75]) + rng.normal(0, 0.03, found.shape)
        if "ffusion" in labels:
            image[190:220, 40:110] = 0.75
        grey = Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8)).resize((96, 96))
        grey.save(folder / "images" / f"{name}.png")
        maps[name] = found
    with (folder / "index.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([HEAD, *cells])


@pytest.fixture
def place(tmp_path):
    """``data``, ``arms`` and the organ maps in ``out``, so that no segmenter is needed."""
    kinds = ("No Finding", "Effusion", "Cardiomegaly", "Effusion|Cardiomegaly")
    real = [(f"{k:05d}", "nih", f"p{k}", "PA" if k % 8 < 5 else "AP",
             "train" if k < 24 else "test", kinds[k % 4]) for k in range(48)]  # fmt: skip
    sources = [(f"s{row[0]}", *row[1:]) for row in real[:24:4]]
    copies = [(f"{r[0]}-1-copy", *r[1:]) for r in sources]
    edits = [(f"{r[0]}-1", *r[1:5], "pleural effusion") for r in sources]
    made = {"data": (real, REAL), "arms/real": (sources, ""),
            f"arms/{COPIES}": (sources + copies, COPIES),
            f"arms/{EDITED}": (sources + edits, EDITED)}  # fmt: skip
    for name, (cells, cache) in made.items():
        maps = {}
        write(tmp_path / name, cells, maps)
        if cache:
            (tmp_path / "out" / "cache" / cache).mkdir(parents=True)
            np.savez_compressed(tmp_path / "out" / "cache" / cache / "organs.npz", **maps)
    return tmp_path


def words(place):
    return ["evaluate", "augmentation", "--arms", str(place / "arms"), "--data",
            str(place / "data"), "--out", str(place / "out"), "--progress", "none"]  # fmt: skip


def test_three_arms_in_one_command_and_once_more(place, monkeypatch, capfd):
    monkeypatch.setattr(module, "RECIPE", TINY)
    assert main([*words(place), "--seeds", "2", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["images"] == {REAL: 24, COPIES: 30, EDITED: 30, "held_out": 24}
    assert told["patients"] == {"train": 24, "held_out": 24}
    effusion = told["findings"]["pleural effusion"]
    assert effusion["learnt_positives"] == {REAL: 12, COPIES: 12, EDITED: 18}
    assert (effusion["positives"], effusion["negatives"]) == (12, 12)
    for arm in ARMS:
        found = effusion["arms"][arm]
        assert found["low"] <= found["auc"] <= found["high"]
        assert found["auc"] == pytest.approx(np.mean(found["seeds"]), abs=1e-4)
        assert len(set(found["seeds"])) == 2
    gain = effusion["differences"][f"{EDITED} - {COPIES}"]
    parts = [effusion["arms"][arm]["auc"] for arm in (EDITED, COPIES)]
    assert gain["auc"] == pytest.approx(parts[0] - parts[1], abs=2e-4)
    out = place / "out"
    assert {p.name for p in out.iterdir()} == {
        *("augmentation.md", "augmentation.json", "augmentation.png", "rows.jsonl"),
        *("cache", "runs"),
    }
    assert not list((out / "runs").iterdir())
    with Image.open(out / "augmentation.png") as picture:
        assert picture.width > 400
    monkeypatch.setattr(module, "learnt", None)  # nothing is trained again
    assert main([*words(place), "--seeds", "2"]) == 0
    said = capfd.readouterr().out
    assert "| real + counterfactuals | 30 | 18 | 12 |" in said
    assert json.loads((out / "augmentation.json").read_text()) == told


def test_a_training_goes_on_where_it_stopped(place):
    who = cohort(place / "data", place / "arms", "test")
    given = materials(who, TINY, place / "out" / "cache")[EDITED]
    straight = learnt(TINY, given, place / "a", lambda step: None)

    def stop(step):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learnt(TINY, given, place / "b", stop)
    steps = []
    again = learnt(TINY, given, place / "b", steps.append)
    assert steps == [3, 4]
    np.testing.assert_array_equal(again, straight)


def test_a_better_arm_is_told_with_paired_intervals(place):
    who = cohort(place / "data", place / "arms", "test")
    given = materials(who, TINY, place / "out" / "cache")
    truth = np.array([[float("Effusion" in row.labels)] for row in who.test])
    told = figures(given, ["pleural effusion"],
                   {REAL: [-truth, truth], COPIES: [0 * truth], EDITED: [truth]})  # fmt: skip
    found = told["findings"]["pleural effusion"]
    assert found["arms"][EDITED] == {"auc": 1.0, "low": 1.0, "high": 1.0, "seeds": [1.0]}
    assert found["arms"][REAL] == {"auc": 0.5, "low": 0.5, "high": 0.5, "seeds": [0.0, 1.0]}
    assert found["differences"][f"{EDITED} - {COPIES}"] == {"auc": 0.5, "low": 0.5, "high": 0.5}


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("data", "00030,nih,p30", "00030,nih,p3", "1 patients are both in train and in test"),
        (f"arms/{EDITED}", "s00004-1,nih,p4", "s00004-1,nih,q4", "1 patients of the export"),
        (f"arms/{COPIES}", "s00004-1-copy,nih,p4,PA,train", "s00004-1-copy,nih,p4,PA,test",
         "6 counterfactuals and 5 copies"),
        ("arms/real", "s00004,nih,p4,PA,train,No Finding", "s00004,nih,p4,PA,train,",
         "sources without labels"),
        ("data", ",test,", ",other,", "24 labelled radiographs in train and 0 in test"),
    ],
)  # fmt: skip
def test_what_would_mix_patients_is_refused(place, file, old, new, message):
    index = place / file / "index.csv"
    text = index.read_text()
    assert old in text
    index.write_text(text.replace(old, new))
    with pytest.raises(CxrError, match=message):
        cohort(place / "data", place / "arms", "test")


def test_wrong_words_end_before_anything_is_read(place, capsys):
    assert main([*words(place), "--split", "train"]) == 2
    assert main([*words(place), "--findings", "pneumomediastinum"]) == 2
    assert "Such as" in capsys.readouterr().err
