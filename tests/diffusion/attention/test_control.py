# SPDX-License-Identifier: Apache-2.0
"""Switches, recorder and processors one by one: what acts where, and the layer's own options."""

from types import SimpleNamespace

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0

from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.attention.processors import SteeredCross, SteeredSelf
from monai_cxr_cf.diffusion.laws.specification import DenseShift, MaskGate, TokenGain
from monai_cxr_cf.diffusion.model.layers import attention_levels
from monai_cxr_cf.diffusion.task import Target
from monai_cxr_cf.errors import CxrError
from monai_cxr_cf.presets import DEFAULT
from tests.diffusion.small import (
    ALL_ON,
    IDLE,
    LATENT,
    REGION,
    box,
    edit_task,
    latent,
    off,
    plan,
    predict,
    small_unet,
    states,
)

MIXED = edit_task(
    Target("edema", (3,), REGION), Target("mass", (5, 6), REGION, where="negative"), mode="mixed"
)


@pytest.fixture(scope="module")
def unet():
    return small_unet()


def test_the_dense_clock_reads_the_timestep_of_every_call_and_goes_with_the_laws(unet):
    z, text = latent(batch=2), states(batch=2)
    with controlled(unet, plan(unet, off(gate={"mode": "dense"}))) as control, torch.no_grad():
        assert control.dense_level == 1.0
        for t, level in ((500, 1 / 32), (torch.tensor([250, 250]), 1 / 1024), (torch.tensor(0), 0)):
            unet(z, t, encoder_hidden_states=text)
            assert control.dense_level == pytest.approx(level)
        unet(z, 750, text)
        assert control.dense_level == pytest.approx(0.75**5)
        unet(sample=z, timestep=1000, encoder_hidden_states=text)
        assert control.dense_level == 1.0
        assert len(unet._forward_pre_hooks) == 1
    assert not unet._forward_pre_hooks
    with controlled(unet, plan(unet, off(gate={"mode": "keys"}))):
        assert not unet._forward_pre_hooks


def test_switches_start_off_and_are_set_as_told(unet):
    with controlled(unet, plan(unet, DEFAULT)) as control:
        first = (control.branch, control.gate, control.boost, control.regional, control.record)
        assert first == ("cond", False, False, False, False)
        assert control.focus is None
        for name in ("gate", "boost", "regional", "record"):
            control.set(**(IDLE | {name: True, "branch": "negative"}))
            on = [n for n in ("gate", "boost", "regional", "record") if getattr(control, n)]
            assert (on, control.branch) == ([name], "negative")


@pytest.mark.parametrize(
    ("gate", "cond", "negative"),
    [
        ({"mode": "keys", "renorm": False}, True, True),
        ({"mode": "keys", "renorm": False, "branches": "cond"}, True, False),
        ({"mode": "dense"}, True, False),
        ({"mode": "dense", "branches": "cond"}, True, False),
    ],
    ids=str,
)
def test_the_gate_by_branch(unet, gate, cond, negative):
    with controlled(unet, plan(unet, off(gate=gate))) as control:
        for branch, acts in (("cond", cond), ("negative", negative)):
            control.set(**(ALL_ON | {"branch": branch}))
            assert control.gating == acts
            assert (control.shift(0) is not None) == (acts and gate["mode"] == "dense")
            control.set(**(ALL_ON | {"branch": branch, "gate": False}))
            assert not control.gating
            assert control.shift(0) is None


def test_gains_and_regions_by_branch_level_and_switch(unet):
    config = off(boost={"eta": 1.0}, tokens={"regional_prompt": True})
    with controlled(unet, plan(unet, config, MIXED)) as control:
        for branch in ("cond", "negative"):
            for boost in (True, False):
                control.set(**(ALL_ON | {"branch": branch, "boost": boost}))
                law = control.gain(1)
                assert law is control.plan.gains.get((branch, 1, boost))
                assert (law is not None) == boost
        control.set(**ALL_ON)
        assert control.region(1) is control.plan.regional[1]
        assert control.region(3) is None
        for change in ({"branch": "negative"}, {"regional": False}):
            control.set(**(ALL_ON | change))
            assert control.region(1) is None


