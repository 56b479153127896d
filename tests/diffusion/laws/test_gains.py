# SPDX-License-Identifier: Apache-2.0
"""The weight map W and the cross half of the dense gate, token by token (docs/method.md 2.3)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from monai_cxr_cf.diffusion.laws.gains import positions
from monai_cxr_cf.diffusion.laws.priors import organ_prior
from monai_cxr_cf.diffusion.laws.specification import TokenGain
from monai_cxr_cf.diffusion.modes import sham_task
from monai_cxr_cf.diffusion.task import Target, Words
from monai_cxr_cf.errors import BadRequest
from tests.diffusion.small import ORGANS, REGION, box, edit_task, off, plan, small_unet

SIDES = {0: (16, 16), 1: (8, 8), 2: (4, 4)}
MIRROR = REGION[:, ::-1].copy()
WIDE = box(40, 120, 60, 124)


@pytest.fixture(scope="module")
def unet():
    return small_unet()


def rows(made, branch, level, boost):
    """Token -> W of one level, and whether rows are renormalised."""
    law = made.gains.get((branch, level, boost))
    return {} if law is None else dict(zip(law.tokens, law.gain, strict=True))


def test_w_at_every_level_token_by_token(unet):
    """Two findings that share a word, organ words, end and padding tokens."""
    one = Target("edema", (4, 3), REGION, eta=0.5)
    two = Target("effusion", (3, 6), WIDE)
    config = off(
        boost={"eta": 2.0, "renorm": True},
        anatomy={"strength": 0.4},
        tokens={"carrier": "finding+eos"},
    )
    task = edit_task(one, two, organ_tokens={6: "heart", 8: "left_lung", 9: "lungs"})
    made = plan(unet, config, task)
    for level, side in SIDES.items():
        a, b = (omega.flatten() for omega in made.omega[level])
        stronger = torch.maximum(0.5 * a, 2.0 * b)
        organ = {
            k: torch.as_tensor(0.6 + 0.4 * organ_prior(ORGANS, name, side)).float().flatten()
            for k, name in ((8, "left_lung"), (9, "lungs"))
        }
        path = {3: 1 + stronger, 4: 1 + 0.5 * a, 6: 1 + 2.0 * b}
        leak = dict.fromkeys(range(12, 77), 1 + stronger)
        found = rows(made, "cond", level, True)
        assert list(found) == sorted(path | organ | leak)
        for token, row in (path | organ | leak).items():
            assert torch.allclose(found[token], row, atol=1e-6), (level, token)
        outside = rows(made, "cond", level, False)
        assert list(outside) == [8, 9]
        assert all(torch.allclose(outside[k], organ[k], atol=1e-6) for k in (8, 9))
        assert made.gains["cond", level, True].renorm
        assert ("negative", level, True) not in made.gains
        assert ("negative", level, False) not in made.gains


def test_a_mixed_edit_leaks_in_the_target_prompt_alone(unet):
    going = Target("mass", (5, 2), MIRROR, where="negative", eta=1.0)
    coming = Target("edema", (3,), REGION)
    config = off(boost={"eta": 2.0}, tokens={"carrier": "finding+eos"}, anatomy={"strength": 0.4})
    made = plan(unet, config, edit_task(going, coming, mode="mixed"))
    away, near = (omega.flatten() for omega in made.omega[0])
    negative = rows(made, "negative", 0, True)
    assert list(negative) == [2, 5]
    assert torch.allclose(negative[2], 1 + away)
    found = rows(made, "cond", 0, True)
    assert list(found) == [3, 8, 9, *range(12, 77)]
    assert torch.allclose(found[3], 1 + 2 * near)
    assert torch.allclose(found[20], 1 + 2 * near)
    assert not made.gains["cond", 0, True].renorm


def test_a_removal_boosts_the_healthy_words_of_its_target(unet):
    healthy = Target("edema", (3, 4), REGION, eta=0.5)
    made = plan(unet, off(boost={"eta": 2.0}), edit_task(healthy, mode="removal"))
    found = rows(made, "cond", 1, True)
    assert list(found) == [3, 4]
    assert torch.allclose(found[3], 1 + 0.5 * made.omega[1][0].flatten())


def test_a_gain_of_one_is_left_out(unet):
    one = Target("edema", (3,), REGION, eta=0.0)
    two = Target("mass", (5,), MIRROR)
    assert list(
        rows(plan(unet, off(boost={"eta": 1.0}), edit_task(one, two)), "cond", 0, True)
    ) == [5]
    everywhere = {"heart": np.ones((128, 128), np.float32)}
    made = plan(
        unet,
        off(anatomy={"strength": 1.0}),
        edit_task(organs=everywhere, organ_tokens={9: "heart"}),
    )
    assert made.gains == {}


@pytest.mark.parametrize("mode", ["edit", "sham"])
def test_a_finding_in_the_negative_prompt_needs_a_removal(unet, mode):
    target = Target("effusion", (3,), REGION, where="negative")
    with pytest.raises(BadRequest, match="negative prompt"):
        plan(unet, off(), edit_task(target, mode=mode))
    for allowed in ("removal", "mixed"):
        assert plan(unet, off(boost={"eta": 1.0}), edit_task(target, mode=allowed)).gains


def test_the_dense_shift_of_cross_attention_marks_each_word_in_its_own_cells(unet):
    coming = Target("edema", (3, 9), REGION)
    going = Target("mass", (5,), MIRROR, where="negative")
    made = plan(
        unet,
        off(gate={"mode": "dense", "lam": 0.75, "levels": [0, 2]}),
        edit_task(coming, going, mode="mixed", organ_tokens={8: "left_lung", 9: "heart"}),
    )
    assert set(made.shifts) == {0, 2}
    for level, law in made.shifts.items():
        assert (law.weight, law.lam) == (1.0, 0.75)
        cells = SIDES[level][0] * SIDES[level][1]
        same, area = torch.full((cells, 77), -1.0), torch.zeros(1, 77)
        lung = organ_prior(ORGANS, "left_lung", SIDES[level]).ravel() >= 0.5
        region = made.omega[level][0].flatten().numpy() >= 0.5
        for token, inside in ((8, lung), (3, region), (9, region)):
            same[:, token] = torch.as_tensor(inside).float()
            area[0, token] = float(inside.mean())
        assert torch.equal(law.same, same)
        assert torch.allclose(law.area, area)


def test_no_dense_shift_without_strength_or_in_another_mode(unet):
    assert not plan(unet, off(gate={"mode": "dense", "lam": 0.0})).shifts
    assert not plan(unet, off(gate={"mode": "partition"})).shifts


# --- carrier, texts of the findings' own ---------------------------------------------------------


def test_positions_of_words_and_of_what_carries_them():
    own = Words("mass", (5, 2), {}, (7, 8, 76))
    task = edit_task(
        Target("edema", (4, 3, 4), REGION),
        Target("mass", (6,), MIRROR, where="negative"),
        mode="mixed",
    )
    assert positions(task, 0, carrier="finding") == (4, 3)
    assert positions(task, 0, carrier="finding+eos") == (4, 3, *range(12, 77))
    assert positions(task, 1, carrier="finding+eos") == (6,), "the negative prompt has no carrier"
    apart = edit_task(
        Target("edema", (4,), REGION, words=replace(own, tokens=(1,))),
        Target("mass", (6,), MIRROR, words=own),
    )
    assert positions(apart, 0, carrier="finding") == (78,)
    assert positions(apart, 1, carrier="finding") == (159, 156)
    assert positions(apart, 1, carrier="finding+eos") == (159, 156, 161, 162, 230)
    sham = sham_task(edit_task(Target("edema", (4,), REGION)))
    assert positions(sham, 0, carrier="finding+eos") == ()


def test_gains_of_own_texts_stand_behind_the_prompt(unet):
    heart = {3: "heart"}
    task = edit_task(
        Target("edema", (4,), REGION, words=Words("edema", (1,), heart, (2, 3))),
        Target("mass", (6,), MIRROR, words=Words("mass", (1, 2), {2: "lungs"}), eta=0.5),
        organ_tokens={9: "heart"},
    )
    config = off(
        boost={"eta": 2.0},
        anatomy={"strength": 0.5},
        tokens={"regional_prompt": True, "carrier": "finding+eos"},
    )
    made = plan(unet, config, task)
    for level, omega in made.omega.items():
        a, b = (o.flatten() for o in omega)
        grid = tuple(omega.shape[-2:])
        organ = 0.5 + 0.5 * torch.as_tensor(organ_prior(ORGANS, "heart", grid)).to(a).flatten()
        found = rows(made, "cond", level, True)
        assert list(found) == [78, 79, 80, 155, 156], "the prompt's own words do not act"
        assert torch.allclose(found[78], 1 + 2 * a)
        assert torch.allclose(found[79], 1 + 2 * a)
        assert torch.allclose(found[155], 1 + 0.5 * b)
        assert torch.allclose(found[156], 1 + 0.5 * b), "K_path wins over an organ's name"
        assert torch.allclose(found[80], 1 + 2 * a), "the boost wins while it acts"
        assert torch.allclose(rows(made, "cond", level, False)[80], organ)


def test_the_part_of_a_gain_within_one_text():
    gain = torch.arange(12.0).view(4, 3)
    law = TokenGain((5, 78, 80, 154), gain, True)
    part = law.within(77, 77)
    assert part.tokens == (1, 3)
    assert torch.equal(part.gain, gain[1:3])
    assert part.renorm is True
    assert law.within(0, 77).tokens == (5,)
    assert law.within(154, 77).tokens == (0,)
    assert law.within(231, 77) is None


def test_what_carries_a_finding_is_scored_with_its_words(unet):
    made = plan(unet, off(boost={"eta": 1.0}, tokens={"carrier": "finding+eos"}))
    assert made.tokens["cond"] == (3, 4, *range(12, 77))
    assert made.finding_tokens["cond"] == (tuple(range(67)),)
