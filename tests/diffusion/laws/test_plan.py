# SPDX-License-Identifier: Apache-2.0
"""The plan of the laws: which law acts where, and which settings are refused."""

import pytest
import torch

from monai_cxr_cf.diffusion.laws import priors
from monai_cxr_cf.diffusion.laws.specification import DenseShift, HardPartition, MaskGate, Partition
from monai_cxr_cf.diffusion.task import Target
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import PAPER, SWITCHES
from tests.diffusion.small import (
    EVERY,
    ORGANS,
    REGION,
    box,
    edit_task,
    off,
    plan,
    small_unet,
)


@pytest.fixture(scope="module")
def unet():
    return small_unet()


def dot(row, column, size=1):
    return box(row, row + size, column, column + size)


SPECK = Target("nodule", (3,), dot(31, 95, 2) * 0.75)  # on a corner of four coarse cells


# --- the plan ------------------------------------------------------------------------------------


def test_default_plan_gates_three_levels_and_leaves_the_mid_block(unet):
    made = plan(unet)
    assert set(made.omega) == set(made.gates) == {0, 1, 2}
    assert all(isinstance(law, Partition) for law in made.gates.values())
    assert made.vanished == ()
    assert made.energy_levels == (2,)


def test_the_mid_block_is_regulated_when_asked_for(unet):
    made = plan(unet, EVERY.with_overrides({"gate": {"levels": [2, 3]}}))
    assert set(made.gates) == {2, 3}
    assert made.omega[3].shape == (1, 2, 2)


def test_paper_plan_scales_keys_by_the_organ_union(unet):
    made = plan(unet, PAPER)
    law = made.gates[0]
    assert isinstance(law, MaskGate)
    assert law.side == "keys"
    assert not law.renorm
    assert torch.allclose(
        law.mask.view(16, 16).double(), torch.as_tensor(priors.organ_union(ORGANS, (16, 16)))
    )
    assert not made.regional
    assert made.energy_levels == (0, 1, 2)


def test_bridge_follows_its_setting(unet):
    inside = edit_task(Target("nodule", (3,), box(20, 40, 90, 110)))
    crossing = edit_task(Target("effusion", (3,), box(60, 104, 70, 100)))

    def sums(task, bridge):
        law = plan(unet, EVERY.with_overrides({"gate": {"bridge": bridge}}), task).gates[0]
        return law.membership.sum(-1)

    assert torch.allclose(sums(inside, "auto"), torch.ones(256))
    assert float(sums(crossing, "auto").min()) < 0.01
    assert float(sums(inside, "on").min()) < 0.01
    assert torch.allclose(sums(crossing, "off"), torch.ones(256))


def test_hard_partition_frees_the_cells_of_a_bridged_region(unet):
    task = edit_task(Target("effusion", (3,), box(60, 104, 70, 100)))
    law = plan(unet, off(gate={"mode": "partition_hard"}), task).gates[0]
    assert isinstance(law, HardPartition)
    organ = law.organ.view(16, 16)
    assert int(organ[10, 10]) == -1
    assert int(organ[3, 3]) == 0
    assert int(organ[3, 12]) == 1


def test_a_vanished_level_is_skipped_and_named(unet):
    made = plan(unet, off(boost={"eta": 1.5}), edit_task(SPECK))
    assert made.vanished == ((2, "nodule"),)
    assert float(made.omega[0].max()) == 1.0
    assert float(made.omega[2].max()) == 0.0
    assert {level for _, level, _ in made.gains} == {0, 1}
    assert made.scored("cond") == ((0, 0), (1, 0))


def test_a_region_that_vanished_everywhere_is_refused(unet):
    with pytest.raises(BadRequest, match="smaller than any attention cell"):
        plan(unet, off(), edit_task(Target("nodule", (3,), dot(24, 96) * 1e-4)))


def test_a_region_that_vanished_at_the_energy_level_is_refused(unet):
    speck = edit_task(SPECK)
    with pytest.raises(BadRequest, match=r"energy\.levels=2"):
        plan(unet, off(correct={"alpha_max": 0.05}), speck)
    config = off(correct={"alpha_max": 0.05}, energy={"levels": "auto"})
    assert plan(unet, config, speck).energy_levels == (0,)


@pytest.mark.parametrize(("size", "level"), [(16, 0), (36, 1), (100, 2)])
def test_auto_energy_takes_the_coarsest_level_that_covers_four_cells(unet, size, level):
    task = edit_task(Target("effusion", (3,), box(4, 4 + size, 4, 4 + size)))
    assert plan(unet, off(energy={"levels": "auto"}), task).energy_levels == (level,)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"gate": {"mode": "partition", "renorm": False}}, "renormalised by definition"),
        ({"gate": {"mode": "queries", "renorm": True}}, "same as plain attention"),
        ({"gate": {"mode": "outer", "renorm": True}}, "same as gate.mode=keys"),
        ({"energy": {"levels": "5"}}, "energy.levels is '5'"),
        ({"energy": {"levels": "fine"}}, "energy.levels is 'fine'"),
        (
            {
                "energy": {"map": "boosted"},
                "boost": {"renorm": True, "eta": 1.0},
                "correct": {"alpha_max": 0.1},
            },
            "energy.map=boosted",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_contradict_each_other_are_refused(unet, parts, message):
    with pytest.raises(BadRequest, match=message):
        plan(unet, off(**parts))


def test_gating_without_organs_is_refused(unet):
    with pytest.raises(BadRequest, match="no organ masks"):
        plan(unet, off(gate={"mode": "partition"}), edit_task(organs={}))


def test_dense_gate_is_refused_above_its_size_and_starts_early_only(unet):
    config = off(gate={"mode": "dense"})
    made = plan(unet, config)
    assert isinstance(made.gates[0], DenseShift)
    assert made.gate_until == 0.3
    with pytest.raises(BadRequest, match="2304 x 2304"):
        plan(unet, config, grid=(48, 48))


def test_negative_finding_outside_a_removal_is_refused(unet):
    target = Target("effusion", (3,), REGION, where="negative")
    with pytest.raises(BadRequest, match="removals only"):
        plan(unet, off(), edit_task(target))


def test_all_laws_off_plan_nothing(unet):
    made = plan(unet, off())
    assert not made.acts
    assert [made.gates, made.gains, made.regional, made.shifts, made.corrects] == [{}] * 4 + [False]


@pytest.mark.parametrize("switch", ["no-gate", "no-boost", "no-correction", "no-anatomy"])
def test_each_switch_takes_exactly_its_law_out_of_the_plan(unet, switch):
    full, less = plan(unet), plan(unet, EVERY.with_overrides(SWITCHES[switch]))
    boosted = {3, 4}

    def parts(made):
        tokens = set(made.gains["cond", 0, True].tokens) if made.gains else set()
        return {
            "no-gate": bool(made.gates),
            "no-boost": boosted <= tokens,
            "no-anatomy": {8, 9} <= tokens,
            "no-correction": made.corrects,
            "regional": bool(made.regional),
        }

    assert all(parts(full).values())
    assert {name for name, on in parts(less).items() if not on} == {switch}


def test_removal_plans_no_correction(unet):
    made = plan(unet, EVERY, edit_task(mode="removal"))
    assert made.acts
    assert not made.corrects


def test_a_sham_without_finding_words_plans_no_boost_and_no_correction(unet):
    task = edit_task(mode="sham", targets=(Target("effusion", (), REGION),))
    made = plan(unet, EVERY.with_overrides(SWITCHES["no-anatomy"]), task)
    assert not made.gains
    assert not made.corrects
    assert made.gates
