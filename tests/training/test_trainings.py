# SPDX-License-Identifier: Apache-2.0
"""Both trainings at small size: they end, resume bit-exactly and write loadable folders."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionImg2ImgPipeline
from PIL import Image

from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.errors import BadRequest, ComponentMissing, UnreadableInput
from monai_cxr_cf.training import masters
from monai_cxr_cf.training.autoencoder import train
from monai_cxr_cf.training.autoencoder.whiten import fit_basis, fold
from monai_cxr_cf.training.generator import denoiser, from_nothing
from monai_cxr_cf.training.generator.batches import BatchMaker
from monai_cxr_cf.training.generator.latents import Pool
from monai_cxr_cf.training.generator.pool import _organ_maps, build_pool, prepare_pool
from monai_cxr_cf.training.images import generator_rows, square_images
from monai_cxr_cf.training.loop import read_recipe

VAE_RECIPE = (
    "channels: [8, 8, 8, 8]\nnorm_groups: 4\nside: 64\ncrop: 32\nbatch: 2\nsteps: 4\n"
    "check_every: 2\nprecision: 'no'\nwarmup: 1\nlinear: false\n"
)
UNET_RECIPE = (
    "channels: [32, 32, 32, 32]\ntext_width: 32\ntext_layers: 1\nsteps: 4\ncheck_every: 4\n"
    "precision: 'no'\ntext_steps: 2\nreal: 1\ntwins: 1\ncrossed: 1\nwarmup: 1\nsheet_steps: 2\n"
)


@pytest.fixture(scope="module")
def trained(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which autoencoder, pool and diffusion were trained one after the other."""
    out = tmp_path_factory.mktemp("trained")
    (out / "vae.yaml").write_text(VAE_RECIPE)
    (out / "unet.yaml").write_text(UNET_RECIPE)
    vae = train.train_autoencoder(out / "vae.yaml", small_data, out=out / "first")
    shutil.copytree(vae, out / "second" / "vae")
    build_pool(small_data, vae, out=out / "second" / "pool.npz", versions=2, draws=3)
    from_nothing.train_diffusion(out / "unet.yaml", small_data, out=out / "second")
    return out


def test_the_pipeline_folder_loads_in_plain_diffusers_and_edits(trained: Path) -> None:
    folder = trained / "second" / "pipeline"
    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.to(torch.float32)
    image = Image.new("RGB", (64, 64), (128, 128, 128))
    out = pipe("left pleural effusion", image=image, strength=0.5, num_inference_steps=4)
    assert out.images[0].size == (64, 64)
    assert pipe.scheduler.config.prediction_type == "epsilon"
    assert pipe.tokenizer.is_fast
    assert pipe.tokenizer.model_max_length == 77


def test_curves_sheets_and_events_are_written(trained: Path) -> None:
    for name in ("first/reconstructions.png", "first/curves.png", "second/edits.png"):
        assert (trained / name).stat().st_size > 0
    assert (trained / "second" / "samples.png").is_file()
    assert any((trained / "second" / "tensorboard").iterdir())
    history = (trained / "second" / "history.jsonl").read_text()
    assert all(name in history for name in ("gap_800", "text_spread", "sensitivity_inside"))


def test_the_scaling_factor_is_that_of_the_data(trained: Path) -> None:
    vae = AutoencoderKL.from_pretrained(trained / "first" / "vae")
    pool = Pool.load(trained / "second" / "pool.npz")
    assert abs(pool.real.astype(np.float32).std() * vae.config.scaling_factor - 1) < 0.5


@pytest.mark.parametrize("precision", ["'no'", "bf16-pure"])
def test_the_autoencoder_resumes_bit_exactly(
    precision: str, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masters, "multiplies_bf16", lambda: True)
    (tmp_path / "r.yaml").write_text(VAE_RECIPE.replace("'no'", precision))
    recipe = read_recipe(tmp_path / "r.yaml", train.AutoencoderRecipe)
    rows = generator_rows(read_index(small_data))
    images = np.stack(list(square_images(small_data, rows, side=64).values()))
    straight = train.AutoencoderTraining(recipe, images, tmp_path / "a", max_minutes=None)
    for step in range(4):
        straight.step(train.crops(images, recipe, step))
        if step == 1:
            straight.check(images[:1])
    resumed = train.AutoencoderTraining(recipe, images, tmp_path / "a", max_minutes=None)
    resumed.restore()
    for step in range(2, 4):
        resumed.step(train.crops(images, recipe, step))
    for name, weight in straight.model.state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, resumed.model.state_dict()[name]), name
    assert all(torch.equal(v, resumed.ema.shadow[k]) for k, v in straight.ema.shadow.items())