def test_what_is_recorded_by_branch_level_and_focus(unet):
    made = plan(unet, off(boost={"eta": 1.0}), edit_task(Target("edema", (3,), REGION)))
    with controlled(unet, made) as control:
        control.set(**ALL_ON)
        assert all(control.records(level) for level in range(3))
        control.set(**(ALL_ON | {"record": False}))
        with control.recording_only((0, 2)):
            assert [control.records(level) for level in range(3)] == [True, False, True]
            predict(unet)
            assert {level for level, _ in control.take()} == {0, 2}
        assert not control.record
        assert control.focus is None
        control.set(**(ALL_ON | {"branch": "negative"}))
        assert not control.records(0)  # no finding lies in that prompt
        control.set(**ALL_ON)
        predict(unet)
        with control.recording_only((1,)):
            assert control.take() == {}, "afresh inside"


def test_columns_lie_by_image_token_row_and_column(unet):
    made = plan(unet, off(boost={"eta": 1.0}), grid=(16, 24))
    layer = next(x for x in made.layers if x.cross)
    with controlled(unet, made) as control:
        columns = torch.arange(2 * 384 * 3, dtype=torch.float32).view(2, 384, 3)
        control.store(layer, columns)
        (kept,) = control.take().values()
    assert kept.shape == (2, 3, 16, 24)
    assert torch.equal(kept[1, 2, 3, 5], columns[1, 3 * 24 + 5, 2])


SHAM, FINE = "no words", "no words, vanished at level 2"


@pytest.mark.parametrize(
    ("parts", "kind", "levels"),
    [
        ({"boost": {"eta": 1.0}}, "", {0, 1, 2}),
        ({"gate": {"mode": "keys", "renorm": False}}, "", {0, 1, 2}),  # recorded, not steered
        ({"gate": {"mode": "keys", "renorm": False}}, SHAM, set()),
        ({"gate": {"mode": "dense", "levels": [0, 2]}}, SHAM, {0, 2}),
        ({"tokens": {"regional_prompt": True}}, SHAM, {0, 1, 2}),
        ({"tokens": {"regional_prompt": True}}, FINE, {0, 1}),
        ({"anatomy": {"strength": 0.5}}, SHAM, {0, 1, 2}),
        ({}, "", set()),
    ],
    ids=str,
)
def test_cross_attention_is_steered_where_a_law_or_the_recorder_needs_it(unet, parts, kind, levels):
    region = box(31, 33, 95, 97) * 0.75 if kind == FINE else REGION
    sham = {"targets": (Target("t", (), region),), "mode": "sham"}
    with controlled(unet, plan(unet, off(**parts), edit_task(**(sham if kind else {})))):
        found = {
            layer.level
            for layer in attention_levels(unet, LATENT)
            if isinstance(unet.get_submodule(layer.name).processor, SteeredCross)
        }
    assert found == levels


def attention(*, cross, **options):
    """A diffusers layer with every option that Stable Diffusion leaves off."""
    torch.manual_seed(1)
    made = Attention(
        query_dim=16,
        cross_attention_dim=12 if cross else None,
        heads=2,
        dim_head=8,
        qk_norm="layer_norm",
        rescale_output_factor=2.0,
        **options,
    ).double()
    for name, weight in made.named_parameters():
        if "norm" in name:
            weight.data.uniform_(0.5, 2.0)
    return made.eval()


def control(**answers):
    made = SimpleNamespace(branch="cond", gating=True, dense_level=1.0, stored=[])
    made.plan = SimpleNamespace(
        gates={0: MaskGate(torch.ones(6).double())}, tokens={"cond": (4, 2)}, source_states=None
    )
    for name in ("gain", "region", "shift"):
        setattr(made, name, lambda level, name=name: answers.get(name))
    made.records = lambda level: answers.get("record", False)
    made.store = lambda layer, columns: made.stored.append(columns)
    return made


LAYER = SimpleNamespace(level=0, grid=(2, 3), name="layer")


@torch.no_grad()
def test_a_steered_layer_keeps_the_norms_and_the_scale_of_the_layer():
    hidden, context = torch.randn(2, 6, 16).double(), torch.randn(2, 9, 12).double()
    own = attention(cross=False)
    steered = SteeredSelf(control(), LAYER, None)
    assert torch.allclose(steered(own, hidden), AttnProcessor2_0()(own, hidden), atol=1e-12)
    other = attention(cross=True, cross_attention_norm="layer_norm")
    plain = AttnProcessor2_0()(other, hidden, encoder_hidden_states=context)
    law = TokenGain((4,), torch.ones(1, 6).double())
    steered = SteeredCross(control(gain=law), LAYER, None)
    assert torch.allclose(steered(other, hidden, encoder_hidden_states=context), plain, atol=1e-12)


