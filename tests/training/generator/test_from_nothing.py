# SPDX-License-Identifier: Apache-2.0
"""A denoiser learns from real radiographs and captions alone: no energy, no pairs; it resumes."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPTokenizer

from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.diffusion.model.backbone import load_backbone
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.training.autoencoder.recipe import AutoencoderRecipe, build
from monai_cxr_cf.training.generator import denoiser, pool
from monai_cxr_cf.training.generator.batches import Batch, BatchMaker, tokenize
from monai_cxr_cf.training.generator.captions import Caption
from monai_cxr_cf.training.generator.from_nothing import (
    DiffusionRecipe,
    FromNothing,
    clear_latents,
    train_diffusion,
)
from monai_cxr_cf.training.generator.latents import Pool
from monai_cxr_cf.training.generator.shorten_text import first_and_last
from monai_cxr_cf.training.generator.text import build_text_encoder
from monai_cxr_cf.training.loop import load_state, read_recipe

SMALL = (
    "channels: [32, 32, 32, 32]\ntext_width: 32\ntext_layers: 1\nsteps: 4\ncheck_every: 50\n"
    "precision: 'no'\ntext_steps: 2\nwarmup: 1\nsheet_steps: 2\nlog_every: 1\nversions: 2\n"
)
PLAIN = SMALL + "attention_weight: 0\nreal: 3\ntwins: 0\ncrossed: 0\ndraws: 0\n"


def test_a_run_goes_on_from_a_pipeline_s_weights(
    plain: Path, small_data: Path, tmp_path: Path
) -> None:
    for kept in ("vae", "pool.npz", "pipeline"):
        copy = shutil.copytree if (plain / kept).is_dir() else shutil.copy
        copy(plain / kept, tmp_path / kept)
    form = read_recipe(plain / "plain.yaml", DiffusionRecipe)
    run = FromNothing(replace(form, go_on=True), tmp_path, None)
    told = load_backbone(str(plain / "pipeline"), models=tmp_path)
    for ours, theirs in ((run.model["unet"], told.unet), (run.model["text"], told.text_encoder)):
        known = theirs.state_dict()
        assert all(torch.equal(w, known[n].float()) for n, w in ours.state_dict().items())
    assert run.tokenizer.get_vocab() == told.tokenizer.get_vocab()
    with pytest.raises(BadRequest, match="no network of the recipe's shape"):
        FromNothing(replace(form, go_on=True, channels=(32, 32, 32, 64)), tmp_path, None)
    shutil.rmtree(tmp_path / "pipeline")
    with pytest.raises(ComponentMissing, match="goes on from a pipeline"):
        FromNothing(replace(form, go_on=True), tmp_path, None)


def test_a_longer_text_encoder_is_shortened_to_say_the_same(
    plain: Path, small_data: Path, tmp_path: Path
) -> None:
    shutil.copytree(plain / "vae", tmp_path / "vae")
    shutil.copytree(plain / "pipeline", tmp_path / "pipeline")
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path / "pipeline/tokenizer")
    torch.manual_seed(1)
    long = build_text_encoder(tokenizer, width=32, layers=3)
    long.save_pretrained(tmp_path / "pipeline/text_encoder")
    form = read_recipe(plain / "plain.yaml", DiffusionRecipe)
    run = FromNothing(replace(form, go_on=True, text_steps=60), tmp_path, None)
    tokens, _ = tokenize(tokenizer, [Caption("left pleural effusion, PA view"), Caption("")])

    def off(text: torch.nn.Module) -> float:
        with torch.no_grad():
            here, there = (net(tokens).last_hidden_state for net in (text, long))
        return float((here - there).square().mean() / there.var())

    bare = build_text_encoder(tokenizer, width=32, layers=1)
    bare.load_state_dict(
        {n: w for n, w in first_and_last(long.state_dict(), 1, 3).items() if n in bare.state_dict()}
    )
    for name, weight in bare.state_dict().items():
        if "layers.0" in name:
            assert torch.equal(weight, long.state_dict()[name.replace("layers.0", "layers.2")])
    run.pretrain(read_index(small_data))
    assert off(run.model["text"]) < 0.5 * off(bare)
    again = FromNothing(replace(form, go_on=True, text_steps=60), tmp_path, None)
    again.pretrain([])  # text.pt is read
    states = (r.model["text"].state_dict() for r in (run, again))
    assert all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))
    with pytest.raises(BadRequest, match="no network of the recipe's shape"):
        FromNothing(replace(form, go_on=True, text_steps=0, text_layers=4), tmp_path, None)


def test_words_alone_tell_the_caption_where_its_ending_is_dropped(
    plain: Path, tmp_path: Path
) -> None:
    for kept in ("vae", "pipeline"):
        shutil.copytree(plain / kept, tmp_path / kept)
    run = FromNothing(read_recipe(plain / "plain.yaml", DiffusionRecipe), tmp_path, None)
    text = run.model["text"]
    told = [Caption("left pleural effusion"), Caption("left pleural effusion"), Caption("")]
    tokens, _ = tokenize(run.tokenizer, told)
    states, first = text(tokens).last_hidden_state, len(run.tokenizer(told[0].text).input_ids) - 1
    found = run._words_alone(text, states, tokens, torch.tensor([True, False, True]))
    assert torch.equal(found[0, :first], states[0, :first])
    assert torch.equal(found[0, first:], states[2, first:])
    assert not torch.equal(found[0, first:], states[0, first:])
    assert torch.equal(found[1:], states[1:])


def recipe(root: Path, name: str) -> DiffusionRecipe:
    """A shipped one."""
    return read_recipe(root / f"monai_cxr_cf/training/recipes/{name}.yaml", DiffusionRecipe)


def must_not_run(*_: Any, **__: Any) -> None:
    """Stands where energy and pairs are made."""
    raise AssertionError("the plain training makes neither energy nor pairs")


@pytest.fixture(scope="module")
def start(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained autoencoder, the drawn organ maps and the recipe."""
    out = tmp_path_factory.mktemp("start")
    torch.manual_seed(0)
    form = AutoencoderRecipe(channels=(8, 8, 8, 8), norm_groups=4, side=64)
    build(form).save_pretrained(out / "vae")
    organs = {p.stem: np.asarray(Image.open(p)) for p in (small_data / "organ_masks").iterdir()}
    np.savez(out / "organs.npz", **organs)
    (out / "plain.yaml").write_text(PLAIN)
    return out


