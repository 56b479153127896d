# SPDX-License-Identifier: Apache-2.0
"""What a written image inherits from its source, what it must not, and in which character set."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.record import OutputOptions
from monai_cxr_cf.dicom.writing.write import write_counterfactuals
from tests.dicom.factory import Spec, build, save, save_dataset
from tests.dicom.written import ALL_KINDS, case_of, plan_of, record_with, written

SYNTHETIC = ReadOptions(allow_synthetic=True)


def test_header_keeps_patient_study_view_and_geometry_but_not_the_frame_of_reference(
    tmp_path: Path,
) -> None:
    source = save(tmp_path / "source.dcm", Spec().with_(FrameOfReferenceUID="1.2.3"))
    case = case_of(source)
    kept = ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber", "PatientOrientation",
            "ViewPosition", "BodyPartExamined", "Modality", "WindowCenter", "WindowWidth", "Rows",
            "Columns", "BitsStored", "PhotometricInterpretation", "ContentDate")  # fmt: skip
    original = dcmread(source)
    for iod in ("sc", "same"):
        ds = written(case, tmp_path / iod, OutputOptions(iod=iod))
        assert [k for k in kept if ds[k].value != original[k].value] == []
        assert "FrameOfReferenceUID" not in ds
        assert ds.SeriesNumber == 101
        assert "InstanceCreationDate" not in ds


@pytest.mark.parametrize("iod", ["sc", "same"])
def test_header_drops_what_is_no_longer_true(iod: str, tmp_path: Path) -> None:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2", "1.3"
    untrue = {
        "KVP": "120", "Exposure": "3", "EntranceDoseInmGy": "1", "IrradiationEventUID": "1.2.3",
        "RequestAttributesSequence": Sequence([Dataset()]), "PerformedProcedureStepID": "9",
        "SourceImageSequence": Sequence([item]), "IconImageSequence": Sequence([Dataset()]),
        "DigitalSignaturesSequence": Sequence([Dataset()]), "DeviceSerialNumber": "77",
    }  # fmt: skip
    ds = build(Spec().with_(**untrue))
    block = ds.private_block(0x0011, "PLANTED", create=True)
    block.add_new(1, "LO", "SECRET")
    inner = ds.ViewCodeSequence[0].private_block(0x0011, "PLANTED", create=True)
    inner.add_new(1, "LO", "SECRET")
    ds.add_new(0x60000010, "US", 8)
    ds.add_new(0x60020010, "US", 8)
    case = case_of(save_dataset(tmp_path / "source.dcm", ds))
    plan = plan_of(case, OutputOptions(iod=iod))
    out = dcmread(write_counterfactuals(plan, tmp_path)[0].path)
    left = [k for k in untrue if k in out and k != "SourceImageSequence"]
    assert left == []
    assert [i.ReferencedSOPInstanceUID for i in out.SourceImageSequence] == [ds.SOPInstanceUID]
    assert b"SECRET" not in (tmp_path / "cf" / "0001.dcm").read_bytes()
    assert {e.tag.group for e in out if 0x6000 <= e.tag.group <= 0x60FF} == {0x6000}  # ours alone
    assert (out[0x60000010].value, out[0x60001500].value) == (9, "SYNTHETIC")
    assert "overlays_dropped" in dict(plan.warnings)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_illegal_values_of_the_source_are_left_out_and_named_not_quoted(tmp_path: Path) -> None:
    spec = Spec(sop="CR").with_(
        PatientAge="62", PatientSex="unclear", BodyPartExamined="Chest",
        WindowCenter="2047.50000000000000001",
    )  # fmt: skip
    plan = plan_of(case_of(save(tmp_path / "source.dcm", spec)))
    ds = dcmread(write_counterfactuals(plan, tmp_path)[0].path)
    assert "PatientAge" not in ds
    assert ds.PatientSex == ""
    assert ds.BodyPartExamined == "CHEST"
    assert len(str(ds.WindowCenter)) <= 16
    message = dict(plan.warnings)["illegal_values"]
    assert "PatientAge" in message
    assert "62" not in message


def test_a_lossy_source_stays_lossy_even_if_its_header_is_silent(tmp_path: Path) -> None:
    case = case_of(save(tmp_path / "source.dcm", Spec(sop="CR").with_(LossyImageCompression=None)))
    assert "LossyImageCompression" not in written(case, tmp_path / "native")
    meta = case.radiograph.header.file_meta
    meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.91"  # as if it had been decoded from JPEG 2000
    ds = written(case, tmp_path / "lossy")
    assert (ds.LossyImageCompression, ds.LossyImageCompressionMethod) == ("01", "ISO_15444_1")


def test_a_missing_body_part_becomes_chest_and_a_missing_spacing_stays_missing(
    tmp_path: Path,
) -> None:
    ds = written(case_of(save(tmp_path / "s.dcm", ALL_KINDS["cr-bare"])), tmp_path)
    assert ds.BodyPartExamined == "CHEST"
    assert "PixelSpacing" not in ds
    assert ds.ContentDate == ""


@pytest.mark.parametrize(
    ("spec", "spacing", "nominal"),
    [
        (Spec(), [0.2, 0.2], [0.2, 0.2]),
        (Spec(spacing="calibrated"), [0.18, 0.18], [0.2, 0.2]),
        (Spec(sop="SC"), [0.2, 0.2], None),
        (Spec(sop="CR", spacing="zero"), None, None),
    ],
)
def test_capture_carries_the_spacing_that_viewers_should_apply(
    spec: Spec, spacing: list[float] | None, nominal: list[float] | None, tmp_path: Path
) -> None:
    ds = written(case_of(save(tmp_path / "source.dcm", spec)), tmp_path)
    assert ds.get("PixelSpacing") == spacing
    assert ds.get("NominalScannedPixelSpacing") == nominal
    assert ("PixelSpacingCalibrationType" in ds) == (spec.spacing == "calibrated")
    assert "ImagerPixelSpacing" not in ds


def test_twelve_bit_lut_becomes_sixteen_bits_and_shows_the_same(tmp_path: Path) -> None:
    ds = build(Spec(sop="CR", voi="lut"))
    item = ds.VOILUTSequence[0]
    entries = np.frombuffer(item.LUTData, "<u2").astype(np.uint32) * 4095 // 65535
    item.LUTDescriptor = [item.LUTDescriptor[0], item.LUTDescriptor[1], 12]
    item.LUTData = entries.astype("<u2").tobytes()
    case = case_of(save_dataset(tmp_path / "source.dcm", ds))
    out = written(case, tmp_path)
    assert out.VOILUTSequence[0].LUTDescriptor[2] == 16
    back = read_source(tmp_path / "cf" / "0001.dcm", SYNTHETIC)
    assert np.abs(back.display.table - case.radiograph.display.table).max() < 1 / 65535


@pytest.mark.parametrize("kind", ["cr-latin-names", "cr-kanji-names"])
def test_names_survive_in_their_own_character_set_and_in_utf8(kind: str, tmp_path: Path) -> None:
    source = save(tmp_path / "source.dcm", ALL_KINDS[kind])
    case, name = case_of(source), str(dcmread(source).PatientName)
    same = written(case, tmp_path / "ascii")
    assert str(same.PatientName) == name
    assert same.SpecificCharacterSet == dcmread(source).SpecificCharacterSet
    record = record_with(region="línea media derecha")
    plan = plan_of(case, record=record)
    ds = dcmread(write_counterfactuals(plan, tmp_path / "utf8")[0].path)
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert str(ds.PatientName) == name
    assert "línea media derecha" in ds.DerivationDescription
