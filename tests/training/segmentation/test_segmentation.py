# SPDX-License-Identifier: Apache-2.0
"""A few real steps on drawn chests: the loss falls, and a resumed run repeats the bits."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from monai_cxr_cf.anatomy.hybridgnet import HybridGNet
from monai_cxr_cf.anatomy.polygon import fill_polygon
from monai_cxr_cf.cli import main
from monai_cxr_cf.commands.train import recipe_file
from monai_cxr_cf.data.folder import Row, read_index
from monai_cxr_cf.training.loop import read_recipe, state_of
from monai_cxr_cf.training.segmentation.augment import (
    Augmentation,
    random_affine,
    to_input,
    to_output,
)
from monai_cxr_cf.training.segmentation.data import border_distance, in_training, load_training_set
from monai_cxr_cf.training.segmentation.steps import Sampler, pixel_losses
from monai_cxr_cf.training.segmentation.train import (
    SegmentationRecipe,
    Trainer,
    compact,
    train_segmentation,
)

TINY = SegmentationRecipe(
    width=4, channels=(4, 8, 8), size=64, shares=(2, 1, 1), steps=6, warmup=2, precision="fp32",
    log_every=2, save_every=6, norm_batches=2,
)  # fmt: skip
CENTRES = {"RL": (0.3, 0.45), "LL": (0.7, 0.45), "H": (0.52, 0.62)}
COUNTS = {"RL": 44, "LL": 50, "H": 26}


def contour(name: str, shift: float) -> NDArray[np.float32]:
    """An ellipse of the name's number of points, fractions of the image."""
    t = np.linspace(0, 2 * math.pi, COUNTS[name], endpoint=False)
    x, y = CENTRES[name]
    wide, high = (0.12, 0.12) if name == "H" else (0.14, 0.3)
    return np.stack([x + shift + wide * np.cos(t), y + high * np.sin(t)], 1).astype(np.float32)


