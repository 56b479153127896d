# SPDX-License-Identifier: Apache-2.0
"""The parts of a plan one by one: names, tokens, levels, windows, and what makes it act."""

from dataclasses import replace

import pytest
import torch

from monai_cxr_cf.diffusion.laws.plan import plan_laws
from monai_cxr_cf.diffusion.model.layers import attention_levels
from monai_cxr_cf.diffusion.task import Target
from monai_cxr_cf.errors import BadRequest
from tests.diffusion.small import LATENT, REGION, box, edit_task, off, plan, small_unet

MIRROR = REGION[:, ::-1].copy()
SPECK = box(31, 33, 95, 97) * 0.75  # seen at levels 0 and 1 only
BOOST = {"boost": {"eta": 1.0}}


@pytest.fixture(scope="module")
def unet():
    return small_unet()


def square(cells, *, at=0):
    """A region of ``cells`` cells of the coarsest level, 4 x 4 cells of 32 pixels."""
    return box(at, at + 32, 0, int(32 * cells))


def test_names_and_tokens_of_several_findings(unet):
    task = edit_task(
        Target("edema", (9, 4, 4), REGION),
        Target("edema", (2,), MIRROR),
        Target("mass", (7, 3), REGION, where="negative"),
        Target("edema", (4, 2), REGION),
        mode="mixed",
    )
    made = plan(unet, off(**BOOST), task)
    assert made.findings == ("edema", "edema #2", "mass", "edema #3")
    assert made.tokens == {"cond": (2, 4, 9), "negative": (3, 7), "source": ()}
    assert made.finding_tokens["cond"] == ((2, 1), (0,), (), (1, 0))
    assert made.finding_tokens["negative"] == ((), (), (1, 0), ())
    assert made.finding_tokens["source"] == ((),) * 4
    assert made.scored("cond") == tuple((level, f) for level in range(3) for f in (0, 1, 3))
    assert made.scored("negative") == ((0, 2), (1, 2), (2, 2))
    assert made.mode == "mixed"
    assert made.kappa is task.kappa


def test_a_finding_that_vanished_at_a_level_is_not_scored_there_and_the_others_are(unet):
    task = edit_task(Target("effusion", (3,), REGION), Target("nodule", (4,), SPECK))
    made = plan(unet, off(**BOOST), task)
    assert made.vanished == ((2, "nodule"),)
    assert made.scored("cond") == ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0))
    assert float(made.omega[2][1].max()) == 0
    assert float(made.omega[2][0].max()) == 1


def test_the_region_in_cells_of_every_level(unet):
    task = edit_task(Target("effusion", (3,), square(1.5)), Target("mass", (4,), square(0.1001)))
    made = plan(unet, off(), task)
    assert made.roi_cells == {0: (24.0, 1.5), 1: (6.0, 0.375), 2: (1.5, 0.094)}


def test_the_mid_block_does_not_widen_the_priors_of_the_other_levels(unet):
    three = plan(unet, off(gate={"mode": "partition"}))
    four = plan(unet, off(gate={"mode": "partition", "levels": [0, 1, 2, 3]}))
    assert set(three.omega) == {0, 1, 2}
    assert set(four.omega) == {0, 1, 2, 3}
    assert all(torch.equal(three.omega[at], four.omega[at]) for at in three.omega)


def planned(levels, config=None):
    task = edit_task()
    return plan_laws(task, config or off(), levels=tuple(levels), source_states=None)


def test_a_network_without_levels_or_with_two_sizes_of_one_is_refused(unet):
    layers = attention_levels(unet, LATENT)
    with pytest.raises(BadRequest, match="nothing to regulate"):
        planned(layer for layer in layers if layer.level == 3)
    with pytest.raises(BadRequest, match="level 0 has two sizes"):
        planned([*layers, replace(layers[0], grid=(16, 17))])
    assert list(planned(reversed(layers)).omega) == [0, 1, 2]


# --- regional prompting --------------------------------------------------------------------------


def test_regional_prompting_takes_the_union_of_findings_not_their_sum(unet):
    task = edit_task(Target("effusion", (3,), REGION), Target("mass", (4,), box(40, 90, 70, 100)))
    made = plan(unet, off(tokens={"regional_prompt": True}), task)
    for level, omega in made.regional.items():
        a, b = (one.flatten().tolist() for one in made.omega[level])
        assert omega.tolist() == [max(x, y) for x, y in zip(a, b, strict=True)]
    assert set(made.regional) == {0, 1, 2}


