# SPDX-License-Identifier: Apache-2.0
"""Where a change acts: shares that sum to the whole, flips that are the smallest, moved changes."""

import numpy as np
import pytest

from monai_cxr_cf.audit.figures.facts import Facts
from monai_cxr_cf.audit.measuring.flip import smallest_flip
from monai_cxr_cf.audit.measuring.parts import (
    in_and_out,
    mirrored,
    organ_parts,
    outside,
    scrambled,
    shapley,
    zone_parts,
)
from monai_cxr_cf.audit.measuring.score import MARKS, measure_picture, measure_trial, target_of
from monai_cxr_cf.shifts.table import SHIFTS
from tests.audit import stubs

SOURCE = np.full((64, 64), 0.2, np.float32)
EVERYWHERE = np.full((64, 64), 0.3, np.float32)


def scores_of(function):
    """Images -> (N, 1)."""
    return lambda images: np.array([[function(image)] for image in images])


@pytest.mark.parametrize("organ", ["right_lung", "left_lung", "heart", "rest"])
def test_a_planted_organ_carries_all_of_it(organ):
    parts = organ_parts(stubs.ORGANS)
    score = scores_of(lambda image: stubs.squash(9 * (image[parts[organ]].mean() - 0.35)))
    found = shapley(score, SOURCE, EVERYWHERE, parts)
    whole = score([SOURCE + EVERYWHERE])[0, 0] - score([SOURCE])[0, 0]
    assert found[organ][0] / whole >= 0.95
    assert sum(value[0] for value in found.values()) == pytest.approx(whole)


def test_shares_of_organs_that_act_together_sum_to_the_whole():
    parts = organ_parts(stubs.ORGANS)
    both = scores_of(lambda x: x[parts["left_lung"]].mean() * x[parts["right_lung"]].mean())
    found = shapley(both, SOURCE, EVERYWHERE, parts)
    assert found["left_lung"][0] == pytest.approx(found["right_lung"][0]) == pytest.approx(0.105)
    assert found["heart"][0] == pytest.approx(0, abs=1e-9)
    lung = np.where(stubs.ORGANS.left_lung, EVERYWHERE, 0)
    assert shapley(both, SOURCE, lung, parts)["right_lung"][0] == 0


def test_zones_do_not_overlap_and_name_the_angle():
    zones = zone_parts(stubs.ORGANS)
    assert sum(mask.astype(int) for mask in zones.values()).max() == 1
    assert np.array_equal(np.any(list(zones.values()), axis=0), stubs.ORGANS.lungs)
    score = scores_of(stubs.in_corner)
    found = in_and_out(score, SOURCE, EVERYWHERE, zones)
    best = max(found, key=lambda zone: found[zone][0])
    assert best == "left_costophrenic"
    assert in_and_out(score, SOURCE, 0 * EVERYWHERE, zones) == {}


def test_a_change_on_the_other_side_and_outside():
    change = np.where(stubs.CORNER["left"], 0.4, 0).astype(np.float32)
    other = mirrored(change, stubs.ORGANS)
    assert other.sum() == pytest.approx(change.sum())
    assert ((other > 0) & stubs.ORGANS.right_lung).sum() >= 0.9 * (change > 0).sum()
    noise = scrambled(change)
    assert np.array_equal(np.abs(noise), np.abs(change))
    assert abs(noise.sum()) < 0.3 * change.sum()
    away = outside(change, stubs.ORGANS)
    assert away.sum() == pytest.approx(change.sum())
    assert not ((away != 0) & stubs.ORGANS.union).any()
    assert outside(0 * change, stubs.ORGANS) is None
    assert outside(EVERYWHERE, stubs.ORGANS) is None


def test_the_smallest_flip():
    change = np.zeros((64, 64), np.float32)
    change[:10, :10] = np.linspace(0.1, 1, 100).reshape(10, 10)
    want = {"threshold": 0.5, "band": 0.1}

    def mean(images):
        return np.array([image[:10, :10].mean() / 0.55 for image in images])

    found = smallest_flip(mean, 0 * SOURCE, change, **want)
    assert found.kind == "flips"
    assert found.level == 0.5
    assert found.area == pytest.approx(0.33, abs=0.03)  # the brightest third holds half of it
    assert smallest_flip(mean, 0 * SOURCE, 0.4 * change, **want).kind == "never"
    assert smallest_flip(mean, 0 * SOURCE + 1, change, **want).kind == "already there"
    wide = {"threshold": 0.5, "band": 2}
    assert smallest_flip(mean, 0 * SOURCE, change, **wide).kind == "less than its sham"
    down = smallest_flip(mean, change, -change, **want, up=False)
    assert (down.kind, down.level) == ("flips", pytest.approx(0.5, abs=0.02))


def test_records_hold_what_the_figures_need_and_no_more_of_a_refused_edit():
    rng = np.random.default_rng(0)
    model = stubs.classifier(stubs.in_corner)
    shown = stubs.picture(1, rng)
    record = measure_picture(model, shown)
    assert set(record["shifts"]) == set(SHIFTS)
    assert record["source"] == record["again"]
    assert record["truth"] == {"Effusion": True}
    good = measure_trial(model, stubs.trial(shown, stubs.EFFUSIONS[0], rng))
    assert set(good["marked"]) == set(MARKS)
    assert (good["name"], len(good["edited"]), good["levels"]) == (
        "pleural effusion, left", 2, [0.5, 1.0])  # fmt: skip
    bad = measure_trial(model, stubs.trial(shown, stubs.EFFUSIONS[0], rng, verdict="failed"))
    assert "organs" not in bad
    assert bad["why"] == ["texture"]


def test_a_score_is_known_by_any_name_of_its_finding():
    labels = ("Cardiomegaly", "Pleural_Effusion", "Lung Lesion")
    assert target_of(labels, "pleural effusion") == 1
    assert target_of(labels, "cardiomegaly") == 0
    assert target_of(labels, "pneumothorax") is None
    facts = Facts(labels, [], [])
    assert facts.scored("pneumothorax") == [0, 1, 2]
    assert facts.watched() == [0, 1, 2]