def draw(landmarks: dict[str, NDArray[np.float32]], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The label image of three contours; the heart is drawn last."""
    labels = np.zeros(shape, np.uint8)
    for value, name in enumerate(("RL", "LL", "H"), 1):
        labels[fill_polygon(torch.from_numpy(landmarks[name])[None], *shape)[0].numpy()] = value
    return labels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawn chests: hearts and landmarks, landmarks only, masks only."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("images", "organ_masks"):
        (folder / name).mkdir()
    points, rows = {}, []
    for i in range(12):
        source = ("jsrt", "openist", "openist")[i % 3]
        shape = (80, 72) if i % 2 else (72, 72)
        landmarks = {name: contour(name, 0.01 * i - 0.05) for name in COUNTS}
        labels = draw(landmarks, shape)
        grey = np.array([60, 20, 20, 230], np.uint8)[labels]
        Image.fromarray(grey).save(folder / "images" / f"{i:05d}.jpg", quality=95)
        if source != "jsrt":
            labels[labels == 3] = 0
        Image.fromarray(labels).save(folder / "organ_masks" / f"{i:05d}.png")
        kept = {"jsrt": "RL+LL+H", "openist": "RL+LL" if i % 3 == 1 else ""}[source]
        points |= {f"{i:05d}_{name}": landmarks[name] for name in kept.split("+") if name}
        organs = "lungs+heart" if source == "jsrt" else "lungs"
        rows.append([f"{i:05d}", source, f"{source}_{2 * i + 1}", "PA", "", "", "", "", "research",
                     organs, "", kept, "drawn", "no"])  # fmt: skip
    np.savez(folder / "landmarks.npz", **points)
    header = list(Row.__dataclass_fields__)
    with (folder / "index.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])
    return folder


@pytest.mark.parametrize("network", ["hybridgnet", "unet"])
def test_loss_falls_and_a_resumed_run_repeats_the_bits(
    data: Path, tmp_path: Path, network: str
) -> None:
    recipe = replace(TINY, network=network, learning_rate=3e-3)
    whole = train_segmentation(recipe, data, out=tmp_path / "whole")
    cut = Trainer(recipe, load_training_set(data, recipe.size))
    first = [cut.step()["loss"] for _ in range(3)]
    (tmp_path / "cut").mkdir()
    torch.save(state_of(cut), tmp_path / "cut" / "state.pt")
    resumed = train_segmentation(recipe, data, out=tmp_path / "cut", resume=True)
    assert whole.read_bytes() == resumed.read_bytes()
    a, b = (torch.load(p.with_name("state.pt"), weights_only=True) for p in (whole, resumed))
    assert all(torch.equal(a["model"][name], b["model"][name]) for name in a["model"])
    assert all(math.isfinite(loss) for loss in first)
    assert (tmp_path / "whole" / "curves.png").stat().st_size > 1000


def test_network_learns_the_drawn_chests(data: Path) -> None:
    trainer = Trainer(
        replace(TINY, steps=25, learning_rate=5e-3), load_training_set(data, TINY.size)
    )
    losses = [trainer.step() for _ in range(25)]
    early, late = (np.mean([x["points"] for x in part]) for part in (losses[2:8], losses[-6:]))
    assert late < 0.7 * early


def test_weights_are_small_and_load_strictly(data: Path) -> None:
    trainer = Trainer(TINY, load_training_set(data, TINY.size))
    trainer.step()
    weights = compact(trainer.averaged())
    assert weights["stem.weight"].dtype == torch.float16
    assert weights["norm.running_mean"].dtype == torch.float32
    HybridGNet(TINY.width).load_state_dict(weights)


def test_command_line_trains_by_recipe(data: Path, tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(
        "width: 4\nsize: 64\nshares: [2, 1, 1]\nsteps: 2\nprecision: fp32\nnorm_batches: 2\n"
    )
    words = ["train", "segmentation", "--recipe", str(config), "--data", str(data)]
    assert main([*words, "--out", str(tmp_path / "out"), "--progress", "none"]) == 0
    assert (tmp_path / "out" / "model.pt").is_file()


@pytest.mark.parametrize("name", ["segmentation", "segmentation_unet"])
def test_shipped_recipes_are_read(name: str) -> None:
    assert read_recipe(recipe_file(name), SegmentationRecipe).size == 256


def test_split_is_by_file_number_and_patient(data: Path) -> None:
    row = read_index(data)[0]
    assert in_training(replace(row, patient="jsrt_JPCLN001"))
    assert not in_training(replace(row, patient="jsrt_JPCNN092"))
    hashed = [in_training(replace(row, source="shenzhen", patient=f"p{i}")) for i in range(200)]
    assert 70 < sum(hashed) < 130


def test_landmarks_move_with_the_image() -> None:
    generator = torch.Generator().manual_seed(0)
    theta = random_affine(4, Augmentation(), generator)
    points = torch.rand(4, 9, 2, generator=generator)
    there = to_output(points, theta)
    assert torch.allclose(to_input(there, theta), points * 2 - 1, atol=1e-5)
    assert not torch.allclose(there, points, atol=1e-2)


def test_augmentation_keeps_landmarks_on_the_warped_outline(data: Path) -> None:
    sampler = Sampler(load_training_set(data, 128), (4, 0, 0), Augmentation())
    batch = sampler.draw(torch.Generator().manual_seed(3))
    for k in range(4):
        drawn = fill_polygon(batch.landmarks[k, 94:][None], 128, 128)[0]
        heart = batch.labels[k] == 3
        assert (drawn & heart).sum() > 0.9 * max(drawn.sum(), heart.sum())


def test_border_distance_is_zero_on_the_outline_and_grows_both_ways() -> None:
    mask = np.zeros((20, 20), bool)
    mask[5:15, 5:15] = True
    distance = border_distance(mask)
    assert distance[5, 10] == distance[4, 10] == 0.5
    assert distance[0, 10] == 4.5
    assert distance[9, 9] == 4.5


def test_missing_hearts_teach_nothing_about_hearts(data: Path) -> None:
    sampler = Sampler(load_training_set(data, 64), (0, 4, 0), Augmentation())
    batch = sampler.draw(torch.Generator().manual_seed(1))
    logits = torch.zeros(4, 4, 64, 64)
    more_heart = logits.clone()
    more_heart[:, 0] = -20.0  # all of the background's share goes to the heart
    more_heart[:, 3] = math.log(2.0)
    here, there = pixel_losses(logits, batch), pixel_losses(more_heart, batch)
    assert torch.allclose(here["cross"], there["cross"], atol=1e-5)
    assert torch.allclose(here["dice"], there["dice"], atol=1e-5)
