# SPDX-License-Identifier: Apache-2.0
"""Two samples on made crops: the same are not told apart, others are, and patients never mix."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.evaluation.edits.pictures import HEIGHT, Strip, load_strip, save_strip
from monai_cxr_cf.evaluation.edits.realism import (
    CROP,
    Crops,
    crop_of,
    realism,
    told_apart,
    words,
)
from tests.dicom.factory import phantom, phantom_masks


def look(pictures) -> np.ndarray:
    return np.stack([np.asarray(p)[::8, ::8].ravel() for p in pictures]).astype(np.float32)


def drawn(count: int, *, bright: float, seed: int, first: int = 0) -> Crops:
    rng, crops = np.random.default_rng(seed), Crops()
    for k in range(count):
        picture = rng.normal(0.4, 0.1, (CROP, CROP)).astype(np.float32)
        picture[40:] += bright
        crops.add(picture, f"p{first + k // 2}", "PA" if k % 4 < 2 else "AP")
    return crops


def segment(image: np.ndarray) -> Organs:
    masks = phantom_masks(*image.shape)
    return Organs(masks["right lung"], masks["left lung"], masks["heart"])


def test_crops_of_one_kind_are_not_told_apart_and_of_two_kinds_are():
    real = drawn(60, bright=0.0, seed=0)
    same = told_apart(drawn(60, bright=0.0, seed=1, first=100), real, look)
    other = told_apart(drawn(60, bright=0.3, seed=2, first=100), real, look)
    assert same is not None
    assert other is not None
    assert same["low"] < 0.5 < same["high"]
    assert other["auc"] > 0.98
    assert other["made"] == other["real"] == 60
    assert other["made_patients"] == other["real_patients"] == 30


def test_what_marks_a_patient_is_no_mark_of_an_edit():
    """Each patient has a picture of its own, repeated: seen in training it would be known again."""
    rng = np.random.default_rng(0)
    kinds = []
    for start in (0, 40):
        crops = Crops()
        for patient in range(start, start + 40):
            picture = rng.normal(0.4, 0.1, (CROP, CROP)).astype(np.float32)
            for _ in range(5):
                crops.add(picture, patient, "PA")
        kinds.append(crops)
    found = told_apart(*kinds, look)
    assert found is not None
    assert found["low"] < 0.5 < found["high"]


def test_of_too_few_or_of_views_without_a_counterpart_nothing_is_said():
    real = drawn(40, bright=0, seed=0)
    assert told_apart(drawn(6, bright=0, seed=1, first=90), real, look) is None
    lateral = drawn(20, bright=0, seed=1, first=90)
    lateral.views = ["LL"] * 20
    assert told_apart(lateral, real, look) is None


def test_a_right_side_is_mirrored_and_a_crop_knows_no_exposure():
    image = phantom(256, 256)
    right = crop_of(image, segment(image), "pleural effusion", "right")
    assert right.shape == (CROP, CROP)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    organs = segment(image)
    turned = Organs(organs.left_lung[:, ::-1], organs.right_lung[:, ::-1], organs.heart[:, ::-1])
    swapped = Organs(turned.right_lung, turned.left_lung, turned.heart)
    left = crop_of(mirrored, swapped, "pleural effusion", "left")
    assert np.abs(left - right).mean() < 0.02
    dim = crop_of((0.5 * image + 0.1).astype(np.float32), organs, "pleural effusion", "right")
    np.testing.assert_allclose(dim, right, atol=1e-3)


def test_a_strip_gives_back_what_was_drawn(tmp_path: Path):
    rng = np.random.default_rng(0)
    source = rng.random((300, 240)).astype(np.float32)
    region = np.zeros(source.shape, bool)
    region[100:200, 50:150] = True
    change = np.where(region, np.float32(0.2), 0).astype(np.float32)
    save_strip(Strip(source, region, change), tmp_path / "a.png")
    before, after = load_strip(tmp_path / "a.png")
    assert before.shape == after.shape == (HEIGHT, round(240 * HEIGHT / 300))
    inside = np.asarray(Image.fromarray(region).resize(before.shape[::-1]))
    assert (after - before)[inside].mean() == pytest.approx(0.15, abs=0.06)  # white is clipped
    assert np.abs(after - before)[~inside].mean() < 0.01


@pytest.fixture
def edits(tmp_path: Path) -> Path:
    """Ten edits of five patients; every edit has the mark that no real radiograph has."""
    folder = tmp_path / "edits"
    (folder / "pictures").mkdir(parents=True)
    rng, lines = np.random.default_rng(1), []
    for k in range(20):
        image = np.clip(phantom(240, 240) + rng.normal(0, 0.05, (240, 240)), 0, 1)
        region = segment(image).left_lung
        mark = 0.4 * region * (np.arange(240) % 8 < 4)[None] * (k % 2 == 0)
        strip = Strip(image.astype(np.float32), region, mark.astype(np.float32))
        save_strip(strip, folder / "pictures" / f"{k}.png")
        lines.append({
            "direction": "add", "finding": "pleural effusion", "side": "left", "view": "PA",
            "kind": "sham" if k % 2 else "edit", "input": f"i{k // 2}", "patient": f"e{k // 2}",
            "picture": f"{k}.png", "key": str(k),
        })  # fmt: skip
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def reals(tmp_path: Path) -> Path:
    folder = tmp_path / "cxr"
    (folder / "images").mkdir(parents=True)
    rng, lines = np.random.default_rng(2), ["id,patient,view,labels,split"]
    for k in range(16):
        image = phantom(240, 240) + rng.normal(0, 0.05, (240, 240))
        image[segment(image).left_lung & (np.arange(240) > 150)[:, None]] += 0.3
        grey = (np.clip(image, 0, 1) * 255).astype(np.uint8)
        Image.fromarray(grey).save(folder / "images" / f"r{k}.png")
        lines.append(f"r{k},r{k},PA,{'Effusion' if k < 14 else 'No Finding'},test")
    (folder / "index.csv").write_text("\n".join(lines))
    return folder


def test_a_folder_of_edits_is_measured_against_labelled_radiographs(edits: Path, reals: Path):
    told = realism(edits, reals, segment, look)
    assert set(told) == {"pleural effusion"}
    found = told["pleural effusion"]
    assert set(found) == {"edit", "sham", "source"}
    assert found["edit"]["auc"] > 0.9
    assert found["edit"]["real"] == 14
    assert found["edit"]["made_patients"] == 10
    assert "| pleural effusion | edit | " in words(told)


def test_a_folder_without_pictures_is_refused(tmp_path: Path, reals: Path):
    with pytest.raises(UnreadableInput, match="no pictures of additions"):
        realism(tmp_path, reals, segment, look)
