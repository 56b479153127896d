# SPDX-License-Identifier: Apache-2.0
"""Counterfactual and difference files: exact pixels, honest headers, repeatable bytes."""

import json
import logging
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.record import Member, OutputOptions
from monai_cxr_cf.dicom.writing.banner import write_banner
from monai_cxr_cf.dicom.writing.burn import letters
from monai_cxr_cf.dicom.writing.difference import outside_max_diff, write_differences
from monai_cxr_cf.dicom.writing.plan import plan_output
from monai_cxr_cf.dicom.writing.write import write_counterfactuals
from monai_cxr_cf.errors import BadRequest
from tests.dicom.factory import Spec, phantom, save
from tests.dicom.written import (
    ALL_KINDS,
    RASTER,
    RECORD,
    Case,
    case_of,
    plan_of,
    record_with,
    write_everything,
    written,
)

SYNTHETIC = ReadOptions(allow_synthetic=True)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """An edit of a 12-bit DX."""
    return case_of(save(tmp_path / "source.dcm", Spec()))


@pytest.mark.parametrize("iod", ["sc", "same"])
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_our_reader_gets_the_written_stored_values_and_the_same_picture(
    kind: str, iod: str, tmp_path: Path
) -> None:
    case = case_of(save(tmp_path / "source.dcm", ALL_KINDS[kind]))
    write_counterfactuals(plan_of(case, OutputOptions(iod=iod)), tmp_path)
    back = read_source(tmp_path / "cf" / "0001.dcm", SYNTHETIC)
    np.testing.assert_array_equal(back.stored, case.member.stored)
    assert back.polarity == case.radiograph.polarity
    assert back.spacing.physical == case.radiograph.spacing.physical
    if case.radiograph.voi.origin.startswith(("window", "VOI")):
        keep = back.valid & case.radiograph.valid & ~case.allowed
        difference = np.abs(back.pixels - case.radiograph.pixels)[keep]
        assert difference.max() < 2 / 65535


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_stored_pixels_change_within_region_and_band_and_nowhere_else(
    kind: str, tmp_path: Path
) -> None:
    case = case_of(save(tmp_path / "source.dcm", ALL_KINDS[kind]))
    pixels = written(case, tmp_path).pixel_array
    source = dcmread(tmp_path / "source.dcm").pixel_array
    assert (pixels != source).any()
    assert outside_max_diff(pixels, source, [case.allowed]) == 0


@pytest.mark.parametrize("iod", ["sc", "same"])
def test_the_same_request_writes_the_same_bytes_and_identifiers(case: Case, tmp_path: Path,
                                                               iod: str) -> None:  # fmt: skip
    one, two = (
        write_everything(plan_of(case, OutputOptions(iod=iod)), case, tmp_path / name)
        for name in ("one", "two")
    )
    assert [f.sha256 for f in one] == [f.sha256 for f in two]
    assert [f.sop_uid for f in one] == [f.sop_uid for f in two]


def test_anything_that_makes_another_image_makes_other_identifiers(case: Case) -> None:
    base = plan_of(case)
    brighter = Member(case.member.stored.copy())
    brighter.stored[60, 70] += 1
    others = [
        plan_of(case, record=record_with(request_json='{"prompt":"no effusion"}')),
        plan_of(case, record=record_with(code_version="0.1.1")),
        plan_of(case, record=record_with(weights=())),
        plan_of(case, record=record_with(seeds=(8,))),
        plan_of(case, OutputOptions(iod="same")),
        plan_of(case, OutputOptions(content_time=datetime(2024, 5, 6))),
        plan_of(case, OutputOptions(uids="random")),
        plan_output(case.radiograph, [brighter], record=RECORD),
    ]
    uids = [p.cf.sop_uids[0] for p in (base, *others)]
    assert len(set(uids)) == len(uids)
    assert len({base.cf.series_uid, base.diff.series_uid, *base.cf.sop_uids}) == 3
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


