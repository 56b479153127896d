# SPDX-License-Identifier: Apache-2.0
"""Masks at attention cells: Ω, membership, bridge, levels, and what a plan refuses."""

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from monai_cxr_cf.diffusion import priors
from monai_cxr_cf.diffusion.layers import attention_levels
from monai_cxr_cf.diffusion.maps import latent_edit_mask
from monai_cxr_cf.diffusion.regulate import DenseShift, HardPartition, MaskGate, Partition
from monai_cxr_cf.diffusion.task import Target
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import DEFAULT, PAPER, SWITCHES
from tests.diffusion.small import (
    LATENT,
    ORGANS,
    REGION,
    SIDE,
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


# --- pooling and Ω -------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [(16, 16), (8, 8), (5, 7), (3, 11), (200, 130)], ids=str)
def test_area_pooling_keeps_the_mean_for_any_ratio(grid):
    plane = np.random.default_rng(0).random((SIDE, SIDE))
    pooled = priors.area_pool(plane, grid)
    assert pooled.shape == grid
    assert pooled.mean() == pytest.approx(plane.mean())


def test_area_pooling_is_the_block_mean_and_loses_no_thin_structure():
    plane = box(0, SIDE, 63, 64)
    pooled = priors.area_pool(plane, (16, 16))
    assert np.allclose(pooled, plane.reshape(16, 8, 16, 8).mean((1, 3)))
    assert pooled[:, 7] == pytest.approx(1 / 8)


@pytest.mark.parametrize("grid", [(16, 16), (8, 8), (4, 4), (6, 9)], ids=str)
@pytest.mark.parametrize("region", [REGION, dot(3, 3, 9), box(0, SIDE, 0, SIDE)], ids=range(3))
def test_prior_lies_in_unit_range_with_maximum_one(region, grid):
    omega = priors.roi_prior(region, grid, (4, 4))
    assert omega.min() >= 0
    assert omega.max() == 1.0


def test_blur_has_the_same_physical_width_at_all_levels():
    region = dot(48, 48, 32)

    def width(cells):
        omega = priors.roi_prior(region, (cells, cells), (4, 4))
        share = omega.sum(0) / omega.sum()
        at = (np.arange(cells) + 0.5) / cells
        return np.sqrt((share * (at - (share * at).sum()) ** 2).sum())

    # variance = box of a quarter side + Gaussian of half a coarsest cell (1/8 of the side)
    expected = np.sqrt(0.25**2 / 12 + 0.125**2)
    assert width(64) == pytest.approx(expected, rel=0.02)
    assert width(32) == pytest.approx(expected, rel=0.02)
    assert width(16) == pytest.approx(expected, rel=0.03)


def test_a_speck_vanishes_at_the_coarse_level_only():
    speck = dot(40, 40) * 0.4
    assert priors.roi_prior(speck, (4, 4), (4, 4)) is None
    assert priors.roi_prior(speck, (64, 64), (64, 64)) is not None


def test_priors_follow_the_mask_on_a_mirrored_image():
    plain = priors.roi_prior(REGION, (8, 8), (4, 4))
    mirrored = priors.roi_prior(REGION[:, ::-1], (8, 8), (4, 4))
    assert np.allclose(mirrored, plain[:, ::-1])


# --- organs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [(16, 16), (4, 4), (5, 7)], ids=str)
def test_membership_sums_to_one_for_soft_overlapping_organs(grid):
    rng = np.random.default_rng(1)
    organs = {name: rng.random((SIDE, SIDE)) for name in priors.ORGANS}
    p = priors.membership(organs, grid)
    assert p.shape == (4, *grid)
    assert p.min() >= 0
    assert np.allclose(p.sum(0), 1)


def test_overlaps_go_to_the_heart():
    classes = priors.organ_classes(ORGANS)
    overlap = (ORGANS["heart"] > 0) & (ORGANS["left_lung"] > 0)
    assert overlap.any()
    assert (classes[2][overlap] == 1).all()
    assert (classes[1][overlap] == 0).all()


def test_sides_follow_mask_labels_on_a_mirrored_image():
    mirrored = {name: plane[:, ::-1] for name, plane in ORGANS.items()}
    assert np.allclose(
        priors.membership(mirrored, (8, 8)), priors.membership(ORGANS, (8, 8))[:, :, ::-1]
    )


def test_union_and_organ_priors_are_shares_of_the_cell():
    union = np.maximum.reduce(list(ORGANS.values()))
    assert np.allclose(priors.organ_union(ORGANS, (4, 4)), priors.area_pool(union, (4, 4)))
    lungs = priors.organ_prior(ORGANS, "lungs", (8, 8))
    sides = [priors.organ_prior(ORGANS, f"{side}_lung", (8, 8)) for side in ("right", "left")]
    assert np.allclose(lungs, sum(sides))
    with pytest.raises(BadRequest, match="spleen"):
        priors.organ_prior(ORGANS, "spleen", (8, 8))


def test_a_region_inside_one_organ_is_not_bridged_and_a_crossing_one_is():
    assert not priors.spans_organs(box(20, 40, 90, 110), ORGANS)
    assert priors.spans_organs(box(60, 104, 70, 100), ORGANS)


def test_bridged_cells_lose_their_membership_where_omega_is_one():
    p = priors.membership(ORGANS, (8, 8))
    omega = np.zeros((8, 8))
    omega[6, 6] = 1
    out = priors.bridged(p, [omega])
    assert (out[:, 6, 6] == 0).all()
    omega[6, 6] = 0
    assert np.array_equal(priors.bridged(p, [omega]), p)


def test_latent_mask_covers_every_touched_cell():
    kappa = np.zeros((SIDE, SIDE))
    kappa[8, 16] = 1e-6
    mask = latent_edit_mask(kappa, LATENT)
    assert mask.dtype == bool
    assert mask.sum() == 1
    assert mask[1, 2]
    assert not latent_edit_mask(np.zeros((SIDE, SIDE)), LATENT).any()


# --- levels --------------------------------------------------------------------------------------


def sd15(**changes):
    """SD v1.5's UNet at its true size, without memory."""
    with torch.device("meta"):
        return UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8, **changes)


