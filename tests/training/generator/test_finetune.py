# SPDX-License-Identifier: Apache-2.0
"""A tiny backbone is fine-tuned on a made MIMIC-CXR-JPG folder: every promise at small size."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from PIL import Image

from monai_cxr_cf.data.captioned import Collection
from monai_cxr_cf.data.table import Captioned
from monai_cxr_cf.diffusion.model.backbone import load_backbone
from monai_cxr_cf.errors import BadRequest, ComponentMissing, UnreadableInput
from monai_cxr_cf.training.generator import latent_cache
from monai_cxr_cf.training.generator.batches import Batch
from monai_cxr_cf.training.generator.denoiser import Trainer
from monai_cxr_cf.training.generator.finetune import FinetuneRecipe, train_finetune, trainable
from monai_cxr_cf.training.generator.latent_cache import (
    CacheSpec,
    LatentCache,
    fill_cache,
    open_cache,
)
from monai_cxr_cf.training.generator.reports import ReportBatches
from monai_cxr_cf.training.loop import load_state, read_recipe
from monai_cxr_cf.training.processes import start_accelerator

RECIPE = (
    "steps: 3\neffective_batch: 4\nbatch: 2\nwarmup: 1\nversions: 2\nheld_out: 2\ncheck_every: 50\n"
    "log_every: 1\nprecision: 'no'\nema_decay: 0.9\nsheet_steps: 2\ngradient_checkpointing: true\n"
)
FINDINGS = ("Pleural Effusion", "Cardiomegaly", "Edema", "No Finding")
PATIENTS = 8


def write_tables(folder: Path, rows: list[dict[str, str]]) -> None:
    """The three tables of MIMIC-CXR-JPG."""
    for name in ("metadata", "split", "chexpert"):
        with (folder / f"mimic-cxr-2.0.0-{name}.csv").open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


@pytest.fixture(scope="module")
def mimic(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Eight patients with one drawn image each; the last two are for validation."""
    folder = tmp_path_factory.mktemp("mimic")
    rows = []
    for number in range(PATIENTS):
        subject, study = f"1000000{number}", f"5000000{number}"
        place = folder / f"files/p10/p{subject}/s{study}"
        place.mkdir(parents=True)
        noise = np.random.default_rng(number).integers(0, 256, (80, 70)).astype(np.uint8)
        Image.fromarray(noise).resize((70, 80)).save(place / f"d{number}.jpg")
        labels = {name: "1.0" if FINDINGS[number % 4] == name else "" for name in FINDINGS}
        keys = {"dicom_id": f"d{number}", "subject_id": subject, "study_id": study}
        split = "validate" if number >= 6 else "train"
        rows.append({**keys, "ViewPosition": "PA", "split": split, **labels})
    write_tables(folder, rows)
    return Collection(folder, "mimic-cxr-jpg")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe as a file."""
    path = tmp_path_factory.mktemp("recipe") / "finetune.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def tuned(mimic: Collection, recipe: Path, tiny_folder: Path, tmp_path_factory) -> Path:
    """The folder of one uninterrupted run."""
    out = tmp_path_factory.mktemp("tuned")
    train_finetune(recipe, mimic, out=out, start=str(tiny_folder))
    return out


def weights(out: Path) -> dict[str, torch.Tensor]:
    """Networks and average of a checkpoint."""
    state = load_state(out / "state.pt")
    return {**state["model"], **{f"ema.{k}": v for k, v in state["ema"]["shadow"].items()}}


def test_a_fine_tuned_folder_loads_in_plain_diffusers_and_edits(tuned: Path) -> None:
    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(tuned / "pipeline", safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.to(torch.float32)
    image = Image.new("RGB", (64, 64), (128, 128, 128))
    out = pipe("left pleural effusion", image=image, strength=0.5, num_inference_steps=4)
    assert out.images[0].size == (64, 64)


def test_a_run_leaves_curves_sheets_events_figures_and_its_start(tuned: Path) -> None:
    for name in ("curves.png", "samples.png", "edits.png", "state.pt"):
        assert (tuned / name).stat().st_size > 0
    assert any((tuned / "tensorboard").iterdir())
    history = (tuned / "history.jsonl").read_text()
    for name in ("loss", "validation", "sensitivity_inside", "images_s", "minutes_left", "gap_800"):
        assert f'"{name}"' in history
    assert "vae/" in (tuned / "start.json").read_text()


def test_weights_move_but_the_autoencoder_stays(tuned: Path, tiny_folder: Path) -> None:
    start = load_backbone(str(tiny_folder), models=tiny_folder)
    after = load_backbone(str(tuned / "pipeline"), models=tuned)
    key = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    assert not torch.equal(start.unet.state_dict()[key], after.unet.state_dict()[key])
    half = {k: v.half().float() for k, v in start.vae.state_dict().items()}
    assert all(torch.equal(half[k], v) for k, v in after.vae.state_dict().items())


def test_the_cache_holds_each_radiograph_in_versions_and_validation_apart(tuned: Path) -> None:
    index = json.loads((tuned / "latents" / "index.json").read_text())
    assert index["learnt"] == 6
    assert {row["split"] for row in index["rows"][6:]} == {"judge"}
    latents = np.memmap(tuned / "latents/latents.f16", np.float16, "r").reshape(8, 2, 4, 8, 8)
    assert np.isfinite(latents).all()
    assert all(not np.array_equal(first, second) for first, second in latents)
    assert np.fromfile(tuned / "latents/done.u8", np.uint8).all()


def test_filling_the_cache_goes_on_where_it_was(
    mimic: Collection, tiny_folder: Path, tuned: Path, tmp_path: Path
) -> None:
    spec = CacheSpec(**json.loads((tuned / "latents/index.json").read_text())["spec"])
    spec = replace(spec, views=("PA",))
    vae, team = load_backbone(str(tiny_folder), models=tiny_folder).vae, start_accelerator("no")
    broken = mimic.folder / "files/p10/p10000004/s50000004/d4.jpg"
    content = broken.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent_cache, "EVERY", 2)
        cache = open_cache(tmp_path, mimic, spec, held_out=2)
        broken.write_bytes(b"")
        with pytest.raises(UnreadableInput):
            fill_cache(cache, mimic, vae=vae, spec=spec, team=team)
    broken.write_bytes(content)
    again = open_cache(tmp_path, mimic, spec, held_out=2)
    assert again.done.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    again.latents[0] = 0  # what is done is not done again
    fill_cache(again, mimic, vae=vae, spec=spec, team=team)
    finished = np.memmap(tuned / "latents/latents.f16", np.float16, "r", shape=again.latents.shape)
    assert not again.latents[0].any()
    assert np.array_equal(again.latents[1:], finished[1:])
    with pytest.raises(BadRequest, match="other data"):
        open_cache(tmp_path, mimic, replace(spec, seed=1))


@pytest.mark.parametrize("batches", [3, 4], ids=["inside a window", "between two steps"])
def test_a_stopped_run_resumes_bit_exactly(
    batches: int, mimic: Collection, recipe: Path, tiny_folder: Path, tuned: Path, tmp_path: Path
) -> None:
    shutil.copytree(tuned / "latents", tmp_path / "latents")
    draw, count = ReportBatches.__call__, 0

    def stopping(self: ReportBatches, seed: int, number: int) -> Batch:
        nonlocal count
        count += 1
        if count > batches:
            raise KeyboardInterrupt
        return draw(self, seed, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReportBatches, "__call__", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_finetune(recipe, mimic, out=tmp_path, start=str(tiny_folder))
    assert load_state(tmp_path / "state.pt")["step"] == batches // 2
    train_finetune(recipe, mimic, out=tmp_path, resume=True)
    assert load_state(tmp_path / "state.pt")["step"] == 3
    resumed = weights(tmp_path)
    for name, weight in weights(tuned).items():
        assert torch.equal(weight, resumed[name]), name


def test_minutes_end_a_run_with_a_pipeline_folder(
    mimic: Collection, recipe: Path, tiny_folder: Path, tuned: Path, tmp_path: Path
) -> None:
    shutil.copytree(tuned / "latents", tmp_path / "run" / "latents")
    long = tmp_path / "long.yaml"
    long.write_text(recipe.read_text().replace("steps: 3", "epochs: 100000"))
    train_finetune(long, mimic, out=tmp_path / "run", start=str(tiny_folder), max_minutes=0.005)
    assert (tmp_path / "run/pipeline/model_index.json").is_file()
    assert load_state(tmp_path / "run/state.pt")["step"] < 1000


@pytest.fixture
def cache(tuned: Path) -> LatentCache:
    """The cache of the uninterrupted run."""
    index = json.loads((tuned / "latents" / "index.json").read_text())
    latents = np.memmap(tuned / "latents/latents.f16", np.float16, "r", shape=(8, 2, 4, 8, 8))
    done = np.memmap(tuned / "latents/done.u8", np.uint8, "r")
    return LatentCache([Captioned(**r) for r in index["rows"]], index["learnt"], latents, done)


def test_accumulation_changes_only_the_order_of_sums(
    cache: LatentCache, recipe: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    results = []
    for batch in (1, 4):
        loaded = load_backbone(str(tiny_folder), models=tiny_folder)
        changed = FinetuneRecipe(**{**vars(read_recipe(recipe, FinetuneRecipe)), "batch": batch})
        planned = changed.planned(1, 6)
        networks = trainable(loaded, checkpointing=False)
        run = Trainer(planned, networks, out=tmp_path, accelerator=start_accelerator("no"))
        make = ReportBatches(cache, run.tokenizer, batch=batch, dropout=0.1, scaling=run.scaling)
        window = [make(11, number) for number in range(planned.accumulate)]
        figures = run.step(window)
        results.append((torch.cat([b.noise for b in window]), figures["loss"], run.ema.shadow))
    assert torch.equal(results[0][0], results[1][0])
    assert abs(results[0][1] - results[1][1]) < 1e-5
    # Adam's first step is the sign of the gradient: compare the average, weight by weight.
    for name, weight in results[0][2].items():
        apart = (weight - results[1][2][name]).abs() > 1e-6
        assert apart.float().mean() < 0.05, name


def test_every_radiograph_is_drawn_once_an_epoch(cache: LatentCache, tiny_folder: Path) -> None:
    tokenizer = load_backbone(str(tiny_folder), models=tiny_folder).tokenizer
    make = ReportBatches(cache, tokenizer, batch=2, dropout=0.0, scaling=1.0)
    plain = torch.from_numpy(np.array(cache.latents)).float()

    def drawn(number: int) -> list[int]:
        return [
            int((plain == z).flatten(2).all(2).any(1).nonzero()[0, 0])
            for z in make(7, number).target
        ]

    first = [index for number in range(3) for index in drawn(number)]
    second = [index for number in range(3, 6) for index in drawn(number)]
    assert sorted(first) == sorted(second) == [0, 1, 2, 3, 4, 5]
    assert first != second


def test_two_processes_train_what_one_does(
    mimic: Collection, recipe: Path, tiny_folder: Path, tuned: Path, tmp_path: Path, root: Path
) -> None:
    words = ["train", "diffusion", "--data", str(mimic.folder), "--layout", mimic.layout]
    words += ["--recipe", str(recipe), "--start", str(tiny_folder), "--out", str(tmp_path)]
    words += ["--progress", "none"]
    # torchrun itself would take --start for its own --start-method; accelerate launch does not.
    script = tmp_path / "tune.py"
    script.write_text(f"from monai_cxr_cf.cli import main\nraise SystemExit(main({words}))\n")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    one_core = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, *launch],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | one_core,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    steps = [json.loads(line)["step"] for line in (tmp_path / "history.jsonl").open()]
    assert steps == [1, 2, 3, 3]  # written by one of them: three steps and a check
    together = weights(tmp_path)
    for name, weight in weights(tuned).items():
        # Adam's early steps follow the sign of the gradient, whatever its size.
        apart = (weight - together[name]).abs() > 1e-6
        assert apart.float().mean() < 0.05, name


def test_what_cannot_be_trained_is_refused_in_one_sentence(
    mimic: Collection, recipe: Path, tiny_folder: Path, tuned: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadRequest, match="start from"):
        train_finetune(recipe, mimic, out=tmp_path / "a")
    with pytest.raises(ComponentMissing):
        train_finetune(recipe, mimic, out=tmp_path / "a", start="no/such-model")
    with pytest.raises(BadRequest, match="multiple"):
        FinetuneRecipe(batch=3).planned(2, 100)
    with pytest.raises(BadRequest, match="bf16-pure, bf16, no"):
        start_accelerator("fp16")
    with pytest.raises(BadRequest, match="started from other weights"):
        train_finetune(recipe, mimic, out=tuned, start=str(tuned / "pipeline"), resume=True)
