# SPDX-License-Identifier: Apache-2.0
"""Scores of several findings, levels and layers against sums over numbers; the energy on them."""

import pytest
import torch

from monai_cxr_cf.diffusion.correction.scores import Scores, energy, finite_values, roi_scores
from monai_cxr_cf.diffusion.task import Target
from tests.diffusion.small import REGION, edit_task, off, plan, small_unet

MIRROR = REGION[:, ::-1].copy()


@pytest.fixture(scope="module")
def made():
    task = edit_task(
        Target("edema", (9, 4), REGION, eta=0.5),
        Target("mass", (4, 2), MIRROR),
        Target("nodule", (7,), MIRROR, where="negative"),
        mode="mixed",
    )
    return plan(small_unet(), off(boost={"eta": 2.0}, energy={"levels": "0,2"}), task)


def recorded(made, branch):
    """Random columns of layers: one at level 0, two at level 1, three at level 2; two images."""
    generator = torch.Generator().manual_seed(6)
    return {
        (level, f"layer {level}.{i}"): torch.rand(
            2, len(made.tokens[branch]), *made.omega[level].shape[-2:], generator=generator
        )
        for level in range(3)
        for i in range(level + 1)
    }


def share(maps, omega):
    """Eq. 7 of one map."""
    total = sum(maps.flatten().tolist())
    inside = sum(
        a * o for a, o in zip(maps.flatten().tolist(), omega.flatten().tolist(), strict=True)
    )
    return inside / total


def by_hand(made, columns, *, branch, finding, level, eta=None):
    """Mean over layers and tokens, for each image; ``eta`` = {token: (gain, omega)} boosts."""
    own = [made.tokens[branch][j] for j in made.finding_tokens[branch][finding]]
    omega = made.omega[level][finding]
    found = []
    for image in range(2):
        shares = []
        for (at, _), maps in columns.items():
            for token in own if at == level else ():
                one = maps[image, made.tokens[branch].index(token)]
                shares.append(share(one if eta is None else one * eta(token, level), omega))
        found.append(sum(shares) / len(shares))
    return found


def test_raw_scores_of_each_branch(made):
    for branch, findings in (("cond", {0: "edema", 1: "mass"}), ("negative", {2: "nodule"})):
        columns = recorded(made, branch)
        scores = roi_scores(columns, made, branch=branch)
        assert set(scores.score) == {(at, name) for at in range(3) for name in findings.values()}
        assert scores.layers == {0: 1, 1: 2, 2: 3}
        assert scores.energy_levels == (0, 2)
        for f, name in findings.items():
            for level in range(3):
                expected = by_hand(made, columns, branch=branch, finding=f, level=level)
                assert scores.score[level, name].tolist() == pytest.approx(expected, rel=1e-4)
                mean = float(made.omega[level][f].mean())
                lift = [(s - mean) / (1 - mean) for s in expected]
                assert scores.lift[level, name].tolist() == pytest.approx(lift, rel=1e-3)


def test_boosted_scores_use_the_gain_of_each_token_of_the_branch(made):
    def cond(token, level):
        near, far = made.omega[level][0], made.omega[level][1]
        return 1 + {9: 0.5 * near, 4: torch.maximum(0.5 * near, 2 * far), 2: 2 * far}[token]

    def negative(token, level):
        return 1 + 2 * made.omega[level][2]

    for branch, eta, findings in (("cond", cond, (0, 1)), ("negative", negative, (2,))):
        columns = recorded(made, branch)
        scores = roi_scores(columns, made, map="boosted", branch=branch)
        for f in findings:
            expected = by_hand(made, columns, branch=branch, finding=f, level=1, eta=eta)
            assert scores.score[1, made.findings[f]].tolist() == pytest.approx(expected, rel=1e-4)


def test_the_boosted_score_is_the_raw_one_where_no_gain_acts():
    made = plan(small_unet(), off(), edit_task(Target("edema", (3,), REGION)))
    columns = recorded(made, "cond")
    raw, boosted = (roi_scores(columns, made, map=kind).score for kind in ("raw", "boosted"))
    assert all(torch.equal(raw[key], boosted[key]) for key in raw)


def test_attention_that_is_zero_everywhere_scores_zero(made):
    columns = {key: torch.zeros_like(maps) for key, maps in recorded(made, "cond").items()}
    assert all(value.tolist() == [0, 0] for value in roi_scores(columns, made).score.values())


def scores(table, layers, levels):
    tensors = {key: torch.tensor(value, dtype=torch.float64) for key, value in table.items()}
    lift = {key: value - 0.125 for key, value in tensors.items()}
    return Scores(score=tensors, lift=lift, layers=layers, energy_levels=levels)


TABLE = {
    (0, "edema"): [0.9, 0.1],
    (1, "edema"): [0.5, 0.3],
    (2, "edema"): [0.2, 0.7],
    (1, "mass"): [0.25, 0.75],
}
MANY = scores(TABLE, {0: 1, 1: 2, 2: 5}, (1, 2))
S = {"edema": [(2 * 0.5 + 5 * 0.2) / 7, (2 * 0.3 + 5 * 0.7) / 7], "mass": [0.25, 0.75]}


def test_a_finding_scores_the_mean_over_all_layers_of_the_energy_levels():
    found = MANY.per_finding()
    assert list(found) == ["edema", "mass"]
    for name, expected in S.items():
        assert found[name].tolist() == pytest.approx(expected)


def test_the_energy_is_the_mean_over_findings():
    expected = [(1 - a + 1 - b) / 2 for a, b in zip(*S.values(), strict=True)]
    assert energy(MANY).tolist() == pytest.approx(expected)


def test_scores_as_a_table():
    table = MANY.as_dict()
    assert table["score"]["1"] == {"edema": [0.5, 0.3], "mass": [0.25, 0.75]}
    assert table["score"]["0"] == {"edema": [0.9, 0.1]}
    assert table["lift"]["1"] == {"edema": [0.375, pytest.approx(0.175)], "mass": [0.125, 0.625]}
    assert finite_values(torch.tensor([1.0, torch.nan, torch.inf, -torch.inf])) == [
        1,
        None,
        None,
        None,
    ]


def test_a_region_that_is_everything_has_no_lift():
    made = plan(small_unet(), off(), edit_task(Target("edema", (3,), REGION)))
    for omega in made.omega.values():
        omega[:] = 1
    found = roi_scores(recorded(made, "cond"), made)
    assert all(value.tolist() == pytest.approx([1, 1]) for value in found.score.values())
    assert all(value.tolist() == [0, 0] for value in found.lift.values())
