# SPDX-License-Identifier: Apache-2.0
"""Zones lie where radiologists mean them, on the patient's side, on mirrored images too."""

import numpy as np
import pytest

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.anatomy.zones import region_mask, zone_mask
from monai_cxr_cf.errors import BadRequest, UnsupportedImage
from monai_cxr_cf.prompts.findings import VOCABULARY, ZONES, region_terms


def phantom() -> Organs:
    """Two 60 x 30 lungs and a heart between them on 100 x 100; the right lung is at image left."""
    labels = np.zeros((100, 100), np.uint8)
    labels[20:80, 10:40] = 1
    labels[20:80, 60:90] = 2
    labels[55:80, 38:70] = 3
    return Organs.from_labels(labels)


def mirrored(organs: Organs) -> Organs:
    """The same patient on a mirrored image: the labels stay with the organs."""
    return Organs(*(mask[:, ::-1] for mask in organs.as_dict().values()))


TERMS = [(zone, side) for zone in ZONES for side in ("left", "right", "both", None)]
TERMS.remove(("retrocardiac", "right"))  # lies on the patient's left only


@pytest.mark.parametrize(("zone", "side"), TERMS)
def test_mirrored_image_gives_the_mirrored_zone(zone: str, side: str | None) -> None:
    here, there = zone_mask(phantom(), zone, side), zone_mask(mirrored(phantom()), zone, side)
    # A pixel centre on the midline may fall to either side.
    assert (here != there[:, ::-1]).sum() <= 60


@pytest.mark.parametrize(("side", "columns"), [("right", slice(10, 40)), ("left", slice(60, 90))])
def test_side_is_the_patients(side: str, columns: slice) -> None:
    lung = zone_mask(phantom(), "lung", side)
    assert lung[:, columns].sum() == lung.sum() > 0
    assert zone_mask(mirrored(phantom()), "lung", side)[:, ::-1][:, columns].any()


def test_thirds_partition_the_lung() -> None:
    organs = phantom()
    parts = [zone_mask(organs, zone, "right") for zone in ("upper", "mid", "lower")]
    assert np.array_equal(np.sum(parts, 0), organs.right_lung.astype(int))
    rows = [np.flatnonzero(part.any(1)) for part in parts]
    assert rows[0][-1] < rows[1][0] <= rows[1][-1] < rows[2][0]


def test_apical_is_the_top_fifth_and_costophrenic_the_lowest_lateral_corner() -> None:
    organs = phantom()
    assert set(np.flatnonzero(zone_mask(organs, "apical", "left").any(1))) == set(range(20, 32))
    corner = zone_mask(organs, "costophrenic", "right")
    assert np.flatnonzero(corner.any(1)).min() == 65
    assert np.flatnonzero(corner.any(0)).max() == 24  # lateral half of columns 10..39
    corner = zone_mask(organs, "costophrenic", "left")
    assert np.flatnonzero(corner.any(0)).min() == 75


def test_perihilar_is_medial_and_the_rim_lateral() -> None:
    organs = phantom()
    hilum, rim = zone_mask(organs, "perihilar", "left"), zone_mask(organs, "lateral_rim", "left")
    assert set(np.flatnonzero(hilum.any(0))) == set(range(60, 72))
    assert set(np.flatnonzero(rim.any(0))) <= set(range(85, 90))
    assert not (hilum & rim).any()


def test_rim_follows_a_slanted_wall() -> None:
    labels = np.zeros((60, 60), np.uint8)
    for row in range(10, 50):
        labels[row, 5 + row // 4 : 28] = 1
    labels[10:50, 32:55] = 2
    rim = zone_mask(Organs.from_labels(labels), "lateral_rim", "right")
    assert all(rim[row, 5 + row // 4] for row in range(10, 50))


def test_retrocardiac_lies_on_the_left_and_silhouette_surrounds_the_heart() -> None:
    organs = phantom()
    behind, around = (
        zone_mask(organs, "retrocardiac", None),
        zone_mask(organs, "cardiac_silhouette", None),
    )
    assert np.flatnonzero(behind.any(0)).min() >= 49
    assert (around & organs.heart).sum() == organs.heart.sum() < around.sum()
    grown = np.flatnonzero(around.any(1))
    assert grown.min() == 55 - 6  # 8 % of 80 columns, Euclidean


def test_region_is_the_union_of_its_terms() -> None:
    organs = phantom()
    union = region_mask(organs, [("costophrenic", "left"), ("lower", "left")])
    expected = zone_mask(organs, "costophrenic", "left") | zone_mask(organs, "lower", "left")
    assert np.array_equal(union, expected)


@pytest.mark.parametrize("finding", sorted(VOCABULARY))
def test_every_finding_has_a_region(finding: str) -> None:
    assert region_mask(phantom(), region_terms(finding)).any()


def test_empty_zone_is_refused_and_unknown_words_are_answered() -> None:
    labels = np.zeros((50, 50), np.uint8)
    labels[10:40, 5:20] = 1
    with pytest.raises(UnsupportedImage, match="left lower zone covers no pixel"):
        zone_mask(Organs.from_labels(labels), "lower", "left")
    with pytest.raises(BadRequest, match="Unknown zone"):
        zone_mask(phantom(), "abdomen", None)
    with pytest.raises(BadRequest, match="Unknown side"):
        zone_mask(phantom(), "lower", "top")
    with pytest.raises(BadRequest, match="no zone"):
        region_mask(phantom(), [])
