# SPDX-License-Identifier: Apache-2.0
"""Training a judge at small size: own patients, bit-exact resume, doubts left open, a folder."""

import csv
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.judges.classifier import load_judge
from monai_cxr_cf.judges.regions import PLANES
from monai_cxr_cf.judges.split import role
from monai_cxr_cf.training import loop
from monai_cxr_cf.training.classifier.augment import augmented
from monai_cxr_cf.training.classifier.data import load_regions, load_seen
from monai_cxr_cf.training.classifier.labels import (
    OPACITY,
    label_of,
    label_table,
    log_odds,
    second_looks,
    strata,
)
from monai_cxr_cf.training.classifier.recipe import ClassifierRecipe, Lesson, finding_loss
from monai_cxr_cf.training.classifier.train import Training, train_classifier
from monai_cxr_cf.training.loop import state_of

SIDE = 64
COLUMNS = (
    *("id", "source", "patient", "view", "age", "sex", "labels", "text", "split", "organ_mask"),
    *("retrocardiac_mask", "landmarks", "licence", "weights_may_ship"),
)
TINY = ClassifierRecipe(
    side=SIDE, detail=SIDE, depth=5, frozen=1, hidden=8, batch=4, steps=4,
    findings=("cardiomegaly", "pleural effusion"), check_every=2,
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
    return load_seen(data, "j1", TINY.shape())


def test_a_judge_loads_its_own_patients_only(data, own):
    assert len(own.rows) > 10
    assert {role(row) for row in own.rows} == {"j1"}
    assert own.squares.shape[1:] == (SIDE, SIDE)
    assert own.small.all()
    other = load_seen(data, "j2", TINY.shape())
    assert not {row.patient for row in own.rows} & {row.patient for row in other.rows}


def test_regions_are_made_once(data, own, tmp_path):
    (tmp_path / "organs.npz").write_bytes((data / "organs.npz").read_bytes())
    first = load_regions(data, own.rows, side=SIDE, cache=tmp_path)
    assert first.shape == (len(own.rows), len(PLANES), SIDE // 8, SIDE // 8)
    (tmp_path / "organs.npz").unlink()
    np.testing.assert_array_equal(load_regions(data, own.rows, side=SIDE, cache=tmp_path), first)


def test_a_folder_without_patients_for_a_judge_is_refused(data, tmp_path):
    lines = (data / "index.csv").read_text().splitlines()
    (tmp_path / "index.csv").write_text("\n".join(line for line in lines if ",judge," not in line))
    with pytest.raises(UnreadableInput, match="no labelled image for j1"):
        load_seen(tmp_path, "j1", TINY.shape())


@pytest.fixture
def out(data, tmp_path):
    """A maker of output folders that hold the organ maps already."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "organs.npz").write_bytes((data / "organs.npz").read_bytes())
        return folder

    return make


def test_a_run_resumed_from_its_checkpoint_is_bit_exact(data, out):
    straight = Training(TINY, data, out=out("a"))
    for _ in range(4):
        straight.step()
    first = Training(TINY, data, out=out("b"))
    for _ in range(2):
        first.step()
    first.check()
    second = Training(TINY, data, out=out("b"))
    second.restore()
    for _ in range(2):
        second.step()
    expected, found = state_of(straight), state_of(second)
    for name, value in expected["model"].items():
        assert torch.equal(value, found["model"][name]), name
    for name, value in expected["ema"]["shadow"].items():
        assert torch.equal(value, found["ema"]["shadow"][name]), name


def test_what_is_frozen_stays_and_the_rest_learns(data, out):
    run = Training(TINY, data, out=out("a"))
    before = {k: v.clone() for k, v in run.model.network.state_dict().items()}
    run.step()
    after = run.model.network.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert not [n for n in moved if n.startswith(("trunk.stem", "trunk.blocks.0."))]
    assert [n for n in moved if n.startswith("trunk.blocks.4.")]
    assert {"findings.weight", "findings.bias", "region_head.0.weight"} <= moved


def test_training_writes_a_judge_that_loads(data, out, tmp_path):
    config = tmp_path / "tiny.yaml"
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(TINY).items()}
    config.write_text(yaml.safe_dump(plain))
    folder = train_classifier(config, data, out=out("run"))
    assert (tmp_path / "run" / "curves.png").is_file()
    judge = load_judge(folder)
    assert judge.findings == ("cardiomegaly", "pleural effusion")
    assert not judge.counts("cardiomegaly")  # not measured yet
    assert "| cardiomegaly | not measured |" in (folder / "MODEL_CARD.md").read_text()


def test_a_finding_sees_only_the_regions_it_can_lie_in():
    torch.manual_seed(0)
    lesson = Lesson(TINY).eval()
    torch.nn.init.ones_(lesson.network.findings.weight)
    lesson.network.findings.weight.data[:, lesson.sees.sum(0) == 0] = 1e9
    logits, regions = lesson(torch.rand(2, 1, SIDE, SIDE))
    assert logits.shape == (2, len(TINY.learnt()))
    assert logits[:, :2].abs().max() < 1e6
    assert regions.shape == (2, len(PLANES), SIDE // 8, SIDE // 8)


def test_doubts_are_left_open(data):
    row = read_index(data)[0]
    assert label_of(row, "cardiomegaly") == 1
    assert label_of(row, "atelectasis") == 0
    vague = replace(row, labels=("Infiltration",))
    assert np.isnan(label_of(vague, "consolidation"))
    assert label_of(vague, "pleural effusion") == 0
    both = replace(row, labels=("Infiltration", "Pneumonia"))
    assert label_of(both, "consolidation") == 1
    assert np.isnan(label_of(both, "consolidation", "Normal"))
    clean = replace(row, labels=("No Finding",))
    assert np.isnan(label_of(clean, "consolidation", "Lung Opacity"))
    assert label_of(clean, "cardiomegaly", "Lung Opacity") == 0
    assert label_of(clean, OPACITY, "Lung Opacity") == 1
    assert label_of(clean, OPACITY, "Normal") == 0
    assert np.isnan(label_of(clean, OPACITY))
    table = label_table([row, vague], ("cardiomegaly", "consolidation"), {})
    np.testing.assert_array_equal(table, np.array([[1, 0], [0, np.nan]], np.float32))


def test_second_looks_are_read_where_there_are_any(tmp_path):
    assert second_looks(tmp_path) == {}
    (tmp_path / "expert.csv").write_text("id,rsna\n1,Normal\n2,\n3,Lung Opacity\n")
    assert second_looks(tmp_path) == {"1": "Normal", "3": "Lung Opacity"}


def test_a_stratum_is_a_view_and_a_size_and_where_asked_being_ill(data):
    row = read_index(data)[0]
    rows = [replace(row, view=v, labels=(x,)) for v in ("PA", "AP") for x in ("Edema", "Effusion")]
    small = np.array([False, False, False, True])
    found = strata(rows, small, "pulmonary edema", apart=False)
    assert found[0] == found[1] != found[2] != found[3]
    apart = strata(rows, small, "pulmonary edema", apart=True)
    assert apart[0] != apart[1]


def test_log_odds_are_those_of_the_stratum():
    labels = np.array([1.0] * 30 + [0.0] * 70 + [0.0] * 99 + [1.0] + [np.nan] * 5, np.float32)
    where = np.array([0] * 100 + [1] * 105)
    odds = log_odds(labels, where)
    assert odds[0] == pytest.approx(np.log(30 / 70), abs=0.1)
    assert odds[-1] < -3
    assert len(np.unique(odds)) == 2


def test_where_a_stratum_says_it_all_a_network_has_nothing_to_learn():
    labels = torch.tensor([[1.0], [0.0], [float("nan")]])
    odds = torch.tensor([[20.0], [-20.0], [3.0]])
    logits = torch.zeros(3, 1, requires_grad=True)
    loss = finding_loss(logits, labels, odds, torch.ones(1))
    loss.backward()
    assert loss.item() < 1e-6
    assert logits.grad.abs().max() < 1e-6


def test_augmentation_moves_image_and_regions_alike_and_repeats(data, own, out):
    regions = load_regions(data, own.rows, side=SIDE, cache=out("r"))[:16]
    first, second = (
        augmented(own.squares[:16], regions, loop.step_generator(3, 0)) for _ in range(2)
    )
    assert torch.equal(first[0], second[0])
    assert first[0].shape == (16, 1, SIDE, SIDE)
    small = torch.nn.functional.adaptive_avg_pool2d(first[0], SIDE // 8)

    def grey(plane: str) -> torch.Tensor:
        weight = first[1][:, PLANES.index(plane)]
        return (weight * small[:, 0]).sum((1, 2)) / weight.sum((1, 2))

    assert (grey("heart") > grey("lungs")).all()  # the maps still lie on their organs


def test_a_mirrored_chest_has_its_sides_exchanged():
    squares = np.zeros((32, SIDE, SIDE), np.uint8)
    squares[:, :, : SIDE // 2] = 255  # the patient's right
    regions = np.zeros((32, len(PLANES), SIDE // 8, SIDE // 8), np.float16)
    regions[:, PLANES.index("right_mid"), 2:6, 1:3] = 1
    images, maps = augmented(squares, regions, loop.step_generator(1, 0))
    left_is_bright = images[..., -8:].mean((1, 2, 3)) > images[..., :8].mean((1, 2, 3))
    on_left = maps[:, PLANES.index("left_mid")].sum((1, 2)) > 0
    on_right = maps[:, PLANES.index("right_mid")].sum((1, 2)) > 0
    assert 5 < left_is_bright.sum() < 27
    assert torch.equal(left_is_bright, on_left)
    assert torch.equal(~left_is_bright, on_right)
    columns = maps[:, PLANES.index("left_mid")][on_left].sum((0, 1))
    assert columns[:4].sum() < columns[4:].sum()  # where the picture now has it
