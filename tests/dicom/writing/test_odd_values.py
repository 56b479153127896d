# SPDX-License-Identifier: Apache-2.0
"""Odd header values of devices and anonymisers: what is written is legal, and a warning names them.

Each row: the bytes in the source, and what the output says: the legal value, or nothing.
"""

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.reading.read import read_radiograph
from monai_cxr_cf.dicom.record import OutputOptions
from monai_cxr_cf.errors import UnreadableInput, UnsupportedImage
from tests.dicom.factory import Spec, code, save
from tests.dicom.peers import dciodvfy_errors
from tests.dicom.rawfile import save_raw
from tests.dicom.written import case_of, plan_of, write_everything, written

CR = Spec(sop="CR")
LOST = None
LONG = b"0123456789" * 8

# keyword, bytes, what is written; the same text as in the source is no repair
REPAIRED: list[tuple[str, bytes, str | None]] = [
    # dates, times, ages
    ("StudyDate", b"2026.01.31", "20260131"),
    ("StudyDate", b"2026-01-31", "20260131"),
    ("StudyDate", b"31.01.2026", ""),
    ("StudyDate", b"01/31/2026", ""),
    ("StudyDate", b"20260230", ""),
    ("StudyDate", b"00000000", ""),
    ("StudyDate", b"202601", ""),
    ("PatientBirthDate", b"1960", ""),
    ("PatientBirthDate", b"unknown", ""),
    ("AcquisitionDate", b"2026-1-31", LOST),
    ("ContentDate", b"0", "20200102"),  # the study's
    ("StudyTime", b"10:11:12", "101112"),
    ("StudyTime", b"10:11", "1011"),
    ("StudyTime", b"101112.123456789", "101112.123456"),
    ("StudyTime", b"101160", "101159"),
    ("StudyTime", b"251112", ""),
    ("StudyTime", b"10.11", ""),
    ("StudyTime", b"1011 am", ""),
    ("AcquisitionTime", b"afternoon", LOST),
    ("PatientAge", b"62Y", "062Y"),
    ("PatientAge", b"62 y", "062Y"),
    ("PatientAge", b"62", LOST),
    ("PatientAge", b"sixty", LOST),
    ("PatientAge", b"1Y6M", LOST),
    ("TimezoneOffsetFromUTC", b"UTC+1", LOST),
    ("TimezoneOffsetFromUTC", b"+0100", "+0100"),
    # code strings and closed lists
    ("Modality", b"cr", "CR"),
    ("PatientSex", b"male", "M"),
    ("PatientSex", b"Female", "F"),
    ("PatientSex", b"W", ""),
    ("PatientSex", b"M\\F", ""),
    ("ViewPosition", b"pa", "PA"),
    ("ViewPosition", b"P.A.", LOST),
    ("BurnedInAnnotation", b"N", "NO"),
    ("BurnedInAnnotation", b"maybe", LOST),
    ("LossyImageCompression", b"0", "00"),
    ("LossyImageCompression", b"NO", "00"),
    ("LossyImageCompression", b"?", LOST),
    ("PatientIdentityRemoved", b"FALSE", "NO"),
    ("PatientOrientation", b"l\\f", "['L', 'F']"),
    ("TypeOfPatientID", b"CARD", LOST),
    ("LongitudinalTemporalInformationModified", b"SHIFTED", LOST),
    ("PixelSpacingCalibrationType", b"RULER", LOST),
    # text
    ("StudyDescription", b"Chest\r\nPA", "Chest PA"),
    ("StudyDescription", b"Chest\tPA\x07", "Chest PA"),
    ("StudyDescription", b"Chest\\PA", "Chest PA"),
    ("StudyDescription", LONG, (LONG[:61] + b"...").decode()),
    ("PatientComments", b"first\r\nsecond", "first\r\nsecond"),
    ("PatientComments", b"a\x00b\x08c", "a b c"),
    ("Occupation", LONG, "0123456789012..."),
    ("ProtocolName", b"Chest\\routine", "Chest routine"),
    # identifiers are kept whole or not at all
    ("PatientID", LONG, ""),
    ("PatientID", b"A\\B", ""),
    ("PatientID", b"A-1/2 #3", "A-1/2 #3"),
    ("AccessionNumber", LONG, ""),
    ("StudyID", b"12345678901234567", ""),
    # names
    ("PatientName", b"Doe\\Jane", "Doe Jane"),
    ("PatientName", b"Doe^Jane^^^^MD^x", "Doe^Jane^^^MD x"),
    ("PatientName", b"Doe^Jane=a=b=c=d", "Doe^Jane=a=b"),
    ("PatientName", b"Doe^Jane^^", "Doe^Jane"),
    ("PatientName", b"Doe\n^Jane", "Doe ^Jane"),
    ("PatientName", LONG, LONG[:64].decode()),
    ("ReferringPhysicianName", b"^^^^^^", ""),
    # numbers
    ("SeriesNumber", b"3.0", "301"),
    ("SeriesNumber", b"2147483647", "48364701"),
    ("SeriesNumber", b"-7", "1"),
    ("SeriesNumber", b"99999999999", "1"),
    ("PatientWeight", b"61.2345678901234567", "61.2345678901235"),
    ("PatientWeight", b"1\\2", LOST),
    ("PixelAspectRatio", b"1", LOST),
]  # fmt: skip
IDS = [f"{keyword} {value[:14]!r}" for keyword, value, _ in REPAIRED]


