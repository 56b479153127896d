# SPDX-License-Identifier: Apache-2.0
"""The loop under regional guidance, texts of the findings' own and their carriers: whole runs."""

from dataclasses import replace

import jsonschema
import pytest
import torch

from monai_cxr_cf.diffusion.cost.estimate import estimate
from monai_cxr_cf.diffusion.cost.meter import ratios
from monai_cxr_cf.diffusion.laws.priors import guidance_map
from monai_cxr_cf.diffusion.model.codec import encode
from monai_cxr_cf.diffusion.model.text import encode_text
from monai_cxr_cf.diffusion.model.tiny import tiny_backbone
from monai_cxr_cf.diffusion.modes import sham_task
from monai_cxr_cf.diffusion.prepare import prepare
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.diffusion.trace import schema
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.methods.sdedit import plain, sdedit
from monai_cxr_cf.presets import DEFAULT
from tests.diffusion.conftest import two_findings

REGION = DEFAULT.with_overrides(
    {
        "sampling": {
            "guidance_map": "region",
            "guidance_scale": 4.0,
            "steps": 5,
            "cfg_from": 0.0,
            "cfg_until": 1.0,
        },
        "start": {"kind": "strength", "strength": 0.7},
        "boost": {"eta": 1.5, "mu": 0.4},
        "correct": {"alpha_max": 0.05},
        "gate": {"beta": 4.0},
        "anatomy": {"strength": 0.5},
        "tokens": {"carrier": "finding", "regional_prompt": True, "source": "empty"},
    }
)
INVERTED = REGION.with_overrides(
    {"start": {"kind": "edit_friendly"}, "keep": {"paste": False}, "correct": {"alpha_max": 0.0}}
)


@pytest.fixture(scope="module")
def apart(tiny, task):
    """Two findings on two sides, each with a text of its own."""
    return two_findings(tiny.tokenizer, task)[0]


def literal(backbone, task, config, seed, omega):
    """Image-to-image with DDIM, leading timesteps, guided by e_src + s Ω (e - e_src): by hand."""
    steps, s = config.sampling.steps, config.sampling.guidance_scale
    settings = backbone.scheduler_config
    betas = torch.linspace(settings["beta_start"] ** 0.5, settings["beta_end"] ** 0.5, 1000) ** 2
    levels, ratio = (1 - betas).cumprod(0).tolist(), 1000 // steps
    times = [k * ratio + settings["steps_offset"] for k in reversed(range(steps))]
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(seed))
    a = levels[times[0]]
    z = a**0.5 * encode(backbone, task.image) + (1 - a) ** 0.5 * noise
    texts = {t: encode_text(backbone, getattr(task, t)) for t in ("prompt", "source_prompt")}
    negative = encode_text(backbone, task.negative_prompt)
    for t in times:
        e, source = (backbone.unet(z, t, encoder_hidden_states=x).sample for x in texts.values())
        if task.negative_prompt:
            away = backbone.unet(z, t, encoder_hidden_states=negative).sample
            e = source + omega * (away - source) + s * omega * (e - away)
        else:
            e = source + s * omega * (e - source)
        a, after = levels[t], levels[t - ratio] if t >= ratio else levels[0]
        x0 = (z - (1 - a) ** 0.5 * e) / a**0.5
        z = after**0.5 * x0 + (1 - after) ** 0.5 * e
    return z


@torch.no_grad()
@pytest.mark.parametrize("negative", ["", "mild edema"])
def test_a_whole_run_equals_the_literal_one(tiny, task, negative):
    words = replace(task, source_prompt="normal chest", negative_prompt=negative)
    ddim = {"sampling": {"solver": "ddim", "spacing": "leading", "guidance_map": "region"}}
    config = plain(REGION).with_overrides({**ddim, "start": {"strength": 1.0}})
    found = sample(tiny, words, config, seeds=[3]).z
    omega = torch.as_tensor(guidance_map(task.targets[0].region, (16, 16), task.organs)).float()
    assert torch.allclose(found, literal(tiny, words, config, 3, omega), rtol=1e-3, atol=1e-3)
    uniform = config.with_overrides({"sampling": {"guidance_map": "uniform"}})
    assert not torch.allclose(found, sample(tiny, words, uniform, seeds=[3]).z, atol=1e-2)


@pytest.mark.parametrize("negative", ["", "mild edema"])
@pytest.mark.parametrize("cfg_until", [0.6, 1.0])
@pytest.mark.parametrize("solver", ["ddim", "dpmpp"])
def test_a_sham_from_an_inversion_is_the_source(tiny, apart, solver, cfg_until, negative):
    config = INVERTED.with_overrides({"sampling": {"solver": solver, "cfg_until": cfg_until}})
    sham = sham_task(replace(apart, source_prompt="normal chest", negative_prompt=negative))
    samples = sample(tiny, sham, config, seeds=[1, 2])
    assert torch.allclose(samples.z, samples.z_src.expand_as(samples.z), atol=1e-4)