def test_a_series_depends_on_all_its_members_and_numbers_them(case: Case, tmp_path: Path) -> None:
    members = [
        Member(case.radiograph.stored, "severity 0"),
        Member(case.member.stored, "severity 1"),
    ]
    plan = plan_output(case.radiograph, members, record=RECORD)
    files = write_counterfactuals(plan, tmp_path) + write_differences(plan, tmp_path)
    assert [f.path.relative_to(tmp_path).as_posix() for f in files] == [
        "cf/0001.dcm", "cf/0002.dcm", "diff/0001.dcm", "diff/0002.dcm"
    ]  # fmt: skip
    first, second = (dcmread(f.path) for f in files[:2])
    assert first.SeriesInstanceUID == second.SeriesInstanceUID != plan_of(case).cf.series_uid
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)
    assert second.ImageComments.endswith("severity 1")


def test_every_place_of_the_marking_sheet_is_filled(case: Case, tmp_path: Path) -> None:
    ds = written(case, tmp_path)
    assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert (ds.SyntheticData, ds.ConversionType) == ("YES", "SYN")
    assert list(ds.ImageType) == ["DERIVED", "SECONDARY"]
    assert ds.SeriesDescription.startswith("SYNTHETIC counterfactual CXR")
    assert len(ds.SeriesDescription) <= 64
    assert "moderate left pleural effusion" in ds.DerivationDescription
    assert "0.7" in ds.DerivationDescription
    assert ds.DerivationCodeSequence[0].CodingSchemeDesignator == "99CXRCF"
    assert ds.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99CXRCF"
    source = ds.SourceImageSequence[0]
    assert source.ReferencedSOPInstanceUID == case.radiograph.source_sop_uid
    assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    series = ds.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == case.radiograph.header.SeriesInstanceUID
    purposes = [
        item.PurposeOfReferenceCodeSequence[0].CodeValue
        for item in ds.ContributingEquipmentSequence
    ]
    assert purposes == ["109101", "109100"]
    digest = json.loads(ds.ContributingEquipmentSequence[1].ContributionDescription)
    assert digest["request_sha256"] == RECORD.request_sha256
    assert ds.Manufacturer == "monai-cxr-cf"
    assert ds.ContributingEquipmentSequence[0].Manufacturer == "Phantom Works"