def source(folder: Path, keyword: str, value: bytes) -> Path:
    """A CR with one odd value."""
    return save_raw(folder / "source.dcm", CR, {keyword: value})


@pytest.mark.parametrize(("keyword", "value", "expected"), REPAIRED, ids=IDS)
def test_an_odd_value_is_written_legally_or_left_out_and_named(
    keyword: str, value: bytes, expected: str | None, tmp_path: Path
) -> None:
    case = case_of(source(tmp_path, keyword, value))
    ds = written(case, tmp_path)
    assert (None if keyword not in ds else str(ds[keyword].value or "")) == expected
    told = dict((*case.radiograph.warnings, *plan_of(case).warnings))
    codes = ("illegal_values", "rewritten", "damaged_attributes", "unusable_spacing")
    words = " ".join(told.get(each, "") for each in codes)
    untouched = keyword in ("SeriesNumber", "PatientWeight") and b"9999" not in value
    if expected is not None and expected == value.decode("latin_1"):
        assert keyword not in words
    elif not untouched or value in (b"3.0", b"1\\2"):
        assert keyword in words
    assert value.decode("latin_1") not in words or len(value) < 4


@pytest.mark.conformance
@pytest.mark.parametrize("group", range(4))
def test_no_file_made_from_odd_values_has_an_error(group: int, tmp_path: Path) -> None:
    """Several odd values a file: each keyword once, so that four files hold the whole table."""
    chosen: list[dict[str, bytes]] = []
    for keyword, value, _ in REPAIRED:
        place = next((each for each in chosen if keyword not in each), None)
        if place is None:
            chosen.append(place := {})
        place[keyword] = value
    for number, values in enumerate(chosen[group::4]):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = save_raw(folder / "source.dcm", CR, values)
        case = case_of(path)
        errors = len(dciodvfy_errors(path))
        for iod in ("sc", "same"):
            files = write_everything(plan_of(case, OutputOptions(iod=iod)), case, folder / iod)
            for file in (file for file in files if file.sop_uid):
                found = dciodvfy_errors(file.path)
                allowed = errors if (iod, file.role) == ("same", "cf") else 0
                assert len(found) <= allowed, (iod, file.role, found)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize(
    "value", [b"1.2.03.4", b"1.2..4", b"1.2.", b".1.2", b"1.2.x", b"1 2", b"{uuid}"]
)
def test_an_identifier_that_is_none_is_refused_by_name(
    keyword: str, value: bytes, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedImage, match=keyword) as refused:
        read_radiograph(source(tmp_path, keyword, value))
    assert refused.value.code == "invalid_uid"


def test_two_identifiers_in_place_of_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="StudyInstanceUID has 2 values; expected one UID"):
        read_radiograph(source(tmp_path, "StudyInstanceUID", b"1.2\\1.3"))


