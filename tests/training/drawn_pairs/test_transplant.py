# SPDX-License-Identifier: Apache-2.0
"""Opacities: measured where they are, carried to the asked side and zone, taken away again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from monai_cxr_cf.training.drawn_pairs.drawing import LUNG, SEVERITIES, ZONE_ROWS, Drawing, box
from monai_cxr_cf.training.drawn_pairs.lungframe import FRAME, INSIDE, Chest
from monai_cxr_cf.training.drawn_pairs.shares import invent
from monai_cxr_cf.training.drawn_pairs.transplant import (
    Healthy,
    Opacity,
    detail,
    heal,
    is_clear,
    look,
    measure,
    opacities,
    strength,
    transplant,
    treatable,
    visible,
    zone_opacity,
)
from tests.training.phantom import chest


@pytest.fixture(scope="module")
def healthy() -> Healthy:
    return Healthy.of([Chest(*chest(seed)) for seed in range(3)])


def _put(what: Drawing, seed: int = 0) -> tuple[Chest, Chest, np.ndarray]:
    clear = Chest(*chest(7))
    rng = np.random.default_rng(seed)
    drawn, weight = transplant(clear, Opacity(what, invent(what, rng)), rng=rng)
    return clear, Chest(drawn, clear.labels), weight


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_frame_gives_back_what_was_put_in(side: str) -> None:
    lung = Chest(*chest())
    down = np.linspace(0, 1, FRAME[0], dtype=np.float32)[:, None] * np.ones(FRAME, np.float32)
    again = lung.frame(side).pull(lung.frame(side).push(down))
    assert np.abs(again - down)[INSIDE].mean() < 0.03


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("zone", sorted(ZONE_ROWS))
def test_a_consolidation_lies_in_its_zone_and_on_its_side(side: str, zone: str) -> None:
    clear, ill, _ = _put(Drawing("consolidation", side, zone, "severe"))
    change = ill.image - clear.image
    assert np.abs(change[clear.labels == 3 - LUNG[side]]).max() < 1e-6
    top, bottom, *_ = box(clear.lung(side))
    rows = np.flatnonzero((change * clear.lung(side)).sum(1) > 1.0)
    low, high = ZONE_ROWS[zone]
    middle = (np.average(rows) - top) / (bottom - top)
    assert low - 0.05 < middle < high + 0.05


@pytest.mark.parametrize("side", ["right", "left"])
def test_an_effusion_keeps_to_its_side_and_hides_the_base(side: str) -> None:
    clear, ill, weight = _put(Drawing("effusion", side, "", "moderate"))
    far = distance_transform_edt(~clear.lung(side)) > 16
    assert np.array_equal(ill.image[far], clear.image[far])
    assert weight[far].max() < 0.05
    top, bottom, *_ = box(clear.lung(side))
    deep = clear.lung(side).copy()
    deep[: top + int(0.93 * (bottom - top))] = False
    assert ill.image[deep].mean() > 0.62


@pytest.mark.parametrize("finding", ["effusion", "consolidation", "edema"])
def test_measured_strength_rises_with_the_degree(finding: str, healthy: Healthy) -> None:
    zone = "mid" if finding == "consolidation" else ""
    amounts = []
    for degree in SEVERITIES:
        share = [invent(Drawing(finding, "left", zone, degree), np.random.default_rng(s))
                 for s in range(6)]  # fmt: skip
        amounts.append(float(np.mean([strength(s, zone) for s in share])))
    assert amounts[0] < amounts[1] < amounts[2]
    seen = [visible(*_seen(finding, zone, degree)) for degree in SEVERITIES]
    assert seen == sorted(seen)


def _seen(finding: str, zone: str, degree: str) -> tuple[Chest, np.ndarray, str]:
    clear, ill, _ = _put(Drawing(finding, "left", zone, degree), 3)
    return clear, ill.image, "left"


@pytest.mark.parametrize("side", ["right", "left"])
def test_an_opacity_is_measured_where_it_was_put(side: str, healthy: Healthy) -> None:
    _, ill, _ = _put(Drawing("consolidation", side, "upper", "severe"))
    other = "left" if side == "right" else "right"
    zones = zone_opacity(measure(ill, side, healthy))
    assert zones["upper"] > 0.15
    assert max(zones["lower"], *zone_opacity(measure(ill, other, healthy)).values()) < 0.05
    assert not is_clear(ill, healthy)
    found = opacities(look(ill, healthy), {"consolidation"})
    assert {(o.what.side, o.what.zone) for o in found} == {(side, "upper")}


def test_fluid_is_told_from_solid_lung(healthy: Healthy) -> None:
    _, ill, _ = _put(Drawing("effusion", "left", "", "severe"))
    found = opacities(look(ill, healthy), {"effusion", "consolidation"})
    assert [(o.what.finding, o.what.side) for o in found] == [("effusion", "left")]


def test_the_other_side_gets_the_mirrored_opacity() -> None:
    what = Drawing("consolidation", "right", "mid", "severe")
    right = Opacity(what, invent(what, np.random.default_rng(1)))
    left = replace(right, what=replace(what, side="left"))
    clear = Chest(*chest())
    rows = []
    for opacity in (right, left):
        drawn, _ = transplant(clear, opacity, rng=np.random.default_rng(2))
        rows.append((drawn - clear.image).sum(1))
    assert np.corrcoef(rows[0], rows[1])[0, 1] > 0.95


@pytest.mark.parametrize("side", ["right", "left"])
def test_healing_clears_the_lung_and_leaves_the_rest(side: str, healthy: Healthy) -> None:
    clear, ill, _ = _put(Drawing("effusion", side, "", "severe"))
    (opacity,) = treatable(look(ill, healthy), {"effusion"})
    assert opacity.what.side == side
    healed, weight = heal(ill, opacity, donor=Chest(*chest(9)), rng=np.random.default_rng(0))
    lung = clear.lung(side)
    before = np.abs(ill.image - clear.image)[lung].mean()
    assert np.abs(healed - clear.image)[lung].mean() < 0.4 * before
    far = distance_transform_edt(~lung) > 20
    assert np.abs(healed - ill.image)[far].max() < 1e-3
    assert weight[far].max() < 1e-3


def test_a_clear_chest_is_clear(healthy: Healthy) -> None:
    clear = Chest(*chest(11))
    assert is_clear(clear, healthy)
    assert treatable(look(clear, healthy), {"effusion", "consolidation"}) == []


@pytest.mark.parametrize("seed", range(4))
def test_fluid_stands_higher_at_the_wall_than_at_the_heart(seed: int) -> None:
    share = invent(Drawing("effusion", "left", "", "moderate"), np.random.default_rng(seed))
    tops = [int(np.argmax(share[:, column] > 0.45)) for column in (10, 36, 60)]
    assert tops[0] + 8 < min(tops[1:])


def test_a_fissure_is_a_thin_line_of_the_right_lung_alone() -> None:
    seen = {"right": 0, "left": 0}
    for side, seed in ((side, seed) for side in seen for seed in range(30)):
        share = invent(Drawing("effusion", side, "", "moderate"), np.random.default_rng(seed))
        middle = share[54:76, 36]
        seen[side] += bool((middle > 0.3).any() and (middle < 0.15).any() and middle[-1] < 0.2)
    assert 3 < seen["right"] < 20
    assert seen["left"] == 0


def test_oedema_keeps_vessels_and_fluid_hides_most_of_them() -> None:
    image, labels = chest(7)
    lines = 0.06 * (np.arange(len(image)) % 12 < 3)[:, None] * (labels > 0)
    clear = Chest(np.clip(image + lines, 0, 1).astype(np.float32), labels)
    kept = {}
    for what in (Drawing("edema", "left", "", "severe"), Drawing("effusion", "left", "", "severe")):
        share = np.full(FRAME, 0.8, np.float32)
        drawn, _ = transplant(clear, Opacity(what, share), rng=np.random.default_rng(0))
        deep = distance_transform_edt(clear.lung("left")) > 8
        before, after = (detail(x, clear.lung("left"))[deep].std() for x in (clear.image, drawn))
        kept[what.finding] = after / before
    assert kept["edema"] > 0.85
    assert kept["effusion"] < 0.6