def test_content_time_comes_from_the_job_then_the_epoch_then_the_source(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert plan_of(case).content == ("20200102", "101114")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert plan_of(case).content == ("19700102", "000000")
    chosen = OutputOptions(content_time=datetime(2024, 5, 6, 7, 8, 9))
    assert plan_of(case, chosen).content == ("20240506", "070809")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(BadRequest):
        plan_of(case)


def test_difference_is_signed_and_rebuilds_the_counterfactual(case: Case, tmp_path: Path) -> None:
    plan = plan_of(case)
    cf = write_counterfactuals(plan, tmp_path)[0]
    ds = dcmread(write_differences(plan, tmp_path)[0].path)
    change = ds.pixel_array.astype(int) * int(ds.RescaleSlope) + int(ds.RescaleIntercept)
    rebuilt = case.radiograph.stored.astype(int) + change
    np.testing.assert_array_equal(rebuilt, case.member.stored)
    assert (ds.WindowCenter, ds.SyntheticData, ds.ConversionType) == (0, "YES", "SYN")
    referenced = [i.ReferencedSOPInstanceUID for i in ds.SourceImageSequence]
    assert referenced == [case.radiograph.source_sop_uid, cf.sop_uid]


def test_burnt_in_mark_is_visible_and_admitted(case: Case, tmp_path: Path) -> None:
    plan = plan_of(case, OutputOptions(burn_in=True))
    ds = dcmread(write_counterfactuals(plan, tmp_path)[0].path)
    assert outside_max_diff(ds.pixel_array, case.radiograph.stored, [case.allowed]) > 0
    assert set(np.unique(ds.pixel_array[:9, :20])) == {0, 4095}
    assert "burnt" in ds.DerivationDescription
    assert "burnt_in" in dict(plan.warnings)


def test_raster_output_has_no_patient_and_a_study_of_its_own(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.rint(phantom(120, 96) * 255).astype(np.uint8)).save(tmp_path / "chest.png")
    case = case_of(tmp_path / "chest.png", options=RASTER)
    ds = written(case, tmp_path)
    assert (ds.PatientName, ds.PatientID, ds.StudyDate) == ("", "", "")
    assert ds.StudyInstanceUID == written(case, tmp_path / "again").StudyInstanceUID
    assert "SourceImageSequence" not in ds
    np.testing.assert_array_equal(ds.pixel_array, case.member.stored)


@pytest.mark.parametrize(
    ("stored", "options", "words"),
    [
        (np.zeros((2, 2), np.uint16), OutputOptions(), "expected integers"),
        (np.zeros((120, 96), np.float32), OutputOptions(), "expected integers"),
        (np.full((120, 96), 4096, np.uint16), OutputOptions(), "12 bits hold 0..4095"),
        (np.zeros((120, 96), np.uint16), OutputOptions(iod="mg"), "sc, same"),
        (np.zeros((120, 96), np.uint16), OutputOptions(uids="mine"), "stable or random"),
    ],
)
def test_what_cannot_be_written_is_refused_with_what_was_expected(
    case: Case, stored: np.ndarray, options: OutputOptions, words: str
) -> None:
    with pytest.raises(BadRequest, match=words):
        plan_output(case.radiograph, [Member(stored)], record=RECORD, options=options)


def test_a_failed_write_leaves_no_part_file(case: Case, tmp_path: Path) -> None:
    (tmp_path / "out" / "cf" / "0001.dcm").mkdir(parents=True)
    with pytest.raises(OSError, match=r"0001\.dcm"):
        write_counterfactuals(plan_of(case), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.part"))


def test_writing_changes_nothing_of_the_source(case: Case, tmp_path: Path) -> None:
    before = case.radiograph.header.to_json_dict()
    for iod in ("sc", "same"):
        write_everything(plan_of(case, OutputOptions(iod=iod)), case, tmp_path / iod)
    assert case.radiograph.header.to_json_dict() == before


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_writing_says_nothing_of_the_patient_in_any_log_or_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    planted = {"PatientName": "Planted^Name^=^^^", "PatientID": "PLANTED" * 12,
               "PatientAge": "PLANTED", "PatientSex": "planted"}  # fmt: skip
    case = case_of(save(tmp_path / "source.dcm", Spec().with_(**planted)))
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        write_everything(plan_of(case), case, tmp_path / "out")
    said = caplog.text + "".join(capfd.readouterr()) + "".join(str(w.message) for w in shown)
    for word in ("planted", case.radiograph.source_sop_uid, RECORD.request["prompt"]):
        assert word not in said.lower()


@pytest.mark.parametrize("iod", ["sc", "same"])
@pytest.mark.parametrize("shape", [(120, 96), (64, 300)])
def test_the_overlay_says_synthetic_and_leaves_the_pixels(
    iod: str, shape: tuple[int, int], tmp_path: Path
) -> None:
    case = case_of(save(tmp_path / "source.dcm", Spec(rows=shape[0], columns=shape[1])))
    ds = written(case, tmp_path, OutputOptions(iod=iod))
    np.testing.assert_array_equal(ds.pixel_array, case.member.stored)
    drawn = ds.overlay_array(0x6000).astype(bool)
    np.testing.assert_array_equal(drawn, letters(*shape))
    assert drawn.shape[0] <= shape[0]
    assert drawn.shape[1] <= shape[1]
    assert (ds[0x6000, 0x0040].value, list(ds[0x6000, 0x0050].value)) == ("G", [1, 1])
    assert (ds[0x6000, 0x0100].value, ds[0x6000, 0x0102].value) == (1, 0)
    assert ds[0x6000, 0x1500].value == "SYNTHETIC"
    assert len(ds[0x6000, 0x3000].value) == 2 * -(-drawn.size // 16)


def test_every_object_is_research_content(case: Case, tmp_path: Path) -> None:
    spec = Spec().with_(ContentQualification="PRODUCT")
    case = case_of(save(tmp_path / "product.dcm", spec))
    for iod in ("sc", "same"):
        files = write_everything(plan_of(case, OutputOptions(iod=iod)), case, tmp_path / iod)
        paths = [f.path for f in files if f.sop_uid]
        paths.append(write_banner([f.path for f in files if f.role == "cf"], tmp_path / iod).path)
        assert [dcmread(path).ContentQualification for path in paths] == ["RESEARCH"] * 5
