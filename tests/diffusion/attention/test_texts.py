# SPDX-License-Identifier: Apache-2.0
"""A text for each finding: explicit softmax per text, blended by shares; the prompt elsewhere."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.attention.processors import SteeredCross
from monai_cxr_cf.diffusion.correction.scores import roi_scores
from monai_cxr_cf.diffusion.laws.specification import TokenGain
from monai_cxr_cf.diffusion.task import Target, Words
from monai_cxr_cf.errors import BadRequest
from tests.diffusion.attention.test_processors import attention, control, maps
from tests.diffusion.small import (
    ALL_ON,
    REGION,
    box,
    edit_task,
    latent,
    off,
    plan,
    predict,
    small_unet,
    states,
    steered,
)

MIRROR = REGION[:, ::-1].copy()
LAYER = SimpleNamespace(level=0, grid=(2, 3), name="layer")
PADS = tuple(range(12, 77))
HERE = Words("left effusion", (3, 4), {9: "heart"}, PADS)
THERE = Words("mass", (5,), {}, PADS)
APART = edit_task(
    Target("effusion", (3, 4), REGION, words=HERE), Target("mass", (6,), MIRROR, words=THERE)
)
REGIONAL = off(tokens={"regional_prompt": True})


@pytest.fixture(scope="module")
def unet():
    return small_unet(dtype=torch.float64)


def texts(*seeds):
    """States of several texts, one behind the other, (1, 77 n, C)."""
    return torch.cat([states(seed=seed, dtype=torch.float64) for seed in seeds], 1)


@pytest.mark.parametrize("gained", [False, True])
@pytest.mark.parametrize("renorm", [False, True])
@torch.no_grad()
def test_each_text_has_its_own_softmax_and_shares_blend_them(gained, renorm):
    attn, generator = attention(cross=True), torch.Generator().manual_seed(0)
    hidden = torch.randn(2, 6, 16, generator=generator, dtype=torch.float64)
    context = torch.randn(2, 3 * 77, 12, generator=generator, dtype=torch.float64)
    source = torch.randn(1, 77, 12, generator=generator, dtype=torch.float64)
    shares = torch.rand(2, 6, generator=generator, dtype=torch.float64) / 2
    omega = shares.sum(0)
    law = TokenGain((79, 153, 155), torch.rand(3, 6, generator=generator).double() + 1, renorm)
    answers = {"shares": shares, "region": omega, "record": True}
    one = control(**answers, **({"gain": law} if gained else {}))
    one.plan.source_states, one.plan.tokens = source, {"cond": (78, 79, 155, 230)}
    out = SteeredCross(one, LAYER, None)(attn, hidden, encoder_hidden_states=context)
    there, w = maps(attn, hidden, source.expand(2, -1, -1))
    expected = (1 - omega)[:, None] * (there @ w)
    columns = []
    for number, wanted in ((0, [1, 2]), (1, [1, 76])):
        raw, v = maps(attn, hidden, context[:, 77 * (number + 1) : 77 * (number + 2)])
        probs = raw.clone()
        for token, gain in zip(law.tokens, law.gain, strict=True) if gained else ():
            if 77 * (number + 1) <= token < 77 * (number + 2):
                probs[..., token - 77 * (number + 1)] *= gain
        if renorm:
            probs = probs / probs.sum(-1, keepdim=True)
        expected = expected + shares[number][:, None] * (probs @ v)
        columns.append(raw.mean(1)[..., wanted])
    expected = attn.to_out[0](expected.transpose(1, 2).flatten(2)) / 2.0
    assert torch.allclose(out, expected, atol=1e-6)
    assert len(one.stored) == 1
    assert torch.allclose(one.stored[0], torch.cat(columns, -1), atol=1e-7)


@torch.no_grad()
def test_a_layer_without_a_region_reads_the_prompt_alone():
    attn, generator = attention(cross=True), torch.Generator().manual_seed(1)
    hidden = torch.randn(1, 6, 16, generator=generator, dtype=torch.float64)
    context = torch.randn(1, 3 * 77, 12, generator=generator, dtype=torch.float64)
    one = control(shares=None)
    out = SteeredCross(one, LAYER, None)(attn, hidden, encoder_hidden_states=context)
    alone = attn(hidden, encoder_hidden_states=context[:, :77])
    assert torch.allclose(out, alone, atol=1e-12)
    assert one.stored == []


def test_shares_follow_the_regions_and_sum_to_their_union(unet):
    overlap = replace(APART.targets[1], region=box(40, 90, 70, 100))
    made = plan(unet, REGIONAL, replace(APART, targets=(APART.targets[0], overlap)))
    assert set(made.shares) == {0, 1, 2}
    for level, shares in made.shares.items():
        omega = made.omega[level].flatten(1)
        for cell in range(omega.shape[1]):
            a, b = (float(o[cell]) for o in omega)
            whole = max(a, b) / (a + b) if a + b else 0.0
            assert shares[:, cell].tolist() == pytest.approx([a * whole, b * whole], abs=1e-12)
        assert torch.allclose(shares.sum(0), made.regional[level], atol=1e-12)


def test_one_finding_with_a_text_of_its_own_is_the_single_text(unet):
    """The same states as prompt and as own text: nothing but the path differs."""
    config = REGIONAL.with_overrides(
        {"boost": {"eta": 2.0}, "anatomy": {"strength": 0.5}, "tokens": {"carrier": "finding+eos"}}
    )
    single = edit_task(Target("effusion", (3, 4), REGION), organ_tokens={9: "heart"})
    own = replace(single, targets=(Target("effusion", (3, 4), REGION, words=HERE),))
    z = latent(dtype=torch.float64)
    expected = steered(unet, plan(unet, config, single), z=z, text=texts(1))
    found = steered(unet, plan(unet, config, own), z=z, text=texts(1, 1))
    assert torch.allclose(found, expected, atol=1e-9)
    bare = predict(unet, z, texts(1))
    assert float((expected - bare).abs().max()) > 1e-4


def first_layer(unet, text, *, targets=APART):
    """What the first cross-attention of level 0 gives out, (rows, columns, C)."""
    made, seen = plan(unet, REGIONAL, targets), []
    name = next(layer.name for layer in made.layers if layer.cross and layer.level == 0)
    hook = unet.get_submodule(name).register_forward_hook(lambda *a: seen.append(a[2][0]))
    try:
        steered(unet, made, z=latent(dtype=torch.float64), text=text)
    finally:
        hook.remove()
    return seen[0].unflatten(0, (16, 16)), made.shares[0].unflatten(1, (16, 16))


def test_the_text_of_one_finding_does_not_act_where_only_another_has_a_share(unet):
    before, shares = first_layer(unet, texts(1, 2, 3))
    after, _ = first_layer(unet, texts(1, 2, 4))
    moved = (after - before).abs().amax(-1)
    absent = shares[1] == 0
    assert absent.any()
    assert float(moved[absent].max()) == 0, "padding of the other text stays out"
    assert float(moved[shares[1] > 0.5].min()) > 1e-6
    prompt, _ = first_layer(unet, texts(9, 2, 3))
    assert torch.equal(prompt, before), "the prompt holds where no region is known"


def test_the_mid_block_and_the_negative_branch_read_one_text(unet):
    made = plan(unet, REGIONAL, APART)
    z, mid = latent(dtype=torch.float64), []
    name = next(layer.name for layer in made.layers if layer.cross and layer.level == 3)
    hook = unet.get_submodule(name).register_forward_hook(lambda *a: mid.append(a[2]))
    steered(unet, made, z=z, text=texts(1, 2, 3))
    steered(unet, made, z=z, text=texts(1), branch="negative")
    plain = predict(unet, z, texts(1))
    found = steered(unet, made, z=z, text=texts(1), branch="source")
    hook.remove()
    assert mid[0].shape == mid[1].shape
    assert torch.allclose(found, plain, atol=1e-12)


def test_every_finding_is_scored_by_its_own_text(unet):
    made = plan(unet, REGIONAL.with_overrides({"boost": {"eta": 1.0}}), APART)
    assert made.tokens["cond"] == (80, 81, 159)
    assert made.finding_tokens["cond"] == ((0, 1), (2,))
    with controlled(unet, made) as switches:
        switches.set(**ALL_ON)
        predict(unet, latent(dtype=torch.float64), texts(1, 2, 3))
        columns = switches.take()
    scores = roi_scores(columns, made)
    assert {name for _, name in scores.score} == {"effusion", "mass"}
    assert all(c.shape[1] == 3 for c in columns.values())
    assert all(0 < float(v) < 1 for v in scores.score.values())


def test_own_texts_need_regional_prompting_and_no_dense_gate(unet):
    for config in (off(), REGIONAL.with_overrides({"gate": {"mode": "dense"}})):
        with pytest.raises(BadRequest, match="regional prompting and no dense gate"):
            plan(unet, config, APART)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": None}, "Some findings have a text of their own"),
        ({"words": replace(THERE, tokens=())}, "No word of the prompt names 'mass'"),
    ],
)
def test_texts_that_do_not_fit_are_refused(change, message):
    with pytest.raises(BadRequest, match=message):
        replace(APART, targets=(APART.targets[0], replace(APART.targets[1], **change)))


def test_a_token_beyond_its_text_and_a_second_text_are_refused():
    with pytest.raises(BadRequest, match="beyond the 128 tokens"):
        Target("mass", (5,), MIRROR, words=replace(THERE, tokens=(128,)))
    with pytest.raises(BadRequest, match="one in the negative prompt"):
        Target("mass", (5,), MIRROR, words=THERE, where="negative")
