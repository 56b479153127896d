# SPDX-License-Identifier: Apache-2.0
"""The shipped segmenters find a real chest on its own grid, pad it, and refuse what is none."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.organs import check
from monai_cxr_cf.anatomy.segment import KINDS, WEIGHTS, Segmenter, load_segmenter
from monai_cxr_cf.data.folder import Row, load_image, load_organ_mask, read_index
from monai_cxr_cf.errors import BadRequest, ComponentMissing, UnsupportedImage
from monai_cxr_cf.measures.masks import dice
from monai_cxr_cf.training.segmentation.data import in_training
from monai_cxr_cf.weights import models_folder
from tests.alignment import unaligned, weights


@pytest.fixture(scope="module", params=KINDS)
def segmenter(request: pytest.FixtureRequest) -> Segmenter:
    """Each shipped network."""
    return load_segmenter(request.param, models_folder())


@pytest.fixture(scope="module")
def held_out(shared: Path) -> tuple[Path, Row]:
    """A JSRT radiograph that training never saw."""
    data = shared / "data" / "cxr"
    rows = [r for r in read_index(data) if r.source == "jsrt" and not in_training(r)]
    return data, rows[3]


@pytest.fixture(scope="module")
def chest(held_out: tuple[Path, Row]) -> NDArray[np.float32]:
    """Its pixels."""
    return load_image(*held_out)


def test_weights_lie_in_aligned_memory(segmenter) -> None:
    found = weights(segmenter.network)
    assert len(found) > 20
    assert unaligned(found) == []


def test_unseen_chest_is_segmented_plausibly(segmenter, chest, held_out) -> None:
    found = segmenter(chest)
    labels = load_organ_mask(*held_out)
    assert dice(found.organs.lungs, (labels == 1) | (labels == 2)) > 0.94
    assert dice(found.organs.heart, labels == 3) > 0.85
    check(found.organs, agreement=found.agreement)


def test_result_names_its_weights_and_their_licence(segmenter, chest) -> None:
    found = segmenter(chest)
    assert found.name == segmenter.name
    assert len(found.sha256) == 64
    assert "non-commercial" in found.licence


def test_padding_and_size_do_not_move_the_organs(segmenter, chest) -> None:
    here = segmenter(chest).organs
    wide = np.pad(chest, ((0, 0), (60, 20)))
    valid = np.pad(np.ones(chest.shape, bool), ((0, 0), (60, 20)))
    there = segmenter(wide, valid).organs
    assert there.shape == wide.shape
    assert dice(there.lungs[:, 60:-20], here.lungs) > 0.93
    large = segmenter(np.kron(chest, np.ones((2, 2), np.float32))).organs
    assert dice(large.lungs[::2, ::2], here.lungs) > 0.98


def test_pixels_that_are_twice_as_tall_give_the_same_anatomy(segmenter, chest) -> None:
    here, squashed = segmenter(chest).organs, segmenter(chest[::2], aspect=2.0).organs
    assert squashed.shape == chest[::2].shape
    assert dice(squashed.lungs, here.lungs[::2]) > 0.95


def test_same_image_gives_the_same_bits(segmenter, chest) -> None:
    assert np.array_equal(segmenter(chest).organs.labels(), segmenter(chest).organs.labels())


def test_landmarks_lie_in_native_pixels(chest) -> None:
    found = load_segmenter("hybridgnet", models_folder())(chest)
    inside = found.landmarks[:44].mean(0)
    assert found.landmarks.shape == (120, 2)
    assert found.organs.right_lung[int(inside[1]), int(inside[0])]


@pytest.mark.parametrize("kind", KINDS)
def test_noise_and_blank_images_are_refused(kind: str) -> None:
    segmenter = load_segmenter(kind, models_folder())
    noise = np.random.default_rng(0).random((300, 260), dtype=np.float32)
    for image in (noise, np.full((256, 256), 0.5, np.float32)):
        found = segmenter(image)
        with pytest.raises(UnsupportedImage):
            check(found.organs, agreement=found.agreement)


def test_shipped_weights_are_plain_and_small() -> None:
    models = models_folder()
    state = torch.load(models / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert sum((models / WEIGHTS[kind]).stat().st_size for kind in KINDS) < 12e6
    assert "non-commercial" in (models / "segmenter" / "LICENSE").read_text()


def test_missing_or_foreign_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no segmenter"):
        load_segmenter("sam", models_folder())
    with pytest.raises(ComponentMissing, match=r"model\.pt"):
        load_segmenter("hybridgnet", tmp_path)
    (tmp_path / "segmenter").mkdir()
    torch.save({"weight": torch.zeros(1)}, tmp_path / "model.pt")
    card = {"licence": "none", "hybridgnet": {"width": 4}}
    (tmp_path / "segmenter" / "config.json").write_text(json.dumps(card))
    with pytest.raises(ComponentMissing, match="do not fit"):
        load_segmenter("hybridgnet", tmp_path)