@pytest.mark.parametrize(
    "gate", [{"branches": "cond"}, {"mode": "dense"}, {"mode": "off", "branches": "cond"}], ids=str
)
def test_a_sham_is_the_source_when_branches_are_gated_unlike(tiny, task, gate):
    sham = sham_task(replace(task, source_prompt="normal chest"))
    samples = sample(tiny, sham, INVERTED.with_overrides({"gate": gate}), seeds=[1])
    assert torch.allclose(samples.z, samples.z_src, atol=1e-4)


def test_a_sham_is_the_source_of_a_network_that_predicts_v(task):
    backbone = tiny_backbone(prediction_type="v_prediction")
    samples = sample(backbone, sham_task(task), INVERTED, seeds=[1])
    assert torch.allclose(samples.z, samples.z_src, atol=1e-4)


def test_the_same_call_gives_the_same_bytes_and_seeds_do_not_meet(tiny, apart):
    one, again = (sample(tiny, apart, REGION, seeds=[5]) for _ in range(2))
    assert torch.equal(one.z, again.z)
    both = sample(tiny, apart, REGION, seeds=[4, 5]).z
    assert torch.allclose(both[1:], one.z, atol=1e-4)
    assert not torch.allclose(both[0], both[1], atol=1e-2)


def test_strength_zero_is_the_source(tiny, apart):
    still = REGION.with_overrides({"start": {"strength": 0.0}})
    samples = sample(tiny, apart, still, seeds=[1])
    assert torch.equal(samples.z, samples.z_src)
    assert samples.trace["cost"]["calls"] == {"encode": 1}


def test_scale_one_still_leaves_the_source_around_the_region(tiny, task):
    one = REGION.with_overrides({"sampling": {"guidance_scale": 1.0, "cfg_until": 1.0}})
    run = prepare(tiny, task, one, seeds=(1,))
    assert run.guided == range(run.solver.n_exec)
    assert run.guidance.scales == (1.0,)


@pytest.mark.parametrize("kind", ["strength", "ddim", "edit_friendly"])
@pytest.mark.parametrize("guidance", ["uniform", "region"])
@pytest.mark.parametrize("negative", ["", "mild edema"])
def test_the_estimate_is_what_the_meter_counts(tiny, task, kind, guidance, negative):
    words = replace(task, source_prompt="", negative_prompt=negative)
    config = REGION.with_overrides(
        {"start": {"kind": kind}, "sampling": {"guidance_map": guidance}}
    )
    for gate in ({}, {"gate": {"branches": "cond"}}):
        cost = sample(tiny, words, config.with_overrides(gate), seeds=[1]).trace["cost"]
        n, guided, third = 3, 3, guidance == "region" and bool(negative)
        assert cost["calls"]["unet"] == n + guided * (2 if third else 1)
        if kind == "edit_friendly" and not gate:
            assert cost["calls"]["inversion"] == n + guided * bool(negative)
        found = estimate(tiny, config.with_overrides(gate), negative=bool(negative))
        assert cost["f"]["total"] - cost["f"]["census"] + 2 * ratios(tiny).decode == pytest.approx(
            found.f
        )


def test_the_estimate_knows_that_an_empty_negative_prompt_is_not_the_text_of_the_source(tiny, task):
    parts = {"tokens": {"source": "opposite"}, "start": {"kind": "edit_friendly"}}
    words = replace(task, source_prompt="clear lungs")
    for guidance, more in (("uniform", 3), ("region", 0)):
        config = REGION.with_overrides({**parts, "sampling": {"guidance_map": guidance}})
        cost = sample(tiny, words, config, seeds=[1]).trace["cost"]
        assert cost["calls"]["inversion"] == 3 + more
        expected = estimate(tiny, config).f
        assert cost["f"]["total"] - cost["f"]["census"] + 2 * ratios(tiny).decode == pytest.approx(
            expected
        )


def test_own_texts_are_listed_with_their_words(tiny, apart):
    trace = sample(tiny, apart, REGION, seeds=[1]).trace
    jsonschema.Draft202012Validator(schema()).validate(trace)
    own = [row for row in trace["tokens"] if row["prompt"] == "own"]
    assert [(r["finding"], r["position"], r["piece"], r["set"]) for r in own if r["set"]] == [
        ("pleural effusion", 0, "<|startoftext|>", "special"),
        ("pleural effusion", 3, "pleural</w>", "pleural effusion"),
        ("pleural effusion", 4, "effusion</w>", "pleural effusion"),
        ("pleural effusion", 5, "<|endoftext|>", "special"),
        ("mass", 0, "<|startoftext|>", "special"),
        ("mass", 2, "effusion</w>", "mass"),
        ("mass", 3, "<|endoftext|>", "special"),
    ]
    assert set(trace["steps"][0]["roi_score"]["0"]) == {"pleural effusion", "mass"}
    assert all("finding" not in row for row in trace["tokens"] if row["prompt"] != "own")


