# SPDX-License-Identifier: Apache-2.0
"""Training a judge at small size: own patients only, bit-exact resume, honest heads, a folder."""

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.evaluation.classifiers import evaluate_classifier, within_view
from monai_cxr_cf.judges.classifier import load_judge
from monai_cxr_cf.judges.split import role
from monai_cxr_cf.training import loop
from monai_cxr_cf.training.classifier.data import augmented, label_of, load_judge_set, zone_figures
from monai_cxr_cf.training.classifier.heads import Samples, auc, fit, folds_of, train_head
from monai_cxr_cf.training.classifier.recipe import ClassifierRecipe
from monai_cxr_cf.training.classifier.train import FirstStage, train_classifier
from monai_cxr_cf.training.loop import state_of

SIDE = 64
COLUMNS = (
    *("id", "source", "patient", "view", "age", "sex", "labels", "text", "split", "organ_mask"),
    *("retrocardiac_mask", "landmarks", "licence", "weights_may_ship"),
)
TINY = ClassifierRecipe(
    side=SIDE, width=8, growth=4, blocks=(1, 1, 1), hidden=8, batch=4, steps=4, copies=2,
    findings=("cardiomegaly", "pleural effusion"), precision="no", check_every=2,
    ridges=(1.0,),
)  # fmt: skip


def chest(large: bool) -> np.ndarray:
    """256 x 256 organ labels with a small or a large heart."""
    y, x = np.mgrid[:256, :256]
    found = np.zeros((256, 256), np.uint8)
    found[((y - 128) / 96) ** 2 + ((x - 72) / 44) ** 2 < 1] = 1
    found[((y - 128) / 96) ** 2 + ((x - 184) / 44) ** 2 < 1] = 2
    found[((y - 170) / 40) ** 2 + ((x - 140) / (70 if large else 34)) ** 2 < 1] = 3
    return found


def write_data(folder: Path) -> Path:
    """Drawn chests of 60 patients in the judge split and 20 in test; one research image."""
    (folder / "images").mkdir(parents=True)
    rng, lines, maps = np.random.default_rng(0), [], {}
    kinds = [("judge", "nih", "yes")] * 60 + [("test", "nih", "yes")] * 20
    for k, (split, source, ship) in enumerate([*kinds, ("research", "jsrt", "no")]):
        large, fluid = k % 3 == 0, k % 2 == 0
        labels = chest(large)
        image = np.choose(labels, [0.7, 0.25, 0.25, 0.75]) + rng.normal(0, 0.03, labels.shape)
        if fluid:
            image[190:220, 40:110] = 0.75
        name = f"{k:05d}"
        grey = Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8)).resize((96, 96))
        grey.save(folder / "images" / f"{name}.jpg")
        found = [*(["Cardiomegaly"] if large else []), *(["Effusion"] if fluid else [])]
        row = dict.fromkeys(COLUMNS, "")
        row |= {"id": name, "source": source, "patient": f"p{k}",
                "view": "PA" if k % 5 < 3 else "AP",
                "labels": "|".join(found) or "No Finding", "split": split,
                "weights_may_ship": ship}  # fmt: skip
        lines.append(row)
        maps[name] = labels
    with (folder / "index.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(lines)
    np.savez_compressed(folder / "organs.npz", **maps)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("judges") / "cxr")


@pytest.fixture(scope="module")
def own(data):
    return load_judge_set(data, "j1", side=SIDE, cache=data)


def test_a_judge_loads_its_own_patients_only(data, own):
    assert len(own.rows) > 10
    assert {role(row) for row in own.rows} == {"j1"}
    assert own.squares.shape[1:] == (SIDE, SIDE)
    assert own.regions.shape[2:] == (SIDE // 8, SIDE // 8)
    other = load_judge_set(data, "j2", side=SIDE, cache=data)
    assert not {row.patient for row in own.rows} & {row.patient for row in other.rows}


def test_a_run_resumed_from_its_checkpoint_is_bit_exact(own, tmp_path):
    straight = FirstStage(TINY, own, out=tmp_path / "a", max_minutes=None)
    for _ in range(4):
        straight.step()
    first = FirstStage(TINY, own, out=tmp_path / "b", max_minutes=None)
    for _ in range(2):
        first.step()
    first.check()
    second = FirstStage(TINY, own, out=tmp_path / "b", max_minutes=None)
    second.restore()
    for _ in range(2):
        second.step()
    expected, found = state_of(straight), state_of(second)
    for name, value in expected["model"].items():
        assert torch.equal(value, found["model"][name]), name
    for name, value in expected["ema"]["shadow"].items():
        assert torch.equal(value, found["ema"]["shadow"][name]), name


def test_training_writes_a_judge_that_loads_and_is_measured(data, tmp_path):
    config = tmp_path / "tiny.yaml"
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(TINY).items()}
    config.write_text(yaml.safe_dump(plain))
    out = tmp_path / "run"
    out.mkdir()
    (out / "organs.npz").write_bytes((data / "organs.npz").read_bytes())
    folder = train_classifier(config, data, out=out)
    assert (out / "curves.png").is_file()
    assert list((out / "tensorboard").iterdir())
    judge = load_judge(folder)
    assert judge.findings == ("cardiomegaly", "pleural effusion")
    assert not judge.counts("cardiomegaly")  # not measured yet

    result = evaluate_classifier(folder, data)
    assert result["images"] == result["patients"] == 20
    again = load_judge(folder)
    for figures in again.auc.values():
        assert figures["low"] <= figures["auc"] <= figures["high"]
    assert again.sha256 == judge.sha256
    assert "cardiomegaly" in (folder / "MODEL_CARD.md").read_text()
    curve = json.loads((folder / "learning_curve.json").read_text())
    assert len(curve["cardiomegaly"]["auc"]) == 4
    assert (folder / "learning_curve.png").is_file()


