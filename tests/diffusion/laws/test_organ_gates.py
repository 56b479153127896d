# SPDX-License-Identifier: Apache-2.0
"""The organ gate of each level: what the settings become, and where cells are free."""

import numpy as np
import pytest
import torch

from monai_cxr_cf.diffusion.laws.priors import bridged, membership, organ_union, roi_prior
from monai_cxr_cf.diffusion.laws.specification import DenseShift, HardPartition, MaskGate, Partition
from monai_cxr_cf.diffusion.task import Target
from tests.diffusion.small import ORGANS, box, edit_task, off, plan, small_unet

CROSSING = Target("effusion", (3,), box(60, 104, 70, 100))
INSIDE = Target("nodule", (4,), box(20, 40, 90, 110))
SIDES = {0: (16, 16), 1: (8, 8), 2: (4, 4)}


@pytest.fixture(scope="module")
def unet():
    return small_unet()


def gates(unet, *targets, **gate):
    return plan(unet, off(gate=gate), edit_task(*targets)).gates


@pytest.mark.parametrize(
    ("mode", "renorm"), [("keys", False), ("keys", True), ("queries", False), ("outer", False)]
)
def test_a_mask_gate_holds_the_union_of_organs_and_the_settings(unet, mode, renorm):
    found = gates(unet, mode=mode, renorm=renorm, lam=0.75)
    assert set(found) == {0, 1, 2}
    for level, law in found.items():
        assert isinstance(law, MaskGate)
        assert (law.side, law.renorm, law.lam) == (mode, renorm, 0.75)
        union = organ_union(ORGANS, SIDES[level]).ravel()
        assert np.allclose(law.mask.numpy(), union, atol=1e-6)


def test_a_partition_frees_the_cells_of_regions_that_cross_and_of_no_other(unet):
    found = gates(unet, CROSSING, INSIDE, mode="partition", beta=3.0, lam=0.75)
    for level, law in found.items():
        assert isinstance(law, Partition)
        assert (law.beta, law.lam) == (3.0, 0.75)
        omega = roi_prior(CROSSING.region, SIDES[level], (4, 4))
        p = bridged(membership(ORGANS, SIDES[level]), [omega])
        assert np.allclose(law.membership.numpy(), p.reshape(4, -1).T, atol=1e-6)


def test_a_hard_partition_frees_cells_from_half_of_omega(unet):
    found = gates(unet, CROSSING, mode="partition_hard", lam=0.75)
    for level, law in found.items():
        assert isinstance(law, HardPartition)
        assert law.lam == 0.75
        omega = roi_prior(CROSSING.region, SIDES[level], (4, 4))
        organ = membership(ORGANS, SIDES[level]).argmax(0)
        assert law.organ.tolist() == np.where(omega >= 0.5, -1, organ).ravel().tolist()
        assert 0 < int((law.organ == -1).sum()) < law.organ.numel()


def test_a_dense_gate_marks_cells_of_the_same_organ_and_their_share(unet):
    found = gates(unet, mode="dense", lam=0.75)
    for level, law in found.items():
        assert isinstance(law, DenseShift)
        assert (law.weight, law.lam) == (0.3, 0.75)
        organ = membership(ORGANS, SIDES[level]).argmax(0).ravel().tolist()
        same = [[float(a == b) for b in organ] for a in organ]
        assert law.same.tolist() == same
        share = [organ.count(a) / len(organ) for a in organ]
        assert law.area.flatten().tolist() == pytest.approx(share)
        assert law.area.shape == (len(organ), 1)


def test_a_dense_gate_may_have_1024_cells(unet):
    law = plan(unet, off(gate={"mode": "dense", "levels": [0]}), grid=(32, 32)).gates[0]
    assert law.same.shape == (1024, 1024)


@pytest.mark.parametrize(
    ("gate", "acts"),
    [
        ({"mode": "off"}, False),
        ({"mode": "keys", "renorm": False, "lam": 0.0}, False),
        ({"mode": "partition", "beta": 0.0}, False),
        ({"mode": "partition_hard", "beta": 0.0}, True),
        ({"mode": "partition", "lam": 0.1}, True),
    ],
    ids=str,
)
def test_a_gate_without_effect_is_no_gate(unet, gate, acts):
    assert bool(gates(unet, **gate)) == acts


def test_only_the_chosen_levels_are_gated_and_a_level_that_is_not_there_is_left_out(unet):
    assert set(gates(unet, mode="partition", levels=[0, 2])) == {0, 2}
    assert set(plan(unet, off(gate={"mode": "partition", "levels": [1]})).gates) == {1}


def test_the_bridge_of_every_level_is_blurred_by_the_coarsest_below_the_mid_block(unet):
    three = gates(unet, CROSSING, mode="partition")
    four = gates(unet, CROSSING, mode="partition", levels=[0, 1, 2, 3])
    assert set(four) == {0, 1, 2, 3}
    for level, law in three.items():
        assert torch.equal(law.membership, four[level].membership)


def test_the_bridge_can_be_forced_and_forbidden(unet):
    p = membership(ORGANS, (8, 8))
    for target, bridge, free in ((INSIDE, "on", True), (CROSSING, "off", False)):
        law = gates(unet, target, mode="partition", bridge=bridge)[1]
        omegas = [roi_prior(target.region, (8, 8), (4, 4))] if free else []
        expected = bridged(p, omegas).reshape(4, -1).T
        assert np.allclose(law.membership.numpy(), expected, atol=1e-6)
