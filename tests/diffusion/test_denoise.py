# SPDX-License-Identifier: Apache-2.0
"""The loop's view of the UNet: which switch is on in which step and branch, what is combined."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from monai_cxr_cf.diffusion.attention.control import Control
from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.correction.correction import Correction
from monai_cxr_cf.diffusion.cost.meter import Meter
from monai_cxr_cf.diffusion.denoise import Denoiser
from monai_cxr_cf.diffusion.model.text import encode_text
from monai_cxr_cf.diffusion.modes import config_for, ensemble, sham_task
from monai_cxr_cf.diffusion.prepare import inversion_plan, prepare
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.diffusion.severity import blended
from monai_cxr_cf.methods.sdedit import plain
from monai_cxr_cf.presets import PAPER
from tests.diffusion.small import EVERY

LATE = {
    "sampling": {"steps": 10, "cfg_from": 0.25, "cfg_until": 1.0, "guidance_scale": 3.0},
    "start": {"strength": 1.0},
    "gate": {"mode": "dense"},
    "boost": {"side": "late", "mu": 0.5},
}


def switches(monkeypatch):
    """Every call of ``Control.set``: (branch, switches that are on)."""
    told, original = [], Control.set

    def watched(self, **state):
        told.append((state["branch"], {k for k, on in state.items() if on is True}))
        original(self, **state)

    monkeypatch.setattr(Control, "set", watched)
    return told


def test_each_law_acts_in_its_own_steps_and_branches(tiny, task, monkeypatch):
    told = switches(monkeypatch)
    config = EVERY.with_overrides(LATE).with_overrides({"correct": {"alpha_max": 0.0}})
    trace = sample(tiny, task, config, seeds=[1]).trace
    expected = []
    for i in range(10):
        on = {"regional", "record"} | ({"gate"} if i < 3 else set())
        on |= {"boost"} if i in (6, 7, 8, 9) else set()
        expected += [(branch, on) for branch in ("cond", "negative")[: 2 if i >= 3 else 1]]
    assert told == expected
    assert [s["guided"] for s in trace["steps"]] == [i >= 3 for i in range(10)]
    assert [s["gated"] for s in trace["steps"]] == [i < 3 for i in range(10)]


def test_an_inversion_edits_nothing_and_records_nothing(tiny, task, monkeypatch):
    told = switches(monkeypatch)
    config = EVERY.with_overrides({"sampling": {"steps": 5}, "start": {"kind": "ddim"}})
    sample(tiny, task, config.with_overrides({"correct": {"alpha_max": 0.0}}), seeds=[1])
    assert told[:3] == [("cond", {"regional", "gate"})] * 3
    assert ("cond", {"regional", "gate", "boost", "record"}) in told[3:]


@pytest.mark.parametrize("side", ["early", "late"])
def test_the_correction_counts_from_the_start_of_its_window(tiny, task, monkeypatch, side):
    told, original = [], Correction.step

    def watched(self, z, t, **given):
        told.append((t, given["i"], given["n_window"], given["alpha_bar"]))
        assert torch.equal(given["cond_states"][0], encode_text(tiny, task.prompt)[0])
        assert len(given["cond_states"]) == len(z) == 2
        assert (self.control.branch, self.control.boost) == ("cond", True)
        return original(self, z, t, **given)

    monkeypatch.setattr(Correction, "step", watched)
    config = PAPER.with_overrides({"sampling": {"steps": 10}, "boost": {"side": side, "mu": 0.4}})
    trace = sample(tiny, task, config, seeds=[1, 2]).trace
    steps = range(4) if side == "early" else range(7, 10)
    rows = [trace["steps"][i] for i in steps]
    assert [(t, i, n) for t, i, n, _ in told] == [
        (row["timestep"], k, len(steps)) for k, row in enumerate(rows)
    ]
    assert [a for *_, a in told] == pytest.approx([row["alpha_bar"] for row in rows], rel=1e-5)
    alphas = [row["correction"]["alpha"] for row in rows]
    assert alphas == pytest.approx([0.05 * (1 - k / len(steps)) for k in range(len(steps))])
    assert trace["cost"]["calls"]["gradient"] == trace["cost"]["calls"]["backward"] == len(steps)


def test_guidance_runs_from_the_negative_prompt_through_the_conditional_one(tiny, task):
    config = plain(EVERY).with_overrides(
        {
            "sampling": {"steps": 5, "guidance_scale": 3.0, "cfg_until": 0.5},
            "start": {"strength": 1},
        }
    )
    words = replace(task, negative_prompt="normal chest", source_prompt="mild edema")
    run = prepare(tiny, words, config, seeds=(1, 2))
    z = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with controlled(tiny.unet, run.plan) as control:
        unet = Denoiser(run, control, Meter(tiny))
        guided, free = unet.guided(z, 2), unet.guided(z, 3)
        assert unet.correct(z, 0) == (z, None)
        assert unet.scores == []
    for found, i, scale in ((guided, 2, 3.0), (free, 3, 1.0)):
        cond, negative = (
            tiny.unet(z, run.solver.timesteps[i], encode_text(tiny, text).expand(2, -1, -1))
            for text in (task.prompt, "normal chest")
        )
        expected = negative.sample + scale * (cond.sample - negative.sample)
        assert torch.allclose(found, expected, atol=1e-5)


def test_scores_are_those_of_the_last_step_raw_and_by_branch(tiny, task):
    """A mixed edit scores each finding in the prompt that carries it."""
    going = replace(
        task.targets[0],
        name="cardiomegaly",
        tokens=(1,),
        region=np.flip(task.targets[0].region, 1).copy(),
        where="negative",
    )
    mixed = replace(task, negative_prompt="big", targets=(*task.targets, going), mode="mixed")
    made = EVERY.with_overrides({"boost": {"eta": 3.0}})
    rows = {}
    for eta in (0.0, 3.0):
        run = prepare(tiny, mixed, made.with_overrides({"boost": {"eta": eta}}), seeds=(1,))
        with controlled(tiny.unet, run.plan) as control:
            unet = Denoiser(run, control, Meter(tiny))
            for _ in range(2):
                unet.guided(torch.ones(1, 4, 16, 16), 0)
        assert [{name for _, name in s.score} for s in unet.scores] == [
            {"pleural effusion"},
            {"cardiomegaly"},
        ]
        rows[eta] = float(unet.scores[0].score[0, "pleural effusion"])
    first = next(iter(rows.values()))
    assert rows[3.0] == pytest.approx(first, abs=0.02), "the raw map, not the boosted one"


def test_words_act_in_an_inversion_only_where_both_prompts_are_one(tiny, task):
    organ = replace(task, organ_tokens={2: "left_lung"})
    for source, same in ((task.prompt, True), ("mild edema", False)):
        run = prepare(tiny, replace(organ, source_prompt=source), EVERY, seeds=(1,))
        assert {boost for _, _, boost in run.plan.gains} == {True, False}
        found = inversion_plan(run)
        assert set(found.gains) == (
            {("cond", level, False) for level in range(3)} if same else set()
        )
        assert bool(found.regional) == same
        assert found.gates is run.plan.gates
        assert found.tokens == {"cond": (), "negative": (), "source": ()}
        assert found.finding_tokens == {"cond": ((),), "negative": ((),), "source": ((),)}
        assert found.scored("cond") == ()
        assert not found.corrects


# --- modes ---------------------------------------------------------------------------------------


def test_what_removes_runs_longer_and_only_a_pure_removal_is_uncorrected():
    mixed = config_for(EVERY, "mixed")
    assert (mixed.start.strength, mixed.correct.alpha_max) == (0.85, EVERY.correct.alpha_max)
    assert mixed.correct.alpha_max > 0
    assert config_for(EVERY, "removal", strength=0.75).start.strength == 0.75
    assert config_for(EVERY, "removal", strength=0.5).start.strength == EVERY.start.strength
    still = EVERY.with_overrides({"start": {"strength": 0.0}})
    for mode in ("edit", "sham", "removal", "mixed"):
        assert config_for(still, mode) == still
    assert config_for(EVERY, "sham") == EVERY


def test_a_sham_has_no_word_left_to_steer(task):
    words = replace(
        task,
        source_prompt="normal chest",
        negative_prompt="edema",
        organ_tokens={2: "left_lung"},
        targets=(replace(task.targets[0], where="negative", eta=2.0),),
        mode="removal",
    )
    sham = sham_task(words)
    (target,) = sham.targets
    assert (target.where, target.tokens, target.eta) == ("prompt", (), 2.0)
    assert (sham.mode, sham.organ_tokens, sham.special_tokens) == ("sham", {}, ())
    assert (sham.prompt, sham.negative_prompt) == ("normal chest", "edema")
    assert sham.image is task.image


def test_a_series_keeps_every_level_in_its_place():
    z_src, z = torch.randn(2, 1, 4, 2, 2, generator=torch.Generator().manual_seed(1))
    found = blended(z_src, z, [1, 0, 0.75, 1.0, 0.0])
    assert torch.equal(found, torch.cat([z, z_src, z_src + 0.75 * (z - z_src), z, z_src]))


def test_maps_of_an_ensemble_are_those_of_its_population():
    changes = np.array([[[0.5, -0.25]], [[0.25, 0.25]]], np.float32)
    maps = ensemble(changes, tau=0.25)
    assert maps.mean.tolist() == [[0.375, 0.0]]
    assert maps.std.tolist() == [[0.125, 0.25]]
    assert maps.exceed.tolist() == [[0.5, 0.0]], "a change of exactly tau does not exceed it"
    assert {plane.dtype for plane in (maps.mean, maps.std, maps.exceed)} == {np.dtype(np.float32)}
    assert ensemble(changes[:1], tau=0.3).std.tolist() == [[0, 0]]


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_a_correction_that_rests_runs_no_pass_and_changes_no_bit(tiny, task, seeds):
    off = EVERY.with_overrides({"correct": {"alpha_max": 0.0}, "sampling": {"steps": 6}})
    resting = off.with_overrides({"correct": {"alpha_max": 0.05, "stop_score": 0.0}})
    ran = []
    hook = tiny.unet.register_forward_pre_hook(lambda *_: ran.append(1))
    without, before = sample(tiny, task, off, seeds=seeds), len(ran)
    found = sample(tiny, task, resting, seeds=seeds)
    hook.remove()
    assert torch.equal(without.z, found.z)
    assert len(ran) == 2 * before == 2 * without.trace["cost"]["calls"]["unet"]
    f, plain = found.trace["cost"]["f"], without.trace["cost"]["f"]
    assert f["unet"] == plain["unet"], "F is the method's"
    assert f["gradient"] > plain["gradient"] == 0
    rows = [step["correction"] for step in found.trace["steps"] if step["window"]]
    assert rows
    assert all(row["reason"] == ["stop_score"] * len(seeds) for row in rows)
    assert [s["roi_score"] for s in found.trace["steps"]] == [
        s["roi_score"] for s in without.trace["steps"]
    ]


def test_a_text_is_the_same_tensor_at_every_step(tiny, task):
    run = prepare(tiny, task, EVERY, seeds=(1, 2))
    with controlled(tiny.unet, run.plan) as control:
        unet = Denoiser(run, control, Meter(tiny))
        two = unet.text("cond", 2)
        assert two is unet.text("cond", 2)
        assert two is not unet.text("negative", 2)
        assert torch.equal(two, encode_text(tiny, task.prompt).expand(2, -1, -1))
        assert unet.text("cond", 1).shape == (1, *two.shape[1:])