@torch.no_grad()
def test_an_idle_layer_hands_everything_to_the_processor_it_had():
    idle, told = control(), {}

    def plain(attn, hidden, **given):
        told.update(given)
        return hidden + 1

    idle.gating = False
    for kind in (SteeredSelf, SteeredCross):
        hidden = torch.randn(1, 6, 16)
        mask, context = torch.ones(1), torch.randn(1, 9, 12)
        out = kind(idle, LAYER, plain)(
            None, hidden, encoder_hidden_states=context, attention_mask=mask
        )
        assert torch.equal(out, hidden + 1)
        assert told["encoder_hidden_states"] is context
        assert told["attention_mask"] is mask


def test_a_busy_layer_refuses_masks_other_sizes_and_missing_words():
    own, other = attention(cross=False), attention(cross=True)
    hidden = torch.randn(1, 6, 16).double()
    with pytest.raises(CxrError, match="no attention mask"):
        SteeredSelf(control(), LAYER, None)(own, hidden, attention_mask=torch.ones(1))
    with pytest.raises(CxrError, match="A layer of 6 planned cells met 5"):
        SteeredSelf(control(), LAYER, None)(own, hidden[:, :5])
    law = TokenGain((4,), torch.ones(1, 6).double())
    with pytest.raises(CxrError, match="without text states"):
        SteeredCross(control(gain=law), LAYER, None)(other, hidden)
    with pytest.raises(CxrError, match="without source states"), torch.no_grad():
        SteeredCross(control(region=torch.ones(6)), LAYER, None)(
            other, hidden, encoder_hidden_states=torch.randn(1, 9, 12).double()
        )


def maps(attn, hidden, context):
    """The explicit softmax (B, heads, N, 9) and the values."""
    q, k, v = (
        layer(x).unflatten(-1, (2, -1)).transpose(1, 2)
        for layer, x in ((attn.to_q, hidden), (attn.to_k, context), (attn.to_v, context))
    )
    return (attn.norm_q(q) @ attn.norm_k(k).transpose(-1, -2) / 8**0.5).softmax(-1), v


@pytest.mark.parametrize("answers", ["", "gain", "shift", "region", "gain shift", "gain region"])
@pytest.mark.parametrize("record", [True, False])
@torch.no_grad()
def test_shift_then_gain_then_region_and_the_raw_columns(answers, record):
    attn, generator = attention(cross=True), torch.Generator().manual_seed(0)
    hidden, context, source = (
        torch.randn(2, n, c, generator=generator, dtype=torch.float64)
        for n, c in ((6, 16), (9, 12), (9, 12))
    )
    rand = torch.rand(4, 6, 9, generator=generator, dtype=torch.float64)
    laws = {
        "gain": TokenGain((4, 1), 1 + rand[0, :, :2].T),
        "shift": DenseShift((rand[1] > 0.5).double(), rand[2, :1], 1.0),
        "region": rand[3, :, 0],
    }
    acting = {name: laws[name] for name in answers.split()}
    one = control(record=record, **acting)
    busy = SteeredCross(one, LAYER, None).busy()
    assert busy == (record or bool(acting))
    if not busy:
        return
    one.plan.source_states, one.dense_level = source[:1], 0.5
    out = SteeredCross(one, LAYER, None)(attn, hidden, encoder_hidden_states=context)
    raw, v = maps(attn, hidden, context)
    probs = laws["shift"](raw, 0.5) if "shift" in acting else raw
    expected = (laws["gain"](probs) if "gain" in acting else probs) @ v
    if "region" in acting:
        there, w = maps(attn, hidden, source[:1].expand(2, -1, -1))
        omega = laws["region"][:, None]
        expected = omega * expected + (1 - omega) * (there @ w)
    expected = attn.to_out[0](expected.transpose(1, 2).flatten(2)) / 2.0
    assert torch.allclose(out, expected, atol=1e-6)
    assert len(one.stored) == record
    for columns in one.stored:
        assert torch.allclose(columns, raw.mean(1)[..., [4, 2]], atol=1e-7)
