# SPDX-License-Identifier: Apache-2.0
"""The gates: for every kind of source dciodvfy finds no error and dcmqi reads the same masks."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from monai_cxr_cf.dicom import codes
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.record import Member, OutputOptions
from monai_cxr_cf.dicom.writing.plan import plan_output
from monai_cxr_cf.dicom.writing.seg import write_segmentation
from tests.dicom.factory import save
from tests.dicom.peers import dcentvfy_errors, dciodvfy_errors, dcmqi_masks
from tests.dicom.written import (
    ALL_KINDS,
    RASTER,
    RECORD,
    case_of,
    plan_of,
    record_with,
    write_everything,
)

pytestmark = pytest.mark.conformance


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_file_is_free_of_errors_and_dcmqi_reads_the_same_masks(
    kind: str, tmp_path: Path
) -> None:
    case = case_of(save(tmp_path / "source.dcm", ALL_KINDS[kind]))
    files = write_everything(plan_of(case), case, tmp_path / "out")
    found = {f.role: dciodvfy_errors(f.path) for f in files if f.sop_uid}
    assert found == {"cf": [], "diff": [], "seg": [], "sr": []}
    by_label = dcmqi_masks(tmp_path / "out" / "seg.dcm", tmp_path / "dcmqi")
    assert set(by_label) == {codes.SEGMENTS[name].label for name in case.masks}
    for name, mask in case.masks.items():
        np.testing.assert_array_equal(by_label[codes.SEGMENTS[name].label], mask, err_msg=name)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_derived_image_of_the_same_class_has_no_error_that_its_source_has_not(
    kind: str, tmp_path: Path
) -> None:
    source = save(tmp_path / "source.dcm", ALL_KINDS[kind])
    case = case_of(source)
    files = write_everything(plan_of(case, OutputOptions(iod="same")), case, tmp_path / "out")
    of_source = set(dciodvfy_errors(source))
    for written in files:
        if written.sop_uid:
            inherited = of_source if written.role == "cf" else set()
            assert not set(dciodvfy_errors(written.path)) - inherited, written.role


def test_a_series_of_levels_is_free_of_errors(tmp_path: Path) -> None:
    case = case_of(save(tmp_path / "source.dcm", ALL_KINDS["dx-mono2-12"]))
    half = case_of(tmp_path / "source.dcm", gain=0.1)
    members = [Member(half.member.stored, "severity 0.5"), Member(case.member.stored, "severity 1")]
    plan = plan_output(case.radiograph, members, record=RECORD)
    files = write_everything(plan, case, tmp_path / "out")
    assert [f.path.name for f in files if f.role == "cf"] == ["0001.dcm", "0002.dcm"]
    assert not [e for f in files if f.sop_uid for e in dciodvfy_errors(f.path)]


@pytest.mark.parametrize("kind", ["cr-kanji-names", "cr-latin-names", "dx-mono2-12"])
def test_files_of_one_output_are_consistent_with_their_source(kind: str, tmp_path: Path) -> None:
    source = save(tmp_path / "source.dcm", ALL_KINDS[kind])
    case = case_of(source)
    record = record_with(masks={"from_user": ["heart"]})  # a MANUAL segment among them
    files = write_everything(plan_of(case, record=record), case, tmp_path / "out")
    written = [f.path for f in files if f.sop_uid]
    found = dcentvfy_errors([source, *written])
    if kind == "cr-kanji-names":  # the checker compares bytes, and the SEG alone is UTF-8
        assert [line.partition("<")[2].partition(">")[0] for line in found] == ["PatientName"]
        names = {str(dcmread(path).PatientName) for path in (source, *written)}
        assert names == {"Yamada^Tarou=山田^太郎=やまだ^たろう"}
        found = []
    assert found == []
    assert not [e for path in written for e in dciodvfy_errors(path)]


def test_masks_of_a_raster_alone_open_in_dcmqi(tmp_path: Path, raster: Path) -> None:
    case = case_of(raster, options=RASTER)
    plan = plan_output(case.radiograph, (), record=RECORD)
    written = write_segmentation(plan, case.masks, tmp_path)
    assert not dciodvfy_errors(written.path)
    assert len(dcmqi_masks(written.path, tmp_path / "dcmqi")) == len(case.masks)


def test_output_of_a_raster_is_free_of_errors(tmp_path: Path, raster: Path) -> None:
    case = case_of(raster, options=RASTER)
    files = write_everything(plan_of(case), case, tmp_path / "out")
    assert not [e for f in files if f.sop_uid for e in dciodvfy_errors(f.path)]
    masks = dcmqi_masks(tmp_path / "out" / "seg.dcm", tmp_path / "dcmqi")
    np.testing.assert_array_equal(masks["Heart"], case.masks["heart"])


def test_files_of_real_devices_give_conforming_output(tmp_path: Path, shared: Path) -> None:
    for file in ("RG3_J2KR.dcm", "SIIM_PA_JPEG.dcm"):
        source = shared / "data" / "dicom" / file
        case = case_of(source, options=ReadOptions(allow_body_part=True))
        folder = tmp_path / source.stem
        files = write_everything(plan_of(case), case, folder)
        found = {f.role: dciodvfy_errors(f.path) for f in files if f.sop_uid}
        assert not any(found.values()), (source.name, found)
        masks = dcmqi_masks(folder / "seg.dcm", folder / "dcmqi")
        for name, mask in case.masks.items():
            np.testing.assert_array_equal(masks[codes.SEGMENTS[name].label], mask)


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    """A grey PNG of the phantom chest."""
    from PIL import Image

    from tests.dicom.factory import phantom

    path = tmp_path / "chest.png"
    Image.fromarray(np.rint(phantom(120, 96) * 255).astype(np.uint8)).save(path)
    return path