def test_labels_of_nih_are_certain_and_prose_is_optional(data):
    row = read_index(data)[0]
    assert label_of(row, "cardiomegaly") == (1.0, 1.0)
    assert label_of(row, "atelectasis") == (0.0, 1.0)
    written = replace(row, source="cohen", text="Patchy consolidation in the right lower lobe.")
    assert label_of(written, "consolidation") is None
    assert label_of(written, "consolidation", prose=0.3) == (1.0, 1.0)
    assert label_of(written, "pneumonia", prose=0.3) == (0.0, 0.3)
    assert label_of(written, "cardiomegaly", prose=0.3) is None


def test_augmentation_moves_image_and_regions_alike_and_repeats(own):
    first, second = (
        augmented(own.squares[:4], own.regions[:4], loop.step_generator(3, 0)) for _ in range(2)
    )
    assert torch.equal(first[0], second[0])
    assert first[0].shape == (4, 1, SIDE, SIDE)
    heart = zone_figures(*first)[:, -3, 0]
    lungs = zone_figures(*first)[:, -1, 0]
    assert (heart > lungs).all()  # the maps still lie on their organs


def samples(count: int = 80, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 4 == 0).astype(float)
    features = rng.normal(size=(count, 30))
    features[:, 0] += 3 * labels
    patients = tuple(f"p{k // 2}" for k in range(count))
    groups = tuple("nih" if k % 5 else "cohen" for k in range(count))
    scored = np.array([group == "nih" for group in groups])
    return Samples(features, labels, np.ones(count), patients, groups, scored)


def test_auc_counts_ordered_pairs():
    labels = np.array([0.0, 0.0, 1.0, 1.0])
    assert auc(np.array([0.1, 0.4, 0.35, 0.8]), labels) == 0.75
    assert auc(np.zeros(4), labels) == 0.5
    assert np.isnan(auc(np.zeros(2), np.zeros(2)))


def test_a_ridge_map_finds_the_signal_and_repeats():
    learnt, unseen = samples(), samples(seed=1)
    linear = fit(learnt, ridge=1.0)
    assert auc(linear(unseen.features), unseen.labels) > 0.8
    np.testing.assert_array_equal(linear.weight, fit(learnt, ridge=1.0).weight)


def test_a_collection_that_differs_only_by_its_source_teaches_nothing():
    learnt = samples()
    away = np.array([g == "cohen" for g in learnt.groups])
    shifted = replace(learnt, labels=np.where(away, 1.0, learnt.labels))
    shifted.features[:, 7] += 50 * away  # a mark of the collection, which is all positive
    linear = fit(shifted, ridge=0.1)
    assert auc(linear(samples(seed=1).features), samples(seed=1).labels) > 0.75


def test_no_patient_is_in_two_folds_and_probabilities_are_calibrated():
    learnt = samples()
    fold = folds_of(learnt)
    assert all(len({f for f, q in zip(fold, learnt.patients, strict=True) if q == p}) == 1
               for p in learnt.patients)  # fmt: skip
    linear, value = train_head(learnt)
    assert value > 0.7
    p = 1 / (1 + np.exp(-linear(samples(seed=2).features)))
    assert p[samples(seed=2).labels > 0].mean() > 0.5 > p[samples(seed=2).labels == 0].mean()


def test_pairs_of_different_views_do_not_score():
    labels = np.array([1.0, 0.0, 1.0, 0.0])
    scores = np.array([2.0, 2.0, 0.0, 0.0])
    assert within_view(scores, labels, ["AP", "AP", "PA", "PA"]) == 0.5
