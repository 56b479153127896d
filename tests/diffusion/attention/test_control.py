# SPDX-License-Identifier: Apache-2.0
"""Switches, clock and recorder one by one, and which layers get a processor."""

import pytest
import torch

from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.attention.processors import SteeredCross
from monai_cxr_cf.diffusion.model.layers import attention_levels
from monai_cxr_cf.diffusion.task import Target
from tests.diffusion.small import (
    ALL_ON,
    EVERY,
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


# --- the clock of the dense gate -----------------------------------------------------------------


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


# --- switches ------------------------------------------------------------------------------------


def test_switches_start_off_and_are_set_as_told(unet):
    with controlled(unet, plan(unet, EVERY)) as control:
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
        with control.recording((0, 2)):
            assert [control.records(level) for level in range(3)] == [True, False, True]
            predict(unet)
            assert {level for level, _ in control.take()} == {0, 2}
        assert not control.record
        assert control.focus is None
        control.set(**(ALL_ON | {"branch": "negative"}))
        assert not control.records(0)  # no finding lies in that prompt
        control.set(**ALL_ON)
        predict(unet)
        with control.recording((1,)):
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


# --- which layers --------------------------------------------------------------------------------


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
