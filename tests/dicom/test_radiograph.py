# SPDX-License-Identifier: Apache-2.0
"""The way back: a change of the picture becomes stored values, exactly, and nothing else moves."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from monai_cxr_cf.dicom.display import Display, is_monotone, stored_range
from monai_cxr_cf.dicom.radiograph import Radiograph, pixel_digest
from monai_cxr_cf.dicom.reading.read import read_radiograph
from monai_cxr_cf.errors import BadRequest
from tests.dicom.factory import KINDS, Spec, save
from tests.fuzz import examples

LINEAR = [kind for kind, spec in KINDS.items() if spec.voi not in ("lut", "sigmoid")]
TABLES = [kind for kind in KINDS if kind not in LINEAR]


@cache
def radiograph_of(kind: str) -> Radiograph:
    with TemporaryDirectory() as folder:
        return read_radiograph(save(Path(folder) / "a.dcm", KINDS[kind]))


@st.composite
def changes(draw: st.DrawFn, kinds: list[str]) -> tuple[Radiograph, np.ndarray]:
    """A radiograph and a change of a random rectangle: random amplitude and sign, 0 elsewhere."""
    radiograph = radiograph_of(draw(st.sampled_from(kinds)))
    rows, columns = radiograph.shape
    top, left = draw(st.integers(0, rows - 1)), draw(st.integers(0, columns - 1))
    height, width = draw(st.integers(1, rows)), draw(st.integers(1, columns))
    amplitude = draw(st.floats(-1.5, 1.5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    change = np.zeros((rows, columns), np.float32)
    patch = change[top : top + height, left : left + width]
    patch[...] = amplitude * rng.uniform(0.2, 1.0, patch.shape)
    return radiograph, change


@pytest.mark.parametrize("kind", KINDS)
def test_no_change_gives_the_source_s_stored_values(kind: str) -> None:
    radiograph = radiograph_of(kind)
    result = radiograph.to_stored(np.zeros(radiograph.shape, np.float32))
    assert result.dtype == radiograph.stored.dtype
    np.testing.assert_array_equal(result, radiograph.stored)
    assert pixel_digest(result) == radiograph.sha256


@settings(max_examples=examples(150), deadline=None)
@given(changes(list(KINDS)))
def test_any_change_stays_within_its_support_the_bits_and_off_padding(
    case: tuple[Radiograph, np.ndarray],
) -> None:
    radiograph, change = case
    result = radiograph.to_stored(change)
    untouched = (change == 0) | ~radiograph.valid
    np.testing.assert_array_equal(result[untouched], radiograph.stored[untouched])
    low, high = stored_range(radiograph.bits_stored, radiograph.signed)
    assert low <= result.min()
    assert result.max() <= high
    if radiograph.padding is not None:
        inside = (result >= radiograph.padding[0]) & (result <= radiograph.padding[1])
        assert not (inside & radiograph.valid).any()


@settings(max_examples=examples(80), deadline=None)
@given(changes(LINEAR))
def test_a_linear_window_shows_exactly_the_change_asked_for(
    case: tuple[Radiograph, np.ndarray],
) -> None:
    radiograph, change = case
    source = radiograph.pixels.astype(np.float64)
    target = source + change
    inside = (source > 0) & (source < 1) & (target > 0.07) & (target < 0.93) & radiograph.valid
    shown = radiograph.display.render(radiograph.to_stored(change))
    assert radiograph.full_scale is not None
    half_step = 0.5 / abs(radiograph.full_scale) + 1e-6
    assert np.abs(shown - target)[inside].max(initial=0.0) <= half_step


@settings(max_examples=examples(80), deadline=None)
@given(changes(TABLES))
def test_a_table_shows_the_change_to_one_step(case: tuple[Radiograph, np.ndarray]) -> None:
    radiograph, change = case
    target = radiograph.pixels.astype(np.float64) + change
    table = radiograph.display.table
    inside = (target > table.min()) & (target < table.max())
    shown = radiograph.display.render(radiograph.to_stored(change))
    step = np.abs(np.diff(table)).max() + 1e-6
    assert np.abs(shown - target)[inside].max(initial=0.0) <= step


@pytest.mark.parametrize("kind", KINDS)
def test_a_written_result_reads_back_as_itself(kind: str, tmp_path: Path) -> None:
    radiograph = radiograph_of(kind)
    change = np.zeros(radiograph.shape, np.float32)
    change[40:60, 30:50] = 0.15
    result = radiograph.to_stored(change)
    again = read_radiograph(save(tmp_path / "a.dcm", KINDS[kind], result))
    np.testing.assert_array_equal(again.stored, result)
    if KINDS[kind].voi != "none":  # a percentile window follows the pixels
        np.testing.assert_array_equal(again.pixels[change == 0], radiograph.pixels[change == 0])
        assert (again.pixels - radiograph.pixels)[change > 0].mean() > 0.1


def test_brighter_is_lower_in_monochrome1_and_with_a_negative_slope(tmp_path: Path) -> None:
    change = np.full((120, 96), 0.1, np.float32)
    for spec, sign in (
        (Spec(sop="CR"), 1),
        (Spec(sop="CR", photometric="MONOCHROME1"), -1),
        (Spec(sop="CR", slope=-1.0), -1),
        (Spec(sop="CR", photometric="MONOCHROME1", slope=-1.0), 1),
        (Spec(sop="CR", photometric="MONOCHROME1", voi="sigmoid"), -1),
        (Spec(sop="CR", photometric="MONOCHROME1", voi="lut"), -1),
    ):
        radiograph = read_radiograph(save(tmp_path / "a.dcm", spec))
        step = radiograph.to_stored(change).astype(int) - radiograph.stored.astype(int)
        assert (np.sign(step) == sign).mean() > 0.99


def test_full_scale_is_width_over_slope(tmp_path: Path) -> None:
    spec = Spec(sop="CR", slope=0.5, voi="exact").with_(WindowCenter=1000, WindowWidth=1500)
    radiograph = read_radiograph(save(tmp_path / "a.dcm", spec))
    assert radiograph.full_scale == 3000.0
    assert radiograph.voi.as_dict()["slope"] == 0.5


@pytest.fixture
def padded() -> Radiograph:
    return radiograph_of("cr-mono2-12-padded")


def test_a_change_stops_beside_the_padding_value(padded: Radiograph) -> None:
    darker = padded.to_stored(np.full(padded.shape, -2.0, np.float32))
    assert (darker[padded.valid] == 1).all()
    assert (darker[~padded.valid] == 0).all()


def test_a_change_does_not_cross_into_a_padding_range_amid_the_values(tmp_path: Path) -> None:
    spec = Spec(sop="CR").with_(PixelPaddingValue=1400, PixelPaddingRangeLimit=1500)
    radiograph = read_radiograph(save(tmp_path / "a.dcm", spec))
    for amount in (-0.24, 0.08):
        result = radiograph.to_stored(np.full(radiograph.shape, amount, np.float32))
        inside = (result >= 1400) & (result <= 1500)
        np.testing.assert_array_equal(inside, ~radiograph.valid)
        stopped = 1501 if amount < 0 else 1399
        assert (result == stopped).any()


@pytest.mark.parametrize("bad", ["shape", "nan", "inf"])
def test_a_change_that_means_nothing_is_refused(bad: str, padded: Radiograph) -> None:
    change = np.zeros(padded.shape if bad != "shape" else (3, 4), np.float32)
    change[0, 0] = {"nan": np.nan, "inf": np.inf}.get(bad, 0.0)
    with pytest.raises(BadRequest):
        padded.to_stored(change)


def test_the_digest_is_of_the_native_pixel_bytes(tmp_path: Path) -> None:
    import hashlib

    path = save(tmp_path / "a.dcm")
    assert read_radiograph(path).sha256 == hashlib.sha256(dcmread(path).PixelData).hexdigest()


def test_a_coarse_lut_moves_whole_steps_by_whole_steps() -> None:
    table = np.repeat(np.arange(16) / 15.0, 16)  # 256 stored values on 16 greys
    for rising in (table, table[::-1]):
        display = Display(0, rising)
        stored = np.arange(48, 200)
        moved = stored + np.rint(display.delta(stored, np.full(stored.shape, 2 / 15)))
        shown = display.render(moved.astype(np.int64)) - display.render(stored)
        np.testing.assert_allclose(shown, 2 / 15, atol=1e-6)


def test_the_width_of_a_saturated_end_does_not_enter_a_change() -> None:
    table = np.clip((np.arange(1000) - 400) / 200.0, 0.0, 1.0)
    display = Display(0, table)
    stored = np.array([300, 400, 500, 600, 900])
    np.testing.assert_allclose(display.delta(stored, np.full(5, 0.25))[:3], [50, 50, 50], atol=1e-9)
    np.testing.assert_allclose(display.delta(stored, np.full(5, -0.25))[2:], -50.0, atol=1e-9)


STEPS = np.array([0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0])


@pytest.mark.parametrize("sign", [1, -1])
def test_a_step_stands_at_its_middle_and_an_end_at_its_inner_edge(sign: int) -> None:
    """Stored -5..4: greys at -3 (inner edge of the first), -0.5 (middle) and 2 (inner edge)."""
    display = Display(-5, STEPS[::sign])
    stored = np.arange(-5, 5)
    np.testing.assert_array_equal(display.render(stored), STEPS[::sign].astype(np.float32))
    assert (display.low, display.high) == (-5, 4)
    for change, step in ((0.5, 2.5), (0.25, 1.25)):
        moved = display.delta(stored, np.full(10, change)) * sign
        np.testing.assert_allclose(moved[STEPS[::sign] < 1], step, atol=1e-12)
        np.testing.assert_allclose(moved[STEPS[::sign] == 1], 0.0, atol=1e-12)
        moved = display.delta(stored, np.full(10, -change)) * sign
        np.testing.assert_allclose(moved[STEPS[::sign] > 0], -step, atol=1e-12)


def test_a_linear_window_maps_a_change_beyond_its_ends_as_well() -> None:
    display = Display(-5, STEPS, -40.0)
    moved = display.delta(np.arange(-5, 5), np.full(10, 0.25))
    np.testing.assert_array_equal(moved, np.full(10, -10.0))


@pytest.mark.parametrize(
    ("bits", "signed", "expected"),
    [(8, False, (0, 255)), (8, True, (-128, 127)), (12, True, (-2048, 2047)),
     (16, False, (0, 65535))],
)  # fmt: skip
def test_the_range_of_stored_values(bits: int, signed: bool, expected: tuple[int, int]) -> None:
    assert stored_range(bits, signed) == expected


def test_monotone_means_it_never_turns_back() -> None:
    assert is_monotone(np.array([0, 0, 1, 2, 2]))
    assert is_monotone(np.array([3, 1, 1, 0]))
    assert not is_monotone(np.array([0, 1, 0]))
