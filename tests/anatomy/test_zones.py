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


def test_pleural_base_has_a_meniscus() -> None:
    base = zone_mask(phantom(), "pleural_base", "left")
    assert not base[:, 60:70].any()  # the heart lies there
    tops = [int(np.flatnonzero(base[:, column])[0]) for column in range(70, 90)]
    # 70 % of rows 20 to 79 at the hilum; the rise goes with the cube of the way to the wall.
    assert (tops[0], tops[10], tops[19]) == (61, 57, 49)
    assert tops == sorted(tops, reverse=True)
    assert base[79, 70:90].all()


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


SHAPE = (100, 110)


def box(rows: slice, columns: slice, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """A filled rectangle."""
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return mask


def apart() -> Organs:
    """Lungs of 30 and 40 columns with a heart that covers neither; the midline is column 49.5."""
    rows = slice(20, 80)
    heart = box(slice(55, 80), slice(36, 58))
    return Organs(box(rows, slice(5, 35)), box(rows, slice(60, 100)), heart)


def test_retrocardiac_is_the_left_heart_and_three_tenths_of_the_left_lower_zone() -> None:
    expected = box(slice(55, 80), slice(50, 58)) | box(slice(60, 80), slice(60, 72))
    for side in (None, "both", "left"):
        assert np.array_equal(zone_mask(apart(), "retrocardiac", side), expected)
    assert np.array_equal(zone_mask(mirrored(apart()), "retrocardiac", None), expected[:, ::-1])
    alone = Organs(apart().right_lung, np.zeros(SHAPE, bool), apart().heart)
    middle = (19.5 + 55) / 2  # the image's middle stands for the lung that is not there
    left = apart().heart & (np.arange(110) > middle)
    assert np.array_equal(zone_mask(alone, "retrocardiac", None), left)


def test_the_silhouette_reaches_eight_percent_of_the_chest_and_is_cut_at_the_midline() -> None:
    lungs = box(slice(20, 80), slice(10, 20)), box(slice(20, 80), slice(50, 60))
    organs = Organs(*lungs, box(slice(40, 41), slice(35, 36)))  # 50 columns: a radius of 4
    y, x = np.mgrid[0:100, 0:110]
    disc = (y - 40) ** 2 + (x - 35) ** 2 <= 16
    assert np.array_equal(zone_mask(organs, "cardiac_silhouette", None), disc)
    assert np.array_equal(zone_mask(organs, "cardiac_silhouette", "both"), disc)
    middle = (14.5 + 54.5) / 2
    assert np.array_equal(zone_mask(organs, "cardiac_silhouette", "left"), disc & (x > middle))
    assert np.array_equal(zone_mask(organs, "cardiac_silhouette", "right"), disc & (x < middle))


def test_a_silhouette_needs_a_heart_and_without_lungs_it_is_the_heart() -> None:
    none = np.zeros(SHAPE, bool)
    heart = apart().heart
    assert np.array_equal(zone_mask(Organs(none, none, heart), "cardiac_silhouette", None), heart)
    with pytest.raises(UnsupportedImage, match=r"^The cardiac silhouette zone covers"):
        zone_mask(Organs(apart().right_lung, apart().left_lung, none), "cardiac_silhouette", None)


@pytest.mark.parametrize("heart", [None, "beside", "other side"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_with_one_lung_the_heart_tells_where_medial_is(side: str, heart: str | None) -> None:
    """Without a heart the image is taken as it usually lies: the right lung at the image's left."""
    none, lung = np.zeros(SHAPE, bool), box(slice(20, 80), slice(40, 60))
    usual = (side == "left") == (heart != "other side")  # medial lies at the lower columns
    place = slice(20, 35) if usual else slice(65, 80)
    core = none if heart is None else box(slice(50, 70), place)
    right, left = (none, lung) if side == "left" else (lung, none)
    hilum = zone_mask(Organs(right, left, core), "perihilar", side)
    expected = slice(40, 48) if usual else slice(52, 60)
    assert np.array_equal(hilum, box(slice(35, 65), expected))


def test_rows_and_columns_on_a_border_belong_to_the_lower_and_the_lateral_zone() -> None:
    shape = (12, 24)
    lungs = [box(slice(3, 9), slice(at, at + 5), shape) for at in (2, 15)]  # 6 rows, 5 columns
    organs = Organs(*lungs, np.zeros(shape, bool))
    corner = box(slice(7, 9), slice(17, 20), shape)
    assert np.array_equal(zone_mask(organs, "costophrenic", "left"), corner)
    hilum = box(slice(4, 7), slice(15, 17), shape)
    assert np.array_equal(zone_mask(organs, "perihilar", "left"), hilum)


def test_every_zone_of_a_box_is_the_box_that_its_shares_say() -> None:
    """Rows 20..79 and columns 60..99 of a left lung: thirds, tenths and the lateral rim."""
    lung = slice(20, 80), slice(60, 100)
    expected = {
        "upper": (slice(20, 40), lung[1]),
        "mid": (slice(40, 60), lung[1]),
        "lower": (slice(60, 80), lung[1]),
        "apical": (slice(20, 32), lung[1]),
        "costophrenic": (slice(65, 80), slice(80, 100)),
        "perihilar": (slice(35, 65), slice(60, 76)),
        "lung": lung,
        "lateral_rim": (lung[0], slice(94, 100)),
        "inner_lung": (slice(27, 73), slice(67, 93)),
    }
    for zone, place in expected.items():
        assert np.array_equal(zone_mask(apart(), zone, "left"), box(*place)), zone
        both = zone_mask(apart(), zone, "both")
        assert np.array_equal(both & apart().left_lung, box(*place)), zone
        assert np.array_equal(both & apart().right_lung, zone_mask(apart(), zone, "right")), zone