def test_the_diffusion_training_resumes_bit_exactly(trained: Path, small_data: Path) -> None:
    recipe = read_recipe(trained / "unet.yaml", from_nothing.DiffusionRecipe)
    out = trained / "second"
    rows = {row.id: row for row in generator_rows(read_index(small_data))}
    pool = Pool.load(out / "pool.npz")
    finished = torch.load(out / "state.pt", weights_only=True)

    def maker(run: from_nothing.FromNothing) -> BatchMaker:
        return BatchMaker(
            pool,
            rows,
            tokenizer=run.tokenizer,
            mix=recipe.mix,
            scaling=run.scaling,
            grounding=pool.grounding,
        )

    first = from_nothing.FromNothing(recipe, out, None)
    first.pretrain([])
    for step in range(2):
        first.step(maker(first)(recipe.seed, step))
    first.check(maker(first)(recipe.seed + 1, 0), torch.zeros(1, 4, 8, 8))
    second = from_nothing.FromNothing(recipe, out, None)
    second.restore()
    for step in range(2, 4):
        second.step(maker(second)(recipe.seed, step))
    for name, weight in finished["model"].items():
        assert torch.equal(weight, second.model.state_dict()[name]), name


def test_bfloat16_weights_resume_bit_exactly_by_their_masters(
    trained: Path, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masters, "multiplies_bf16", lambda: True)
    recipe = replace(
        read_recipe(trained / "unet.yaml", from_nothing.DiffusionRecipe), precision="bf16-pure"
    )
    for kept in ("vae", "tokenizer"):
        shutil.copytree(trained / "second" / kept, tmp_path / kept)
    rows = {row.id: row for row in generator_rows(read_index(small_data))}
    pool = Pool.load(trained / "second" / "pool.npz")
    straight = from_nothing.FromNothing(recipe, tmp_path, None)
    maker = BatchMaker(
        pool, rows, tokenizer=straight.tokenizer, mix=recipe.mix, scaling=1.0, grounding={}
    )
    for step in range(2):
        straight.step(maker(11, step))
    straight.save()
    resumed = from_nothing.FromNothing(recipe, tmp_path, None)
    resumed.restore()
    for step in range(2, 4):
        told = [run.step(maker(11, step)) for run in (straight, resumed)]
        assert told[0] == told[1]
    for name, weight in straight.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name
    lost = [
        (weight - weight.to(torch.bfloat16)).abs().amax().item() > 0
        for weight in straight.model["unet"].parameters()
    ]
    assert any(lost)  # the masters hold what bfloat16 does not
    worker = next(straight.masters.worker["unet"].parameters())
    assert worker.dtype == torch.bfloat16


def test_what_the_diffusion_training_lacks_is_made_once(
    trained: Path, small_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ComponentMissing, match="autoencoder"):
        prepare_pool(small_data, tmp_path, versions=1, draws=2)
    shutil.copytree(trained / "first" / "vae", tmp_path / "vae")
    organs = {p.stem: np.asarray(Image.open(p)) for p in (small_data / "organ_masks").iterdir()}
    np.savez(tmp_path / "organs.npz", **organs)
    made = prepare_pool(small_data, tmp_path, versions=1, draws=2)
    pool, written = Pool.load(made), made.stat().st_mtime_ns
    assert len(pool.real) == 5
    assert len(pool.plain) == len(pool.drawings) > 0
    prepare_pool(small_data, tmp_path, versions=1, draws=2)
    assert made.stat().st_mtime_ns == written


def test_organ_maps_have_the_side_of_the_latents_pictures(small_data: Path, tmp_path: Path) -> None:
    _organ_maps(small_data, tmp_path / "organs.npz", 64)
    with np.load(tmp_path / "organs.npz") as maps:
        assert len(maps.files) == 6
        assert all(maps[name].shape == (64, 64) and maps[name].max() <= 3 for name in maps.files)
    assert [path.name for path in tmp_path.iterdir()] == ["organs.npz"]


