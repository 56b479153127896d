# SPDX-License-Identifier: Apache-2.0
"""The census of a run: seen in passes that run anyway, it changes no bit and says who moved it."""

from contextlib import contextmanager
from dataclasses import replace

import jsonschema
import pytest
import torch

from monai_cxr_cf.diffusion import sample as loop
from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.census import RunCensus, groups_of, texts_of
from monai_cxr_cf.diffusion.cost.meter import Meter
from monai_cxr_cf.diffusion.denoise import Denoiser
from monai_cxr_cf.diffusion.model.layers import attention_levels
from monai_cxr_cf.diffusion.modes import sham_task
from monai_cxr_cf.diffusion.prepare import prepare
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.diffusion.trace import schema
from monai_cxr_cf.presets import DEFAULT, PRESETS

QUICK = DEFAULT.with_overrides({"sampling": {"steps": 6}})
OFF = QUICK.with_overrides({"correct": {"alpha_max": 0.0}})


def shares(trace, number=0):
    """Group -> share of one entry."""
    return {row["group"]: row["share"] for row in trace["census"][number]["groups"]}


@pytest.mark.parametrize("name", PRESETS)
def test_looking_changes_no_bit_of_a_run(tiny, task, name, monkeypatch) -> None:
    config = PRESETS[name].with_overrides({"sampling": {"steps": 6}})
    seen = sample(tiny, task, config, seeds=[1, 2])

    @contextmanager
    def blind(run, control):
        yield RunCensus(run, control)

    monkeypatch.setattr(loop, "looking", blind)
    unseen = sample(tiny, task, config, seeds=[1, 2])
    assert torch.equal(seen.z, unseen.z)
    assert unseen.trace["census"] == []
    assert seen.trace["cost"]["calls"] == unseen.trace["cost"]["calls"]
    assert not any(module._forward_pre_hooks for module in tiny.unet.modules())


def test_a_run_says_which_tokens_moved_its_picture(tiny, task) -> None:
    named = replace(task, modifier_tokens=(1, 2))
    trace = sample(tiny, named, QUICK, seeds=[1]).trace
    (entry,) = trace["census"]
    assert (entry["prompt"], entry["step"]) == ("prompt", 1)
    tokens = {row["group"]: row["tokens"] for row in entry["groups"]}
    assert tokens == {"pleural effusion": 2, "modifier": 2, "eos+padding": 72}
    assert sum(shares(trace).values()) == pytest.approx(1, abs=0.1)
    assert 0 < shares(trace)["pleural effusion"] < shares(trace)["eos+padding"] < 1
    jsonschema.Draft202012Validator(schema()).validate(trace)


def test_its_cost_is_counted_and_is_no_pass(tiny, task) -> None:
    cost = sample(tiny, task, QUICK, seeds=[1]).trace["cost"]
    f = cost["f"]
    assert f["unet"] == cost["calls"]["unet"]  # of batch 1, at the native size
    parts = ("unet", "gradient", "inversion", "vae", "census")
    assert f["total"] == pytest.approx(sum(f[part] for part in parts))
    assert 0 < f["census"] < 1  # of this network, whose attention is most of it


def test_the_boost_raises_the_share_of_the_words_it_acts_on(tiny, task) -> None:
    strong = OFF.with_overrides({"boost": {"eta": 8.0}})
    none = OFF.with_overrides({"boost": {"eta": 0.0}})
    some = OFF.with_overrides({"boost": {"eta": 1.5}})
    found = [shares(sample(tiny, task, c, seeds=[1]).trace) for c in (none, some, strong)]
    words = [row["pleural effusion"] for row in found]
    assert words[0] < words[1] < words[2]


def test_a_share_equals_a_layer_s_own_exchange(tiny, task) -> None:
    """The trace's figure, from each layer's inputs of that step and explicit maps."""
    config = OFF.with_overrides({"boost": {"eta": 0.0}, "tokens": {"regional_prompt": False}})
    trace = sample(tiny, task, config, seeds=[1]).trace
    run = prepare(tiny, task, config, seeds=(1,))
    step, found = trace["census"][0]["step"], []
    inputs = recorded_inputs(tiny, task, config, step)
    modules = dict(tiny.unet.named_modules())
    for layer in attention_levels(tiny.unet, run.hw):
        if layer.cross:
            found.append(naive_share(modules[layer.name], inputs[layer.name], run, (3, 4)))
    expected = sum(found) / len(found)
    assert shares(trace)["pleural effusion"] == pytest.approx(expected, abs=1e-4)


