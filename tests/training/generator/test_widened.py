# SPDX-License-Identifier: Apache-2.0
"""An 8- and a 9-channel UNet learn over a tiny one: small files, bit-exact resume, usable edits."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from monai_cxr_cf.cli import main
from monai_cxr_cf.diffusion.model.backbone import kind_of, load_backbone
from monai_cxr_cf.diffusion.model.widened import NOTE, WEIGHTS
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.methods.registry import run_method
from monai_cxr_cf.presets import DEFAULT
from monai_cxr_cf.training.drawn_pairs.drawing import SEVERITIES, Drawing
from monai_cxr_cf.training.generator.latents import Pool
from monai_cxr_cf.training.generator.orders import Orders, Pairs
from monai_cxr_cf.training.generator.pipeline_folder import build_unet
from monai_cxr_cf.training.generator.widened import (
    FORMS,
    WidenedRecipe,
    add_updates,
    learnt,
    train_widened,
)
from monai_cxr_cf.training.loop import load_state, read_recipe
from tests.diffusion.conftest import make_task
from tests.methods.quick import quick

RECIPE = (
    "steps: 30\nwarmup: 1\nprecision: 'no'\nsheet_steps: 2\nlog_every: 1\nbatch: 4\nrank: 2\n"
    "convolution_rank: 1\ndraws: 3\nlearning_rate: 0.01\ncross_attention_rate: 0.01\n"
)


@pytest.fixture(scope="module", params=FORMS)
def trained(request, small_data, tiny_folder, tmp_path_factory):
    """The kind, and the folder of one uninterrupted run."""
    out = tmp_path_factory.mktemp(request.param)
    (out / "r.yaml").write_text(RECIPE)
    organs = {p.stem: np.asarray(Image.open(p)) for p in (small_data / "organ_masks").iterdir()}
    np.savez(out / "organs.npz", **organs)
    asked = ["train", request.param, "--data", str(small_data), "--out", str(out), "--progress",
             "none", "--recipe", str(out / "r.yaml"), "--start", str(tiny_folder)]  # fmt: skip
    assert main(asked) == 0
    return request.param, out


def test_what_is_kept_edits(trained) -> None:
    kind, out = trained
    folder = out / "pipeline"
    assert sorted(p.name for p in folder.iterdir()) == [NOTE, WEIGHTS]
    assert kind_of(str(folder), models=out) == kind
    made = load_backbone(str(folder), models=out)
    assert made.kind == kind
    task = replace(make_task(made.tokenizer), instruction="Add it")
    name = "ip2p" if kind == "instruct" else "sd_inpaint"
    assert run_method(quick(name), made, task, config=DEFAULT, seeds=[1]).z.isfinite().all()
    lines = map(json.loads, (out / "history.jsonl").read_text().splitlines())
    losses = [line["loss"] for line in lines if "loss" in line]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    state = load_state(out / "state.pt")["ema"]["shadow"]
    key = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
    w, up, down = (state[f"unet.{key}.parametrizations.weight.{n}"]
                   for n in ("original", "0.up", "0.down"))  # fmt: skip
    assert up.any()
    assert torch.allclose(made.unet.get_parameter(f"{key}.weight"), w + up @ down, atol=1e-3)


def test_a_stopped_run_resumes_bit_exactly(trained, small_data, tmp_path, monkeypatch) -> None:
    kind, done = trained
    out = shutil.copytree(done, tmp_path / "again")
    draw, form = Pairs.__call__, FORMS[kind]

    def stopping(self, seed, step):
        if step == 2:
            raise KeyboardInterrupt
        return draw(self, seed, step)

    with monkeypatch.context() as patch:
        patch.setattr(form, "__call__", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_widened(kind, out / "r.yaml", small_data, out=out)
    assert load_state(out / "state.pt")["step"] == 2
    train_widened(kind, out / "r.yaml", small_data, out=out, pace=(True, None))
    states = [load_state(folder / "state.pt") for folder in (done, out)]
    first, second = ({**s["model"], **{f"ema {k}": w for k, w in s["ema"]["shadow"].items()}}
                     for s in states)  # fmt: skip
    assert all(torch.equal(w, second[n]) for n, w in first.items())


def test_what_does_not_belong_together_is_refused(trained, tmp_path, tiny_folder) -> None:
    kind, out = trained
    folder = shutil.copytree(out / "pipeline", tmp_path / "own")
    told = json.loads((folder / NOTE).read_text())
    (folder / NOTE).write_text(json.dumps(told | {"unet": {"unet/x": "0" * 64}}))
    with pytest.raises(BadRequest, match="'own' stands on another UNet than that of 'tiny' now"):
        load_backbone(str(folder), models=tmp_path)
    (folder / NOTE).write_text(json.dumps(told))
    for broken in (b"", save({"conv_in.weight": torch.zeros(1)}), save({})):
        (folder / WEIGHTS).write_bytes(broken)
        with pytest.raises(ComponentMissing, match="of 'own' cannot be read"):
            load_backbone(str(folder), models=tmp_path)
    (folder / NOTE).write_text('{"kind": "ink"}')
    assert kind_of(str(folder), models=out) is None
    (tmp_path / "r.yaml").write_text("text_rate: 1")
    for start, recipe, found in (
        (out / "pipeline", out, "[89], 0.0"),
        (tiny_folder, tmp_path, "4, 1"),
    ):
        with pytest.raises(BadRequest, match=f"found {found} and 0.0"):
            train_widened(kind, recipe / "r.yaml", tmp_path, out=tmp_path, start=str(start))


def test_batches_hold_what_the_methods_hand_over(trained) -> None:
    kind, out = trained
    pool, loaded = Pool.load(out / "pool.npz"), load_backbone(str(out / "pipeline"), models=out)
    if kind == "inpaint":
        masks, masked = np.load(out / "masked.npz").values()
        x = torch.from_numpy(np.load(out / "rendered.npz")["drawn"][0] / 127.5 - 1).float()
        x[torch.from_numpy(np.kron(masks[0], np.ones((8, 8)))) > 0] = 0
        with torch.no_grad():
            z = loaded.vae.encode(x.expand(1, 3, -1, -1)).latent_dist.mean[0]
        assert np.abs(z.numpy() - masked[1, 0]).max() < 0.05
        return
    degrees = [(Drawing("edema", severity=SEVERITIES[i % 3]),) for i in range(len(pool.drawn))]
    make = Orders(replace(pool, drawings=degrees), {}, loaded.tokenizer, 1, 1.0)
    drawn = [make.sample(np.random.default_rng([3, n])) for n in range(400)]
    words = [one[2] for one in drawn]
    for start in ("Add the finding of ", "Remove the finding of ", "Change the level of "):
        assert sum(text.startswith(start) for text in words) > 9
    assert 20 <= words.count("") <= 60  # a tenth
    assert 20 <= sum(not seen.any() for _, seen, _ in drawn) <= 60
    twins = {a.tobytes(): b.tobytes() for a, b in zip(pool.drawn, pool.plain, strict=True)}
    for wanted, seen, text in drawn:
        if text.startswith("Add") and seen.any():
            assert twins[wanted.tobytes()] == seen.tobytes()


def test_a_widened_unet_is_the_old_one_until_it_learns_and_little_is_kept(root: Path) -> None:
    unet = build_unet(latent_side=16).eval()
    z, told = torch.randn(1, 9, 16, 16), torch.randn(1, 7, 256)
    before = unet(z[:, :4], 5, told).sample
    recipe = root / "monai_cxr_cf/training/recipes/inpaint.yaml"
    add_updates(unet, 9, read_recipe(recipe, WidenedRecipe))
    assert unet.config.in_channels == 9
    assert torch.allclose(before, unet(z, 5, told).sample, atol=1e-5)
    assert sum(2 * w.numel() for w in learnt(unet).values()) < 1_000_000