def test_minutes_end_a_run_before_its_steps(small_data: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(VAE_RECIPE.replace("steps: 4", "steps: 1000000"))
    vae = train.train_autoencoder(
        tmp_path / "r.yaml", small_data, out=tmp_path / "run", max_minutes=0.02
    )
    assert (vae / "diffusion_pytorch_model.safetensors").is_file()


def test_the_decoder_learns_alone_and_leaves_the_latents(
    trained: Path, small_data: Path, tmp_path: Path
) -> None:
    recipe = VAE_RECIPE + "decoder_only: true\nstructure_weight: 0.3\n"
    (tmp_path / "r.yaml").write_text(recipe.replace("steps: 4", "steps: 25"))
    shutil.copytree(trained / "first" / "vae", tmp_path / "run" / "vae")
    before = AutoencoderKL.from_pretrained(tmp_path / "run" / "vae")
    vae = train.train_autoencoder(tmp_path / "r.yaml", small_data, out=tmp_path / "run")
    after = AutoencoderKL.from_pretrained(vae)
    image = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
    with torch.no_grad():
        old, new = (model.encode(image).latent_dist.mean for model in (before, after))
        assert torch.equal(old, new)
        assert not torch.equal(before.decode(old).sample, after.decode(new).sample)
    assert after.config.scaling_factor == before.config.scaling_factor
    assert '"structure"' in (tmp_path / "run" / "history.jsonl").read_text()


def test_crossed_twins_aim_at_the_caption_s_twin(trained: Path, small_data: Path) -> None:
    recipe = read_recipe(trained / "unet.yaml", from_nothing.DiffusionRecipe)
    pool = Pool.load(trained / "second" / "pool.npz")
    rows = {row.id: row for row in generator_rows(read_index(small_data))}
    run = from_nothing.FromNothing(recipe, trained / "second", None)
    maker = BatchMaker(
        pool, rows, tokenizer=run.tokenizer, mix=recipe.mix, scaling=1.0, grounding={}
    )
    batch = next(
        b
        for s in range(20)
        if (b := maker(3, s)).tokens[3:].ne(run.tokenizer.pad_token_id).sum(1).min() > 1
    )
    assert batch.kind.tolist() == [0, 1, 1, 2, 2]
    assert torch.equal(batch.source[1], batch.target[1])
    assert torch.equal(batch.source[3], batch.target[4])
    assert torch.equal(batch.noise[3], batch.noise[4])
    assert batch.level[3] == batch.level[4]


def test_the_loss_wants_the_drawn_noise_when_source_is_target() -> None:
    z, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    abar = torch.tensor([0.3, 0.7])
    view = abar.view(-1, 1, 1, 1)
    noisy = view.sqrt() * z + (1 - view).sqrt() * noise
    loss = denoiser.denoising_loss(noise, noisy, z, abar, 5.0)
    assert loss.max() < 1e-10
    worse = denoiser.denoising_loss(noise + 1, noisy, z, abar, 5.0)
    assert math.isclose(worse[0].item(), 1.0, rel_tol=1e-4)


def test_unknown_keys_and_missing_recipes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("colour: blue\n")
    with pytest.raises(BadRequest, match="colour"):
        read_recipe(tmp_path / "bad.yaml", train.AutoencoderRecipe)
    with pytest.raises(UnreadableInput):
        read_recipe(tmp_path / "none.yaml", train.AutoencoderRecipe)


def test_folding_a_basis_keeps_pictures_and_decorrelates_latents(trained: Path) -> None:
    vae = AutoencoderKL.from_pretrained(trained / "first" / "vae").eval()
    images = np.random.default_rng(0).integers(0, 255, (3, 64, 64)).astype(np.uint8)
    before = train.reconstruct(vae, images)
    with torch.no_grad():
        latents = train.encode(vae, images).numpy()
    basis = fit_basis(latents)
    fold(vae, basis)
    with torch.no_grad():
        moved = train.encode(vae, images).numpy()
    assert np.abs(train.reconstruct(vae, images) - before).max() < 1e-4
    assert np.abs(moved - basis.apply(latents)).max() < 1e-2
    correlation = np.corrcoef(moved.transpose(1, 0, 2, 3).reshape(4, -1))
    assert np.abs(correlation - np.eye(4)).max() < 1e-2
