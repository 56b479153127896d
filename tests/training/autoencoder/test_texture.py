# SPDX-License-Identifier: Apache-2.0
"""Texture terms move the picture, the discriminator learns apart, a run resumes bit-exactly."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter

from monai_cxr_cf.cli import main
from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.errors import BadRequest, UnreadableInput
from monai_cxr_cf.measures.perceptual import load_lpips
from monai_cxr_cf.training import masters
from monai_cxr_cf.training.autoencoder import train
from monai_cxr_cf.training.autoencoder.quality import texture_share
from monai_cxr_cf.training.autoencoder.recipe import AutoencoderRecipe, build
from monai_cxr_cf.training.autoencoder.texture import Texture
from monai_cxr_cf.training.images import large_rows
from monai_cxr_cf.training.processes import start_accelerator

RECIPE = AutoencoderRecipe(
    channels=(8, 8, 8, 8), norm_groups=4, side=64, crop=64, batch=2, precision="no",
    perceptual_weight=0.1, adversarial_weight=0.05, adversarial_start=1, discriminator_rate=2e-3,
    discriminator_channels=8, decoder_only=True,
)  # fmt: skip
SHAPES = ((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3))


@pytest.fixture(scope="module")
def lpips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the published shapes, drawn at random."""
    draw, known = torch.Generator().manual_seed(0), {}
    for number, (out, into, side) in enumerate(SHAPES):
        kernel = torch.randn(out, into, side, side, generator=draw)
        known[f"conv{number}.weight"] = kernel / (into**0.5 * side)
        known[f"conv{number}.bias"] = torch.zeros(out)
        known[f"lin{number}"] = torch.rand(out, generator=draw) / out
    folder = tmp_path_factory.mktemp("lpips")
    save_file(known, folder / "lpips_alex_v0.1.safetensors")
    return folder


def grain(count: int = 4, side: int = 64) -> np.ndarray:
    noise = np.random.default_rng(1).normal(128, 30, (count, side, side))
    return np.clip(noise, 0, 255).astype(np.uint8)


def run_in(out: Path, recipe: AutoencoderRecipe, lpips: Path) -> train.AutoencoderTraining:
    if not (out / "vae").is_dir():
        torch.manual_seed(0)
        build(recipe).save_pretrained(out / "vae")
    return train.AutoencoderTraining(recipe, grain(), out, max_minutes=None, lpips=lpips)


@pytest.mark.parametrize("precision", ["no", "bf16-pure"])
def test_a_decoder_with_texture_resumes_bit_exactly(
    precision: str, lpips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masters, "multiplies_bf16", lambda: True)
    recipe, images = replace(RECIPE, precision=precision), grain()
    straight = run_in(tmp_path, recipe, lpips)
    for step in range(2):
        straight.step(train.crops(images, recipe, step))
    straight.check(images[:1])
    resumed = run_in(tmp_path, recipe, lpips)
    resumed.restore()
    for step in range(2, 4):
        told = [run.step(train.crops(images, recipe, step)) for run in (straight, resumed)]
        assert told[0] == told[1]
        assert {"perceptual", "adversarial", "discriminator"} <= set(told[0])
    for ours, theirs in (
        (straight.model.state_dict(), resumed.model.state_dict()),
        (straight.texture.state_dict()["judge"], resumed.texture.state_dict()["judge"]),
    ):
        assert all(torch.equal(weight, theirs[name]) for name, weight in ours.items())


def test_only_the_finest_levels_learn_where_the_recipe_says_so(lpips: Path, tmp_path: Path) -> None:
    run = run_in(tmp_path, replace(RECIPE, fine_levels=2), lpips)
    before = {name: weight.clone() for name, weight in run.model.named_parameters()}
    run.step(train.crops(grain(), RECIPE, 0))
    moved = {n for n, weight in run.model.named_parameters() if not torch.equal(weight, before[n])}
    fine = (
        "decoder.up_blocks.2.",
        "decoder.up_blocks.3.",
        "decoder.conv_norm_out",
        "decoder.conv_out",
    )
    assert moved == {name for name in before if name.startswith(fine)}


def test_terms_pull_at_the_picture_and_never_at_the_discriminator(lpips: Path) -> None:
    texture = Texture(RECIPE, start_accelerator("no"), lpips)
    real = torch.from_numpy(grain() / np.float32(127.5) - 1)[:, None].expand(-1, 3, -1, -1)
    made = torch.full_like(real, -1).requires_grad_(True)
    assert set(texture.terms(made, real, 0)) == {"perceptual"}
    found = texture.terms(made, real, 1)
    torch.stack(list(found.values())).sum().backward()
    assert made.grad is not None
    assert made.grad.isfinite().all()
    assert made.grad.abs().sum() > 0
    assert texture.judge is not None
    assert all(weight.grad is None for weight in texture.judge.parameters())


def test_the_discriminator_learns_to_tell_blur_from_grain() -> None:
    recipe = replace(RECIPE, perceptual_weight=0.0)
    texture = Texture(recipe, start_accelerator("no"), None)
    images = (grain() / np.float32(127.5) - 1).astype(np.float32)
    real, blurred = (
        torch.from_numpy(x)[:, None] for x in (images, gaussian_filter(images, (0, 2, 2)))
    )
    losses = [float(texture.learn(blurred, real, 1.0)["discriminator"]) for _ in range(40)]
    assert losses[-1] < 0.1 < losses[0]
    with torch.no_grad():
        told = [float(texture.terms(x, real, 1)["adversarial"]) for x in (real, blurred)]
    assert told[0] < told[1]


def test_one_distance_a_picture_as_the_measure_has_it(lpips: Path) -> None:
    network, images = load_lpips(lpips), (grain(3) / np.float32(255)).astype(np.float32)
    pairs = torch.from_numpy(images)[:, None] * 2 - 1
    found = network.between(pairs[:2], pairs[1:])
    wanted = [network.distance(images[i], images[i + 1]) for i in (0, 1)]
    assert found.tolist() == pytest.approx(wanted, rel=1e-5)


def test_texture_share_is_that_of_the_fine_detail() -> None:
    images = (grain() / np.float32(255)).astype(np.float32)
    assert texture_share(images, images) == 1
    assert texture_share(gaussian_filter(images, (0, 2, 2)), images) < 0.1


def test_small_radiographs_are_left_out_where_the_recipe_says_so(small_data: Path) -> None:
    rows = read_index(small_data)
    assert large_rows(small_data, rows, 64) == large_rows(small_data, rows, 0) == rows
    with pytest.raises(UnreadableInput, match="None of 6 radiographs has 65 px"):
        large_rows(small_data, rows, 65)


def test_lpips_weights_are_asked_for_and_never_ignored(
    small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(small_data), "--out", str(tmp_path / "mini")]
    for line, said in (
        (["autoencoder", "--recipe", "texture"], "needs the LPIPS weights"),
        (["autoencoder", "--lpips", str(tmp_path)], "--lpips would change nothing"),
        (["diffusion", "--lpips", str(tmp_path)], "--lpips is not for diffusion"),
    ):
        assert main(["train", *line, *words]) == BadRequest.exit_code
        assert said in capsys.readouterr().err
    assert not (tmp_path / "mini").exists()
