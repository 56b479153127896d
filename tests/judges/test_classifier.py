# SPDX-License-Identifier: Apache-2.0
"""A judge's folder is loaded, looks at images of any size, and says what its word is worth."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter

from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.judges.card import counts_in
from monai_cxr_cf.judges.classifier import load_judge
from monai_cxr_cf.judges.preprocess import stretch, to_square
from monai_cxr_cf.judges.slope import probability_of, squares
from monai_cxr_cf.prompts.findings import VOCABULARY
from monai_cxr_cf.weights import stated_licence
from tests.alignment import unaligned, weights


def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random(size, dtype=np.float32) for size in ((80, 64), (200, 300), (64, 64))]


def test_images_of_any_size_give_one_probability_per_finding(tiny_judge):
    judge = load_judge(tiny_judge)
    told = judge.predict(images())
    assert told.shape == (3, 3)
    assert told.dtype == np.float32
    assert ((told >= 0) & (told <= 1)).all()
    assert set(judge.findings) <= set(VOCABULARY)
    assert judge.predict([]).shape == (0, 3)


def test_weights_lie_in_aligned_memory(tiny_judge):
    assert unaligned(load_file(tiny_judge / "model.safetensors").items())
    assert unaligned(weights(load_judge(tiny_judge).network)) == []


def test_an_image_gets_the_same_answer_alone_and_among_others(tiny_judge):
    judge = load_judge(tiny_judge)
    together = judge.predict(images())
    alone = np.concatenate([judge.predict([image]) for image in images()])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_array_equal(together, judge.predict(images()))
    assert judge.read(images()[1])["cardiomegaly"] == pytest.approx(alone[1, 0], abs=1e-5)


def test_only_findings_of_a_high_enough_auc_count(tiny_judge):
    judge = load_judge(tiny_judge)
    assert judge.counts("cardiomegaly")
    assert judge.counts("pleural effusion")
    assert not judge.counts("consolidation")
    assert not judge.counts("hiatal hernia")


@pytest.mark.parametrize(
    ("pooled", "pa", "ap", "where"),
    [(0.84, 0.87, 0.62, "PA, unknown views"), (0.79, 0.81, 0.65, "PA"), (0.79, 0.7, 0.79, "")],
)
def test_a_judge_may_count_in_one_view_alone(tiny_judge, pooled, pa, ap, where):
    figures = {"auc": pooled, "PA": {"auc": pa}, "AP": {"auc": ap}}
    judge = replace(load_judge(tiny_judge), auc={"cardiomegaly": figures})
    counted = {view: judge.counts("cardiomegaly", view) for view in ("PA", "AP", "AP Supine", "")}
    assert counted == {"PA": pa >= 0.8, "AP": False, "AP Supine": False, "": pooled >= 0.8}
    assert counts_in(figures) == where


def test_a_judge_says_what_it_is(tiny_judge):
    judge = load_judge(tiny_judge)
    assert judge.name == "tiny"
    assert len(judge.sha256) == 64
    assert judge.licence == stated_licence(tiny_judge) == "research only"
    card = (tiny_judge / "MODEL_CARD.md").read_text()
    assert "| consolidation | 0.79 (0.70 to 0.95)" in card
    assert "judged by geometry alone" in card


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_without_a_file_is_refused(tiny_judge, tmp_path, name):
    folder = shutil.copytree(tiny_judge, tmp_path / "judge")
    (folder / name).unlink()
    with pytest.raises(ComponentMissing, match=name):
        load_judge(folder)


def test_a_shipped_name_is_looked_up_beside_the_other_weights(tiny_judge, tmp_path):
    shutil.copytree(tiny_judge, tmp_path / "judges" / "j1")
    assert load_judge("j1", models=tmp_path).name == "tiny"
    with pytest.raises(ComponentMissing):
        load_judge("j2", models=tmp_path)


def test_a_config_that_describes_no_network_is_refused(tiny_judge, tmp_path):
    folder = shutil.copytree(tiny_judge, tmp_path / "judge")
    config = json.loads((folder / "config.json").read_text())
    del config["shape"]["side"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadRequest, match="describe"):
        load_judge(folder)
    config["shape"] |= {"side": 64, "hidden": 9}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ComponentMissing, match="do not fit"):
        load_judge(folder)


def test_contrast_and_brightness_of_the_film_do_not_matter():
    image = images()[1] * 0.5 + 0.1
    np.testing.assert_allclose(stretch(image), stretch(0.6 * image + 0.2), atol=1e-5)
    assert stretch(np.full((9, 9), 0.4, np.float32)).max() == 0


def test_the_square_keeps_the_aspect_and_pads_with_zeros():
    square = to_square(np.linspace(0, 1, 200 * 100, dtype=np.float32).reshape(200, 100), 64, 64)
    assert square.shape == (64, 64)
    assert square[:, :16].max() == 0
    assert square[:, 48:].max() == 0
    with pytest.raises(BadRequest):
        to_square(np.zeros((3, 9, 9), np.float32), 64, 64)


def test_a_large_file_shows_no_more_than_a_small_one():
    rng = np.random.default_rng(0)
    fine = rng.random((256, 256), dtype=np.float32)
    small = np.asarray(Image.fromarray(fine).resize((64, 64), Image.Resampling.BICUBIC))
    seen, other = (to_square(image.clip(0, 1), 128, 64) for image in (fine, small))
    assert seen.shape == other.shape == (128, 128)
    assert np.abs(seen - other).mean() < 0.02
    assert np.abs(np.diff(seen)).mean() < 0.5 * np.abs(np.diff(to_square(fine, 128, 128))).mean()


def test_a_judge_with_a_gradient_sees_what_the_judge_sees() -> None:
    judge = load_judge("j1")
    image = np.random.default_rng(0).random((96, 80)).astype(np.float32)
    image = gaussian_filter(image, 3)
    image = (image - image.min()) / np.ptp(image)
    grid = ModelGrid(image.shape, 128)
    model = torch.from_numpy(grid.to_model(image))[None].requires_grad_()
    seen = squares(judge, model, grid.window).detach().numpy()
    assert np.abs(seen - judge.squares([image])).mean() < 0.02
    name = judge.findings[0]
    p = probability_of(judge, name, grid.window)(model)
    assert float(p.detach()) == pytest.approx(judge.read(image)[name], abs=0.05)
    assert torch.autograd.grad(p.sum(), [model])[0].abs().max() > 0
    with pytest.raises(BadRequest, match="does not know 'hernia'"):
        probability_of(judge, "hernia", grid.window)
