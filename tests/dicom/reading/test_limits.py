# SPDX-License-Identifier: Apache-2.0
"""Where the strict reader draws its lines: the last value that passes and the first that fails."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.reading import series
from monai_cxr_cf.dicom.reading.identity import check_identity
from monai_cxr_cf.dicom.reading.lut import apply_lut
from monai_cxr_cf.dicom.reading.matrix import Matrix, check_matrix, check_polarity, check_size
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_radiograph
from monai_cxr_cf.dicom.reading.view import view_of
from monai_cxr_cf.errors import BadRequest, UnreadableInput, UnsupportedImage
from tests.dicom.factory import Spec, build, code, save
from tests.dicom.reading.test_series import beside


def test_sizes_pass_up_to_their_limits() -> None:
    options = ReadOptions(max_pixels=12000, min_side=100)
    check_size(100, 120, options)
    check_size(120, 100, options)
    with pytest.raises(UnsupportedImage, match="120 x 99"):
        check_size(120, 99, options)
    for rows, columns, found in ((100, 121, "many_pixels"), (99, 120, "small"), (99, 99, "small")):
        with pytest.raises(UnsupportedImage) as caught:
            check_size(rows, columns, options)
        assert caught.value.code == f"too_{found}"


def test_a_file_passes_up_to_the_limit_of_its_bytes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.dcm")
    size = path.stat().st_size
    read_radiograph(path, options=ReadOptions(max_bytes=size))
    with pytest.raises(UnreadableInput) as caught:
        read_radiograph(path, options=ReadOptions(max_bytes=size - 1))
    assert caught.value.code == "too_many_bytes"


@pytest.mark.parametrize("name", ["max_pixels", "max_bytes", "min_side"])
def test_a_limit_is_at_least_one(name: str) -> None:
    assert getattr(ReadOptions(**{name: 1}), name) == 1
    with pytest.raises(BadRequest, match=name):
        ReadOptions(**{name: 0})
    assert ReadOptions() == ReadOptions(64_000_000, 512_000_000, 64)
    assert not any(v for k, v in vars(ReadOptions()).items() if k[:5] in ("allow", "ignor"))


@pytest.mark.parametrize(
    ("bits", "ok"),
    [
        ((8, 8, 7, 0), True), ((8, 8, 7, 1), True), ((16, 8, 7, 0), True), ((16, 12, 11, 1), True),
        ((16, 16, 15, 0), True), ((8, 7, 6, 0), False), ((16, 7, 6, 0), False),
        ((8, 9, 8, 0), False), ((16, 17, 16, 0), False), ((32, 16, 15, 0), False),
        ((12, 12, 11, 0), False), ((16, 12, 12, 0), False), ((16, 12, 10, 0), False),
        ((16, 12, 11, 2), False), ((16, 12, 11, -1), False),
    ],
)  # fmt: skip
def test_bits_are_8_to_16_with_the_high_bit_on_top(bits: tuple[int, ...], ok: bool) -> None:
    ds = Dataset()
    ds.Rows, ds.Columns, ds.SamplesPerPixel = 100, 120, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits[:3]
    ds.add_new(0x00280103, "SS", bits[3])
    if not ok:
        with pytest.raises(UnsupportedImage) as caught:
            check_matrix(ds, ReadOptions())
        assert caught.value.code == "bits"
        return
    assert check_matrix(ds, ReadOptions()) == Matrix(100, 120, bits[0], bits[1], bits[3] == 1)


def test_a_matrix_knows_its_bytes_type_and_limits() -> None:
    signed, plain = Matrix(3, 5, 16, 12, True), Matrix(3, 5, 8, 8, False)
    assert (signed.nbytes, signed.dtype, signed.limits) == (30, "int16", (-2048, 2047))
    assert (plain.nbytes, plain.dtype, plain.limits) == (15, "uint8", (0, 255))


@pytest.mark.parametrize(
    ("photometric", "shape", "found"),
    [
        ("MONOCHROME1", "INVERSE", "MONOCHROME1"), ("MONOCHROME1", None, "MONOCHROME1"),
        ("MONOCHROME2", "IDENTITY", "MONOCHROME2"), ("MONOCHROME2", None, "MONOCHROME2"),
        ("MONOCHROME1", "IDENTITY", None), ("MONOCHROME2", "INVERSE", None),
    ],
)  # fmt: skip
def test_polarity_is_decided_once(photometric: str, shape: str | None, found: str | None) -> None:
    ds = Dataset()
    ds.PhotometricInterpretation = photometric
    if shape:
        ds.PresentationLUTShape = shape
    for asked, answer in (("mono1", "MONOCHROME1"), ("mono2", "MONOCHROME2")):
        assert check_polarity(ds, ReadOptions(polarity=asked)) == answer
    if found is None:
        with pytest.raises(UnsupportedImage):
            check_polarity(ds, ReadOptions())
    else:
        assert check_polarity(ds, ReadOptions()) == found


UID64 = "1.2." + "3" * 60


@pytest.mark.parametrize(
    ("uid", "refused"),
    [
        (UID64, None), ("1", None), (UID64 + "4", "invalid_uid"), ("1.2.", "invalid_uid"),
        ("1..2", "invalid_uid"), (".1.2", "invalid_uid"), ("1.2/3", "invalid_uid"),
        ("", "missing_uid"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.filterwarnings("ignore:.*Invalid value for VR UI")
def test_every_uid_is_digits_and_dots_of_64_at_most(
    keyword: str, uid: str, refused: str | None
) -> None:
    ds = build()
    setattr(ds, keyword, uid)
    if refused is None:
        assert check_identity(ds, ReadOptions()) == []
        return
    with pytest.raises(UnsupportedImage, match=keyword) as caught:
        check_identity(ds, ReadOptions())
    assert caught.value.code == refused


def identified(**fields: Any) -> str:
    """The code of the refusal of a header with these fields; empty if it passes."""
    try:
        check_identity(build(Spec(sop="CR").with_(**fields)), ReadOptions())
    except UnsupportedImage as error:
        return error.code
    return ""


@pytest.mark.parametrize("part", ["CHEST", "chest ", "THORAX", "TORAX AP", "LUNGS", "HEART", "",
                                  "UNKNOWN", "OTHER", "NONE", "UNSPECIFIED", "N/A"])  # fmt: skip
def test_a_chest_or_no_part_passes(part: str) -> None:
    assert identified(BodyPartExamined=part) == ""


CHEST_CODES = (
    "816094009 51185008 43799004 39607008 72410000 80891009 416550000 416319003 417437006 "
    "416152001 416775004 T-D3000 T-D3200 T-28000 T-D3300 T-32000 R-FAB55 R-FAB54 R-FAB52 "
    "R-FAB53 R-FAB56"
)


@pytest.mark.parametrize("value", CHEST_CODES.split(" "))
def test_a_region_code_of_the_chest_passes_and_others_do_not(value: str) -> None:
    coded = {"BodyPartExamined": None, "AnatomicRegionSequence": code(value, "SCT", "x")}
    assert identified(**coded) == ""
    coded["AnatomicRegionSequence"] = code(value + "1", "SCT", "x")
    assert identified(**coded) == "body_part"


def test_another_part_is_named_only_where_it_is_a_known_word() -> None:
    for part, shown in (("PELVIS", "is PELVIS"), ("DOE JANE", "is another part")):
        with pytest.raises(UnsupportedImage, match=shown):
            check_identity(build(Spec().with_(BodyPartExamined=part)), ReadOptions())


VIEWS = {
    "PA": "272479007 R-10214 R-40888", "AP": "399348003 R-10206", "LATERAL": "399067008 R-102CD",
    "LL": "399173006 R-10236", "RL": "399198007 R-10232",
}  # fmt: skip


@pytest.mark.parametrize(("view", "values"), VIEWS.items())
def test_a_view_code_stands_in_for_the_view(view: str, values: str) -> None:
    for value in values.split():
        fields = {"ViewPosition": None, "ViewCodeSequence": code(value, "SCT", "x")}
        assert view_of(build(Spec(sop="CR").with_(**fields))) == view
        assert identified(**fields) == ("" if view in ("PA", "AP") else "lateral")


@pytest.mark.parametrize(("view", "refused"), [
    ("LL", True), ("RL", True), ("LAT", True), ("L LAT", True), ("RIGHT LATERAL", True),
    ("LEFT_LAT", True), ("R-LATERAL", True), ("LATERAL", True), ("LLD", True), ("LAO", True),
    ("LLO", True), ("AP", False), ("", False),
])  # fmt: skip
def test_lateral_views_in_the_words_of_many_makers(view: str, refused: bool) -> None:
    assert identified(ViewPosition=view) == ("lateral" if refused else "")


def test_a_folder_of_too_many_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside(tmp_path)  # three files
    path = save(tmp_path / "z.dcm")
    assert series._MOST_FILES == 2000
    monkeypatch.setattr(series, "_MOST_FILES", 4)
    assert series.find_image(tmp_path) == path
    monkeypatch.setattr(series, "_MOST_FILES", 3)
    with pytest.raises(UnsupportedImage) as caught:
        series.find_images(tmp_path)
    assert caught.value.code == "too_many_files"


def test_all_images_are_found_in_order_and_ten_series_are_listed(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="at least one"):
        series.find_images(tmp_path)
    paths = [save(tmp_path / f"{n:02}.dcm", Spec(sop="CR", seed=n)) for n in reversed(range(10))]
    assert series.find_images(tmp_path) == sorted(paths)
    with pytest.raises(UnsupportedImage) as caught:
        series.find_image(tmp_path)
    assert "series 10 (CR): 1 image(s). Expected" in caught.value.message
    save(tmp_path / "10.dcm", Spec(sop="CR", seed=10).with_(Modality="C3"))
    with pytest.raises(UnsupportedImage) as caught:
        series.find_image(tmp_path)
    assert "11 images of 1 patient(s) in 11 series" in caught.value.message
    assert "; ...." in caught.value.message
    assert "C3" not in caught.value.message


def test_a_descriptor_of_zero_means_65536_entries() -> None:
    ds = Dataset()
    ds.add_new("LUTDescriptor", "US", [0, 0, 16])
    ds.add_new("LUTData", "OW", np.arange(65536, dtype="<u2")[::-1].tobytes())
    x = np.array([0.0, 1.0, 65534.0, 65535.0, 70000.0])
    found = apply_lut(ds, x, name="VOILUTSequence")
    np.testing.assert_array_equal(found, [65535, 65534, 1, 0, 0])