def test_the_carrier_and_the_texts_of_others_move_the_result(tiny, apart):
    base = sample(tiny, apart, REGION, seeds=[1]).z
    carried = REGION.with_overrides({"tokens": {"carrier": "finding+eos"}})
    assert not torch.equal(sample(tiny, apart, carried, seeds=[1]).z, base)
    one = replace(apart, targets=tuple(replace(t, words=None) for t in apart.targets))
    assert not torch.equal(sample(tiny, one, REGION, seeds=[1]).z, base)


def test_image_to_image_reads_the_prompt_alone(tiny, apart):
    one = replace(apart, targets=tuple(replace(t, words=None) for t in apart.targets))
    found = sdedit(tiny, apart, REGION, seeds=[1])
    assert torch.equal(found.z, sdedit(tiny, one, REGION, seeds=[1]).z)
    assert found.trace["cost"]["calls"]["unet"] == 6


def test_a_removal_needs_guidance_only_where_it_steers_away(tiny, task):
    single = DEFAULT.with_overrides({"sampling": {"guidance_scale": 1.0, "steps": 5}})
    quiet = single.with_overrides({"boost": {"eta": 0.0}, "correct": {"alpha_max": 0.0}})
    healthy = replace(task, prompt="clear lungs, pleural effusion", mode="removal")
    assert prepare(tiny, healthy, quiet, seeds=(1,)).guided == range(3)
    uniform = quiet.with_overrides({"sampling": {"guidance_map": "uniform"}})
    assert prepare(tiny, healthy, uniform, seeds=(1,)).guided == range(0)
    gone = (replace(task.targets[0], where="negative"),)
    away = replace(healthy, negative_prompt=task.prompt, targets=gone)
    for guidance in ("uniform", "region"):
        config = quiet.with_overrides({"sampling": {"guidance_map": guidance}})
        with pytest.raises(BadRequest, match="removal needs guidance"):
            prepare(tiny, away, config, seeds=(1,))
    own = replace(away, targets=(replace(gone[0], guidance=3.0),))
    assert prepare(tiny, own, config, seeds=(1,)).guidance.negative


def test_a_finding_of_less_strength_leaves_its_region_to_the_source_until_then(tiny, apart) -> None:
    """Before its first step a run has the latents of one without that finding's guidance."""
    early, late = apart.targets
    doses = replace(apart, targets=(early, replace(late, guidance=9.0, strength=0.2)))
    other = replace(apart, targets=(early, replace(late, guidance=2.0, strength=0.2)))
    found = sample(tiny, doses, INVERTED, seeds=[3])
    assert found.trace["doses"] == [
        {"finding": "pleural effusion", "guidance": 4.0, "rms": None, "from_step": 0},
        {"finding": "mass", "guidance": 9.0, "rms": None, "from_step": 2},
    ]
    jsonschema.validate(found.trace, schema())
    weaker = sample(tiny, other, INVERTED, seeds=[3])
    whole = sample(tiny, replace(apart, targets=(early, replace(late, guidance=9.0))), INVERTED,
                   seeds=[3])  # fmt: skip
    there = torch.as_tensor(guidance_map(late.region, (16, 16), apart.organs) > 0.5)
    moved = [
        float((one.z - found.z_src)[..., there].abs().mean()) for one in (weaker, found, whole)
    ]
    assert moved[0] < moved[1] < moved[2]


def test_an_rms_costs_nothing_and_leaves_a_sham_alone(tiny, task) -> None:
    config = INVERTED.with_overrides({"sampling": {"guidance_rms": 0.3}, "boost": {"eta": 0.0}})
    source = replace(task, source_prompt="clear lungs")
    found = sample(tiny, source, config, seeds=[3])
    plain = sample(tiny, source, INVERTED, seeds=[3])
    assert found.trace["cost"]["f"] == plain.trace["cost"]["f"]
    assert found.trace["doses"][0] == {
        "finding": "pleural effusion", "guidance": None, "rms": 0.3, "from_step": 0,
    }  # fmt: skip
    jsonschema.validate(found.trace, schema())
    assert not torch.allclose(found.z, plain.z, atol=1e-3)
    sham = sample(tiny, sham_task(source), config, seeds=[3])
    torch.testing.assert_close(sham.z, sham.z_src, rtol=1e-3, atol=1e-3)