@pytest.mark.parametrize(
    ("latent_hw", "grids"),
    [
        ((64, 64), {0: (64, 64), 1: (32, 32), 2: (16, 16), 3: (8, 8)}),
        ((32, 32), {0: (32, 32), 1: (16, 16), 2: (8, 8), 3: (4, 4)}),
        ((48, 80), {0: (48, 80), 1: (24, 40), 2: (12, 20), 3: (6, 10)}),
    ],
    ids=str,
)
def test_levels_of_sd_v1_are_derived_from_the_latent(latent_hw, grids):
    layers = attention_levels(sd15(), latent_hw)
    assert len(layers) == 32
    assert sum(layer.cross for layer in layers) == 16
    assert {layer.level: layer.grid for layer in layers} == grids
    widths = {layer.level: (layer.heads, layer.head_dim) for layer in layers}
    assert widths == {0: (8, 40), 1: (8, 80), 2: (8, 160), 3: (8, 160)}
    names = [layer.name.split(".")[0] for layer in layers]
    assert names == sorted(names, key=["down_blocks", "mid_block", "up_blocks"].index)


@pytest.mark.parametrize("latent_hw", [(16, 16), (16, 24), (10, 14)], ids=str)
def test_derived_levels_are_the_sizes_a_forward_pass_has(unet, latent_hw):
    seen = {}

    def note(name):
        return lambda _, args: seen.__setitem__(name, args[0].shape[1])

    layers = attention_levels(unet, latent_hw)
    hooks = [
        unet.get_submodule(layer.name).register_forward_pre_hook(note(layer.name))
        for layer in layers
    ]
    with torch.no_grad():
        unet(torch.zeros(1, 4, *latent_hw), 5, encoder_hidden_states=torch.zeros(1, 77, 32))
    for hook in hooks:
        hook.remove()
    assert list(seen) == [layer.name for layer in layers]
    assert all(seen[layer.name] == layer.grid[0] * layer.grid[1] for layer in layers)


# --- the plan ------------------------------------------------------------------------------------


def test_default_plan_gates_three_levels_and_leaves_the_mid_block(unet):
    made = plan(unet)
    assert set(made.omega) == set(made.gates) == {0, 1, 2}
    assert all(isinstance(law, Partition) for law in made.gates.values())
    assert made.vanished == ()
    assert made.energy_levels == (2,)


def test_the_mid_block_is_regulated_when_asked_for(unet):
    made = plan(unet, DEFAULT.with_overrides({"gate": {"levels": [2, 3]}}))
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
        law = plan(unet, DEFAULT.with_overrides({"gate": {"bridge": bridge}}), task).gates[0]
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
    assert made.gate_window == (0.0, 0.3)
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
    full, less = plan(unet), plan(unet, DEFAULT.with_overrides(SWITCHES[switch]))
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
    made = plan(unet, DEFAULT, edit_task(mode="removal"))
    assert made.acts
    assert not made.corrects


def test_a_sham_without_finding_words_plans_no_boost_and_no_correction(unet):
    task = edit_task(mode="sham", targets=(Target("effusion", (), REGION),))
    made = plan(unet, DEFAULT.with_overrides(SWITCHES["no-anatomy"]), task)
    assert not made.gains
    assert not made.corrects
    assert made.gates
