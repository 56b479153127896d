# SPDX-License-Identifier: Apache-2.0
"""Damaged elements: refused where they are needed, left out and named where they are not."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_radiograph
from monai_cxr_cf.dicom.seg_read import read_segmentation
from monai_cxr_cf.dicom.store.pacs import Pacs
from monai_cxr_cf.dicom.values import items, numbers, texts, uid, whole
from monai_cxr_cf.dicom.writing.fileio import load
from monai_cxr_cf.dicom.writing.inherit import source_header
from monai_cxr_cf.errors import CxrError, RemoteFailure, UnreadableInput
from tests.dicom.factory import Spec, build, save, save_dataset
from tests.dicom.written import case_of, plan_of, write_everything


def damaged(path: Path, found: bytes, instead: bytes) -> Path:
    """A good file with some bytes of its header overwritten."""
    data = save(path, Spec()).read_bytes()
    assert data.count(found) == 1
    path.write_bytes(data.replace(found, instead))
    return path


@pytest.mark.parametrize(
    ("tag", "vr", "other", "keyword"),
    [
        (b"\x08\x00\x70\x00", b"LO", b"XX", "Manufacturer"),
        (b"\x18\x00\x64\x11", b"DS", b"S\0", "ImagerPixelSpacing"),
        (b"\x08\x00\x60\x00", b"CS", b"AT", "Modality"),
    ],
)
def test_damage_that_the_picture_does_not_need_is_left_out_and_named(
    tmp_path: Path, tag: bytes, vr: bytes, other: bytes, keyword: str
) -> None:
    radiograph = read_radiograph(damaged(tmp_path / "a.dcm", tag + vr, tag + other))
    assert keyword not in radiograph.header
    told = dict(radiograph.warnings)["damaged_attributes"]
    assert told == f"Left out, as they cannot be parsed: {keyword}."
    case = case_of(tmp_path / "a.dcm")
    assert len(write_everything(plan_of(case), case, tmp_path / "out")) == 5


def test_a_class_that_is_no_uid_is_refused(tmp_path: Path) -> None:
    tag = b"\x08\x00\x16\x00"
    path = damaged(tmp_path / "a.dcm", tag + b"UI", tag + b"PN")
    with pytest.raises(UnreadableInput, match="SOPClassUID"):
        read_radiograph(path)


def test_a_spacing_that_cannot_be_parsed_is_no_spacing(tmp_path: Path) -> None:
    tag = b"\x18\x00\x64\x11"
    radiograph = read_radiograph(damaged(tmp_path / "a.dcm", tag + b"DS", tag + b"S\0"))
    assert radiograph.spacing.as_dict() == {
        "display_mm": None,
        "display_origin": "none",
        "physical_mm": None,
        "physical_origin": "none",
    }


def test_values_of_another_kind_are_refused_by_their_name() -> None:
    ds = Dataset()
    ds.add_new("ViewCodeSequence", "US", 7)
    ds.add_new("Rows", "FD", float("inf"))
    ds.add_new("WindowWidth", "IS", "1" + "0" * 400)
    ds.add_new("StudyInstanceUID", "LO", "1.2")
    for read, keyword in (
        (items, "ViewCodeSequence"),
        (whole, "Rows"),
        (numbers, "WindowWidth"),
        (uid, "StudyInstanceUID"),
    ):
        with pytest.raises(CxrError, match=keyword):
            read(ds, keyword)
    assert texts(ds, "Rows") == ["inf"]
    assert texts(ds, "PatientOrientation") == []


def test_a_second_lookup_table_that_does_not_fit_is_left_out_of_the_copy(tmp_path: Path) -> None:
    ds = build(Spec(voi="lut"))
    short = deepcopy(ds.VOILUTSequence[0])
    short.LUTData = b"\0\0"
    ds.VOILUTSequence = Sequence([ds.VOILUTSequence[0], short])
    path = save_dataset(tmp_path / "a.dcm", ds)
    header, repairs = source_header(read_radiograph(path))
    assert repairs.lost == ["VOILUTSequence"]
    assert len(header.VOILUTSequence) == 1
    ds.VOILUTSequence = Sequence([short])
    path = save_dataset(tmp_path / "b.dcm", ds)
    header, repairs = source_header(read_radiograph(path, options=ReadOptions(ignore_voi=True)))
    assert repairs.lost == ["VOILUTSequence"]
    assert "VOILUTSequence" not in header


def test_a_damaged_segmentation_is_refused(tmp_path: Path) -> None:
    case = case_of(save(tmp_path / "a.dcm", Spec()))
    write_everything(plan_of(case), case, tmp_path)
    whole_file = (tmp_path / "seg.dcm").read_bytes()
    tag = b"\x62\x00\x04\x00"  # SegmentNumber
    (tmp_path / "seg.dcm").write_bytes(whole_file.replace(tag + b"US", tag + b"\0S"))
    with pytest.raises(UnreadableInput, match="cannot be parsed"):
        read_segmentation(tmp_path / "seg.dcm", case.radiograph)


def test_a_file_to_be_sent_must_be_whole(tmp_path: Path) -> None:
    tag = b"\x20\x00\x0d\x00"  # StudyInstanceUID
    path = damaged(tmp_path / "a.dcm", tag + b"UI", tag + b"\0I")
    with pytest.raises(UnreadableInput, match="damaged"):
        load(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UnreadableInput, match="damaged"):
        load(path)
    good = save(tmp_path / "b.dcm", Spec())
    assert np.array_equal(load(good).pixel_array, read_radiograph(good).stored)


def test_an_answer_of_a_store_that_cannot_be_parsed_is_its_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Pacs("http://127.0.0.1:9/dicom-web")
    answer = [{"00280010": {"vr": "IS", "Value": ["Doe"]}}]
    monkeypatch.setattr(store._client, "search_for_instances", lambda *a, **k: answer)
    with pytest.raises(RemoteFailure, match="cannot be parsed") as failed:
        store.find()
    assert "Doe" not in str(failed.value)