def recorded_inputs(tiny, task, config, step):
    """Layer name -> what it had before it in the conditional pass of one step."""
    kept, now, hooks = {}, {"i": -1}, []

    def watch(name):
        def look(_, args, kwargs):
            kept.setdefault((now["i"], name), args[0][:1])

        return look

    for name, module in tiny.unet.named_modules():
        if name.endswith("attn2"):
            hooks.append(module.register_forward_pre_hook(watch(name), with_kwargs=True))
    began = Denoiser.correct

    def correct(self, z, i):
        now["i"] = i
        return began(self, z, i)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Denoiser, "correct", correct)
        sample(tiny, task, config, seeds=[1])
    for hook in hooks:
        hook.remove()
    return {name: hidden for (i, name), hidden in kept.items() if i == step}


@torch.no_grad()
def naive_share(attn, hidden, run, taken):
    """<o - o', o - o_source> / |o - o_source|^2 with explicit softmax over all cells."""

    def split(x):
        return x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

    def out(states):
        q, k, v = split(attn.to_q(hidden)), split(attn.to_k(states)), split(attn.to_v(states))
        return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v

    target, source = run.states["cond"], run.states["source"]
    mixed = target.clone()
    mixed[:, list(taken)] = source[:, list(taken)]
    effect = out(target) - out(source)
    return float(((out(target) - out(mixed)) * effect).sum() / effect.square().sum())


def test_seeds_do_not_change_it(tiny, task) -> None:
    one = sample(tiny, task, QUICK, seeds=[1]).trace["census"]
    two = sample(tiny, task, QUICK, seeds=[1, 2]).trace["census"]
    for a, b in zip(one[0]["groups"], two[0]["groups"], strict=True):
        assert a["share"] == pytest.approx(b["share"], abs=2e-4)


def test_a_sham_asks_for_nothing_and_has_no_entry(tiny, task) -> None:
    trace = sample(tiny, sham_task(task), QUICK, seeds=[1]).trace
    assert trace["census"] == []
    assert trace["cost"]["f"]["census"] == 0


def test_a_removal_has_an_entry_for_the_words_it_steers_away_from(tiny, task) -> None:
    gone = replace(task.targets[0], where="negative", tokens=(1, 2))
    away = replace(
        task, prompt="no acute cardiopulmonary process", negative_prompt="pleural effusion",
        targets=(gone,), mode="removal", modifier_tokens=(), special_tokens=(),
    )  # fmt: skip
    trace = sample(tiny, away, OFF, seeds=[1]).trace
    assert [entry["prompt"] for entry in trace["census"]] == ["prompt", "negative"]
    assert set(shares(trace)) == {"other", "eos+padding"}
    assert set(shares(trace, 1)) == {"pleural effusion", "eos+padding"}


def test_two_findings_are_told_apart(tiny, task) -> None:
    two = replace(task, targets=(task.targets[0], replace(task.targets[0], tokens=(3,))))
    found = shares(sample(tiny, two, OFF, seeds=[1]).trace)
    assert {"pleural effusion", "pleural effusion #2"} <= set(found)
    assert found["pleural effusion #2"] < found["pleural effusion"]


def test_without_a_boost_window_the_middle_step_is_looked_at(tiny, task) -> None:
    config = OFF.with_overrides({"boost": {"mu": 0.0}})
    trace = sample(tiny, task, config, seeds=[1]).trace
    assert trace["steps_executed"] == 4
    assert trace["census"][0]["step"] == 2
    still = OFF.with_overrides({"start": {"strength": 0.0}})
    assert sample(tiny, task, still, seeds=[1]).trace["census"] == []


def test_nothing_is_seen_outside_its_step(tiny, task) -> None:
    run = prepare(tiny, task, OFF, seeds=(1,))
    with controlled(tiny.unet, run.plan) as control, loop.looking(run, control) as census:
        unet = Denoiser(run, control, Meter(tiny))
        census.at(0)
        unet.predict(torch.zeros_like(run.z_src), 0, "cond")
        assert census.entries() == []
        census.at(1)
        unet.predict(torch.zeros_like(run.z_src), 1, "cond")
        assert len(census.entries()) == 1
    (text,) = texts_of(run)
    assert set(groups_of(run, text)) == {"pleural effusion", "other", "eos+padding"}