def test_regional_prompting_skips_a_level_where_every_region_has_vanished(unet):
    made = plan(unet, off(tokens={"regional_prompt": True}), edit_task(Target("n", (3,), SPECK)))
    assert set(made.regional) == {0, 1}


def test_regional_prompting_needs_the_source_prompt(unet):
    layers = attention_levels(unet, LATENT)
    config = off(tokens={"regional_prompt": True})
    with pytest.raises(BadRequest, match="text states of the source prompt"):
        planned(layers, config)


# --- what makes it act ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "acts", "corrects"),
    [
        ({}, False, False),
        ({"gate": {"mode": "keys"}}, True, False),
        ({"boost": {"eta": 0.1}}, True, False),
        ({"anatomy": {"strength": 0.1}}, True, False),
        ({"tokens": {"regional_prompt": True}}, True, False),
        ({"correct": {"alpha_max": 0.1}}, True, True),
        ({"correct": {"alpha_max": 0.1, "scale": 0.0}}, False, False),
        ({"correct": {"alpha_max": 0.1, "scale": 0.5}}, True, True),
    ],
    ids=str,
)
def test_a_plan_acts_when_one_law_does(unet, parts, acts, corrects):
    made = plan(unet, off(**parts))
    assert (made.acts, made.corrects) == (acts, corrects)


def test_a_finding_of_the_negative_prompt_alone_is_not_corrected(unet):
    target = Target("mass", (5,), REGION, where="negative")
    config = off(correct={"alpha_max": 0.1})
    assert not plan(unet, config, edit_task(target, mode="mixed")).corrects


@pytest.mark.parametrize(
    ("mode", "until"), [("off", 1), ("partition", 1), ("keys", 1), ("dense", 0.3)]
)
def test_the_gate_acts_in_the_whole_run_and_the_dense_one_in_the_first_steps(unet, mode, until):
    assert plan(unet, off(gate={"mode": mode})).gate_until == until


def test_boosted_scores_of_a_renormalised_boost_are_refused_only_where_they_are_used(unet):
    parts = {"energy": {"map": "boosted"}, "boost": {"renorm": True}}
    assert plan(unet, off(**parts))
    with pytest.raises(BadRequest, match="unnormalised boost"):
        plan(unet, off(**parts, correct={"alpha_max": 0.1}))


def test_a_carrier_that_is_still_open_is_refused(unet):
    with pytest.raises(BadRequest, match="carrier=auto is open"):
        plan(unet, off(tokens={"carrier": "auto"}))


# --- levels of the energy ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "found"), [("2", (2,)), ("0, 2", (0, 2)), ("2,0,2,1", (0, 1, 2)), (" 1 ", (1,))]
)
def test_energy_levels_are_read_sorted_and_once(unet, levels, found):
    assert plan(unet, off(energy={"levels": levels})).energy_levels == found


@pytest.mark.parametrize("levels", ["3", "-1", "", "0,,1", "0,3"])
def test_energy_levels_that_are_not_regulated_are_refused(unet, levels):
    with pytest.raises(BadRequest, match="regulates levels 0, 1, 2"):
        plan(unet, off(energy={"levels": levels}))


@pytest.mark.parametrize(
    ("cells", "level"),
    [((4,), 2), ((3.9,), 1), ((4, 1), 1), ((4, 0.99), 0), ((4, 0.2), 0)],
    ids=str,
)
def test_auto_takes_the_coarsest_level_on_which_the_smallest_region_has_four_cells(
    unet, cells, level
):
    targets = [Target("t", (3 + i,), square(n, at=32 * i)) for i, n in enumerate(cells)]
    made = plan(unet, off(energy={"levels": "auto"}), edit_task(*targets))
    assert made.energy_levels == (level,)


def test_every_corrected_finding_must_be_seen_at_a_level_of_the_energy(unet):
    task = edit_task(Target("effusion", (3,), REGION), Target("nodule", (4,), SPECK))
    with pytest.raises(BadRequest, match=r"vanished at energy\.levels=2"):
        plan(unet, off(correct={"alpha_max": 0.1}), task)
    both = off(correct={"alpha_max": 0.1}, energy={"levels": "1,2"})
    assert plan(unet, both, task).corrects
    gone = replace(task.targets[1], where="negative")
    mixed = replace(task, targets=(task.targets[0], gone), mode="mixed")
    assert plan(unet, off(correct={"alpha_max": 0.1}), mixed).corrects
