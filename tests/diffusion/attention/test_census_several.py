# SPDX-License-Identifier: Apache-2.0
"""The census of an edit of several findings: each one's own text, looked at in its own region."""

from dataclasses import replace

import jsonschema
import pytest
import torch

from monai_cxr_cf.diffusion.census import groups_of, texts_of
from monai_cxr_cf.diffusion.cost.estimate import estimate
from monai_cxr_cf.diffusion.cost.meter import ratios
from monai_cxr_cf.diffusion.model.layers import attention_levels
from monai_cxr_cf.diffusion.modes import sham_task
from monai_cxr_cf.diffusion.prepare import prepare
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.diffusion.trace import schema
from monai_cxr_cf.presets import DEFAULT
from tests.diffusion.conftest import two_findings
from tests.diffusion.test_census import recorded_inputs

CONFIG = DEFAULT.with_overrides({"sampling": {"steps": 4}, "start": {"strength": 0.5}})


@pytest.fixture(scope="module")
def apart(tiny, task):
    """An effusion and a mass on two sides, each with a text of its own."""
    both, second = two_findings(tiny.tokenizer, task)
    return replace(both, targets=(both.targets[0], second), modifier_tokens=(1, 2))


@pytest.fixture(scope="module")
def trace(tiny, apart):
    """The trace of one edit of both."""
    return sample(tiny, apart, CONFIG, seeds=[1]).trace


def test_each_finding_has_an_entry_of_its_own_text(trace) -> None:
    entries = trace["census"]
    named = [(entry["prompt"], entry.get("finding")) for entry in entries]
    assert named == [("own", "pleural effusion"), ("own", "mass"), ("prompt", None)]
    first, second, whole = ([row["group"] for row in entry["groups"]] for entry in entries)
    assert first == ["pleural effusion", "modifier", "eos+padding"]
    assert second[0] == "mass"
    assert second[-1] == "eos+padding"
    assert {"pleural effusion", "mass"} <= set(whole)
    for entry in entries:
        shares = [row["share"] for row in entry["groups"]]
        assert all(share is not None and share < 1.1 for share in shares)
        assert 0 < entry["groups"][0]["mass"] < entry["groups"][-1]["mass"] < 1
    jsonschema.Draft202012Validator(schema()).validate(trace)


def test_what_it_costs_is_in_the_trace_and_no_pass(tiny, task, apart, trace) -> None:
    one = sample(tiny, replace(task, modifier_tokens=(1, 2)), CONFIG, seeds=[1]).trace["cost"]
    cost = trace["cost"]
    assert cost["calls"] == one["calls"]
    assert one["f"]["census"] < cost["f"]["census"] < 4 * one["f"]["census"]
    decodes = 2 * ratios(tiny).decode
    assert cost["f"]["total"] - cost["f"]["census"] + decodes == pytest.approx(
        estimate(tiny, CONFIG).f
    )


def test_a_share_equals_a_layer_s_own_exchange_in_its_region(tiny, apart, trace) -> None:
    """The trace's figure, from each layer's inputs of that step and explicit maps."""
    run = prepare(tiny, apart, CONFIG, seeds=(1,))
    inputs = recorded_inputs(tiny, apart, CONFIG, trace["census"][0]["step"])
    modules, hw = dict(tiny.unet.named_modules()), run.hw
    layers = [layer for layer in attention_levels(tiny.unet, hw) if layer.cross]
    for number, entry in enumerate(trace["census"][:2]):
        taken = apart.texts[number].tokens
        found = [
            naive(modules[layer.name], inputs[layer.name], run, number, taken, layer.level)
            for layer in layers
            if layer.level in run.plan.shares
        ]
        expected = sum(found) / len(found)
        assert entry["groups"][0]["share"] == pytest.approx(expected, abs=1e-4)
    assert any(layer.level not in run.plan.shares for layer in layers), "they read the prompt"


@torch.no_grad()
def naive(attn, hidden, run, number, taken, level):
    """<w (o - o'), w (o - o_source)> / |w (o - o_source)|^2, w the finding's share of a cell."""

    def split(x):
        return x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

    def out(states):
        q, k, v = split(attn.to_q(hidden)), split(attn.to_k(states)), split(attn.to_v(states))
        return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v

    first = 77 * (number + 1)
    target, source = run.states["cond"][:, first : first + 77], run.states["source"]
    mixed = target.clone()
    mixed[:, list(taken)] = source[:, list(taken)]
    weight = run.plan.shares[level][number][:, None]
    effect, lost = (weight * (out(target) - out(other)) for other in (source, mixed))
    return float((lost * effect).sum() / effect.square().sum())


def test_a_sham_of_several_asks_for_nothing(tiny, apart) -> None:
    trace = sample(tiny, sham_task(apart), CONFIG, seeds=[1]).trace
    assert trace["census"] == []
    assert trace["cost"]["f"]["census"] == 0


def test_a_text_that_is_the_source_s_own_is_left_out(tiny, apart) -> None:
    run = prepare(tiny, replace(apart, source_prompt="right effusion"), CONFIG, seeds=(1,))
    own, whole, *_ = texts_of(run)
    assert (own.kind, own.number, whole.kind) == ("own", 0, "prompt")
    assert groups_of(run, own)["modifier"] == (1, 2)
