# SPDX-License-Identifier: Apache-2.0
"""Scores (Eq. 7) and energy (Eq. 8): ranges, uniform and perfect attention, levels, findings."""

import json

import pytest
import torch

from monai_cxr_cf.diffusion.correction.scores import energy, roi_scores
from monai_cxr_cf.diffusion.model.layers import attention_levels
from monai_cxr_cf.diffusion.task import Target
from monai_cxr_cf.errors import BadRequest
from tests.diffusion.small import EVERY, LATENT, REGION, box, edit_task, off, plan, small_unet

EDGE = {"energy": {"levels": "0"}, "boost": {"eta": 1.5}, "correct": {"alpha_max": 0.05}}


@pytest.fixture(scope="module")
def unet():
    return small_unet()


def columns(unet, made, fill, *, batch=1):
    """Columns as a recorder would hold them: fill(tokens, rows, columns) per layer."""
    return {
        (x.level, x.name): fill(batch, len(made.tokens["cond"]), *x.grid)
        for x in attention_levels(unet, LATENT)
        if x.cross and x.level < 3
    }


def random_maps(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.rand(*shape, generator=generator, dtype=torch.float64)


def test_scores_lie_in_the_unit_range(unet):
    made = plan(unet)
    scores = roi_scores(columns(unet, made, random_maps(), batch=3), made)
    assert set(scores.score) == {(level, "pleural effusion") for level in range(3)}
    for value in scores.score.values():
        assert value.shape == (3,)
        assert ((value > 0) & (value < 1)).all()


def test_uniform_attention_has_lift_zero_and_scores_the_mean_of_omega(unet):
    made = plan(unet)
    scores = roi_scores(columns(unet, made, lambda *s: torch.full(s, 0.013)), made)
    for (level, _), value in scores.score.items():
        assert float(value) == pytest.approx(float(made.omega[level].mean()), rel=1e-5)
    for lift in scores.lift.values():
        assert float(lift) == pytest.approx(0, abs=1e-6)


def binary_plan(unet, **parts):
    """A plan whose Ω at level 0 is a half-plane of exact zeros and ones."""
    made = plan(unet, off(**parts), edit_task(Target("edema", (3, 4), box(0, 64, 0, 128))))
    made.omega[0][0] = (torch.arange(16) < 8).float()[:, None].expand(16, 16)
    return made


def test_all_mass_in_a_binary_region_scores_one(unet):
    made = binary_plan(unet, **EDGE)
    inside = made.omega[0][0].expand(1, 2, 16, 16)
    name = next(x.name for x in attention_levels(unet, LATENT) if x.cross and x.level == 0)
    scores = roi_scores({(0, name): inside}, made)
    assert float(scores.score[0, "edema"]) == 1
    assert float(scores.lift[0, "edema"]) == 1
    assert float(energy(scores)) == 0


def test_boosted_score_is_the_published_function_of_the_raw_one(unet):
    """s' = (1 + η) s / (1 + η s) for binary Ω."""
    made = binary_plan(unet, **EDGE)
    law = made.gains["cond", 0, True]
    law.gain[:] = 1 + 1.5 * made.omega[0][0].flatten()
    maps = {k: v for k, v in columns(unet, made, random_maps()).items() if k[0] == 0}
    one = {key: value[:, :1].expand(-1, 2, -1, -1) for key, value in list(maps.items())[:1]}
    raw = float(roi_scores(one, made).score[0, "edema"])
    boosted = float(roi_scores(one, made, map="boosted").score[0, "edema"])
    assert boosted == pytest.approx(2.5 * raw / (1 + 1.5 * raw), rel=1e-6)


def test_score_is_the_mean_over_tokens_and_layers(unet):
    made = plan(unet, off(**EDGE))
    maps = columns(unet, made, random_maps())
    shares = [
        float((a[0, k] * made.omega[0][0]).sum() / a[0, k].sum())
        for (level, _), a in maps.items()
        if level == 0
        for k in range(2)
    ]
    score = roi_scores(maps, made).score[0, "pleural effusion"]
    assert float(score) == pytest.approx(sum(shares) / len(shares), rel=1e-6)


def test_energy_of_one_finding_is_equation_eight(unet):
    made = plan(unet, off(**EDGE))
    scores = roi_scores(columns(unet, made, random_maps()), made)
    assert torch.allclose(energy(scores), 1 - scores.score[0, "pleural effusion"])


def test_energy_of_several_levels(unet):
    made = plan(unet, off(**(EDGE | {"energy": {"levels": "0,1"}})))
    scores = roi_scores(columns(unet, made, random_maps()), made)
    assert torch.allclose(energy(scores), 1 - scores.per_finding()["pleural effusion"])


def test_long_words_do_not_outweigh_short_ones(unet):
    task = edit_task(
        Target("pneumothorax", (1, 2, 3, 4), REGION),
        Target("mass", (5,), REGION[:, ::-1].copy()),
    )
    made = plan(unet, off(**EDGE), task)
    scores = roi_scores(columns(unet, made, random_maps()), made)
    both = [scores.score[0, name] for name in ("pneumothorax", "mass")]
    assert torch.allclose(energy(scores), 1 - (both[0] + both[1]) / 2)


def test_scores_know_their_branch(unet):
    task = edit_task(Target("effusion", (3, 4), REGION, where="negative"), mode="removal")
    made = plan(unet, off(boost={"eta": 1.5}), task)
    maps = {(0, "layer"): torch.rand(1, 2, 16, 16)}
    assert roi_scores(maps, made, branch="cond").score == {}
    assert set(roi_scores(maps, made, branch="negative").score) == {(0, "effusion")}


def test_a_vanished_level_is_left_out(unet):
    speck = Target("nodule", (3, 4), box(31, 33, 95, 97) * 0.75)
    made = plan(unet, off(boost={"eta": 1.5}), edit_task(speck))
    scores = roi_scores(columns(unet, made, random_maps()), made)
    assert set(scores.score) == {(0, "nodule"), (1, "nodule")}


def test_an_unknown_map_is_refused(unet):
    with pytest.raises(BadRequest, match="Score map"):
        roi_scores({}, plan(unet), map="best")


def test_scores_are_json_ready_even_when_not_finite(unet):
    made = plan(unet, EVERY)
    scores = roi_scores(columns(unet, made, lambda *s: torch.full(s, torch.nan)), made)
    table = scores.as_dict()
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert table["score"]["2"]["pleural effusion"] == [None]