NESTED: list[tuple[str, str, bytes, str]] = [
    ("ViewCodeSequence", "CodeMeaning", LONG, "kept"),
    ("ViewCodeSequence", "CodeMeaning", b"postero\nanterior", "kept"),
    ("ViewCodeSequence", "CodeMeaning", b"", "gone"),
    ("ViewCodeSequence", "CodeValue", LONG, "gone"),
    ("ViewCodeSequence", "CodingSchemeDesignator", b"", "gone"),
    ("ViewCodeSequence", "MappingResource", b"DCMR", "kept"),
    ("ViewCodeSequence", "ContextGroupVersion", b"yesterday", "gone"),
    ("AnatomicRegionSequence", "CodeValue", b"\\", "gone"),
    ("ProcedureCodeSequence", "CodingSchemeVersion", LONG, "kept"),
    ("OtherPatientIDsSequence", "TypeOfPatientID", b"CARD", "gone"),
    ("OtherPatientIDsSequence", "PatientID", LONG, "gone"),
    ("OtherPatientIDsSequence", "IssuerOfPatientID", b"a\\b", "gone"),
    ("ContributingEquipmentSequence", "Manufacturer", b"", "gone"),
    ("ContributingEquipmentSequence", "InstitutionName", LONG, "kept"),
    ("ContributingEquipmentSequence", "DateOfLastCalibration", b"soon", "gone"),
    ("ContributingEquipmentSequence", "ContributionDateTime", b"soon", "gone"),
]


def nested_source(path: Path, sequence: str, keyword: str, value: bytes) -> Path:
    """A CR with a whole nested item but for one odd value in it."""
    item = code("272479007", "SCT", "postero-anterior")
    if sequence == "OtherPatientIDsSequence":
        item = code("x", "x", "x")
        for name in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"):
            del item[0][name]
        item[0].PatientID, item[0].TypeOfPatientID = "B2", "TEXT"
    if sequence == "ContributingEquipmentSequence":
        inner = Dataset()
        inner.Manufacturer = "Phantom Works"
        inner.PurposeOfReferenceCodeSequence = code("109101", "DCM", "Acquisition Equipment")
        item[0] = inner
    return save_raw(path, CR.with_(**{sequence: item}), {f"{sequence}.{keyword}": value})


@pytest.mark.conformance
@pytest.mark.parametrize(("sequence", "keyword", "value", "expected"), NESTED)
def test_an_odd_value_in_an_item_costs_at_most_the_item(
    sequence: str, keyword: str, value: bytes, expected: str, tmp_path: Path
) -> None:
    case = case_of(nested_source(tmp_path / "source.dcm", sequence, keyword, value))
    ds = written(case, tmp_path)
    ours = 2 if sequence == "ContributingEquipmentSequence" else 0  # device of the source, and us
    assert len(ds.get(sequence) or ()) == ours + (expected == "kept")
    assert not dciodvfy_errors(tmp_path / "cf" / "0001.dcm")
    told = dict(plan_of(case).warnings)
    assert (sequence in told.get("illegal_values", "")) == (expected == "gone")


@pytest.mark.conformance
@pytest.mark.parametrize(
    ("part", "laterality", "expected"),
    [
        ("CHEST", None, None),
        ("CHEST", "L", None),
        ("HEART", None, None),
        ("THORAX", None, ""),
        ("TORAX AP", None, ""),
        ("LUNG", "R", "R"),
        ("PORT CHEST", None, ""),
        ("UNKNOWN", None, ""),
        (None, "L", None),
    ],
)
def test_laterality_is_there_for_what_is_not_known_to_be_unpaired(
    part: str | None, laterality: str | None, expected: str | None, tmp_path: Path
) -> None:
    spec = CR.with_(BodyPartExamined=part, Laterality=laterality)
    ds = written(case_of(save(tmp_path / "source.dcm", spec)), tmp_path)
    assert (ds.BodyPartExamined, ds.get("Laterality")) == (part or "CHEST", expected)
    assert not dciodvfy_errors(tmp_path / "cf" / "0001.dcm")


def test_a_clean_source_is_copied_without_a_word(tmp_path: Path) -> None:
    case = case_of(save(tmp_path / "source.dcm", CR))
    assert plan_of(case).warnings == ()
    assert plan_of(case, OutputOptions(iod="same")).warnings == ()


def test_an_identity_that_was_removed_without_a_method_stays_removed(tmp_path: Path) -> None:
    case = case_of(save(tmp_path / "source.dcm", CR.with_(PatientIdentityRemoved="YES")))
    ds = written(case, tmp_path)
    assert (ds.PatientIdentityRemoved, ds.DeidentificationMethod) == (
        "YES",
        "Not stated by the source",
    )
    assert dcmread(tmp_path / "source.dcm").get("DeidentificationMethod") is None