@pytest.fixture(scope="module")
def plain(start: Path, small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one uninterrupted run, in which nothing could draw or watch."""
    out = tmp_path_factory.mktemp("plain") / "run"
    shutil.copytree(start, out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "render_all", must_not_run)
        patch.setattr(pool, "encode_pairs", must_not_run)
        patch.setattr(denoiser, "watched", must_not_run)
        patch.setattr(denoiser, "attention_energy", must_not_run)
        train_diffusion(out / "plain.yaml", small_data, out=out)
    return out


def test_the_plain_recipe_differs_from_cxr_mini_s_in_what_it_leaves_out(root: Path) -> None:
    shipped, bare = asdict(recipe(root, "diffusion")), asdict(recipe(root, "diffusion_plain"))
    changed = {name: bare[name] for name in shipped if shipped[name] != bare[name]}
    left_out = {"attention_weight": 0, "twins": 0, "crossed": 0, "draws": 0}
    assert changed == {**left_out, "real": 12, "versions": 3, "ema_decay": 0.998}
    assert shipped["real"] + 2 * (shipped["twins"] + shipped["crossed"]) == bare["real"]


def test_the_plain_training_draws_no_pair_and_takes_no_energy(plain: Path) -> None:
    kept = Pool.load(plain / "pool.npz")
    assert kept.real.shape == (10, 4, 8, 8)  # five radiographs in two versions
    assert len(kept.plain) == len(kept.drawn) == len(kept.masks) == len(kept.drawings) == 0
    assert not (plain / "rendered.npz").exists()
    lines = [json.loads(x) for x in (plain / "history.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    assert all(line["loss"] == line["real"] > 0 for line in steps)
    assert not {"energy", "twins", "crossed"} & {name for line in lines for name in line}


def test_the_plain_training_writes_sheets_and_a_backbone(plain: Path) -> None:
    assert (plain / "edits.png").stat().st_size > 0
    assert load_backbone(str(plain / "pipeline"), models=plain).unet.config.sample_size == 8


def test_a_stopped_plain_training_resumes_bit_exactly(
    plain: Path, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kept in ("vae", "tokenizer"):
        shutil.copytree(plain / kept, tmp_path / kept)
    for kept in ("pool.npz", "text.pt"):
        shutil.copy(plain / kept, tmp_path / kept)
    draw, calls = BatchMaker.__call__, [0]

    def stopping(self: BatchMaker, seed: int, step: int) -> Batch:
        calls[0] += 1
        if calls[0] == 4:  # the first batch is watched, so this is the third step's
            raise KeyboardInterrupt
        return draw(self, seed, step)

    with monkeypatch.context() as patch:
        patch.setattr(BatchMaker, "__call__", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_diffusion(plain / "plain.yaml", small_data, out=tmp_path)
    assert load_state(tmp_path / "state.pt")["step"] == 2
    train_diffusion(plain / "plain.yaml", small_data, out=tmp_path, resume=True)
    straight, resumed = (load_state(folder / "state.pt") for folder in (plain, tmp_path))
    assert resumed["step"] == 4
    for name, weight in straight["model"].items():
        assert torch.equal(weight, resumed["model"][name]), name
    for name, weight in straight["ema"]["shadow"].items():
        assert torch.equal(weight, resumed["ema"]["shadow"][name]), name


def test_a_recipe_with_pairs_refuses_a_pool_without(
    plain: Path, small_data: Path, tmp_path: Path
) -> None:
    shutil.copytree(plain / "vae", tmp_path / "vae")
    shutil.copytree(plain / "tokenizer", tmp_path / "tokenizer")
    shutil.copy(plain / "pool.npz", tmp_path / "pool.npz")
    (tmp_path / "pairs.yaml").write_text(SMALL + "real: 1\ntwins: 1\ncrossed: 1\n")
    with pytest.raises(BadRequest, match="no drawn pairs"):
        train_diffusion(tmp_path / "pairs.yaml", small_data, out=tmp_path)
    assert not (tmp_path / "state.pt").exists()


def test_the_probes_of_a_plain_training_are_radiographs_without_findings(
    plain: Path, small_data: Path
) -> None:
    kept, rows = Pool.load(plain / "pool.npz"), {row.id: row for row in read_index(small_data)}
    clear = [name for name in sorted(set(kept.real_ids)) if rows[name].labels == ("No Finding",)]
    wanted = kept.real[[kept.real_ids.index(name) for name in clear]]
    assert np.array_equal(clear_latents(kept, rows), wanted)
    assert len(clear) == 4
