# SPDX-License-Identifier: Apache-2.0
"""Masks as DICOM SEG: what is written is read back, and foreign masks are matched or refused."""

from pathlib import Path

import highdicom
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom import codes
from monai_cxr_cf.dicom.seg_read import read_segmentation, segment_name
from monai_cxr_cf.dicom.writing.plan import plan_output
from monai_cxr_cf.dicom.writing.seg import segmentation_dataset, write_segmentation
from monai_cxr_cf.errors import BadRequest, UnreadableInput
from tests.dicom.factory import Spec, save
from tests.dicom.written import ALL_KINDS, RECORD, Case, case_of, plan_of, record_with


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """An edit of a 12-bit DX."""
    return case_of(save(tmp_path / "source.dcm", Spec()))


@pytest.fixture
def seg(case: Case, tmp_path: Path) -> Path:
    """Its SEG."""
    return write_segmentation(plan_of(case), case.masks, tmp_path).path


def changed(seg: Path, **values: object) -> Path:
    """The SEG with attributes replaced."""
    ds = dcmread(seg)
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.save_as(seg)
    return seg


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_masks_are_read_back_as_written_overlaps_included(kind: str, tmp_path: Path) -> None:
    case = case_of(save(tmp_path / "source.dcm", ALL_KINDS[kind]))
    assert (case.masks["edit_region"] & case.masks["left_lung"]).any()
    path = write_segmentation(plan_of(case), case.masks, tmp_path).path
    found = read_segmentation(path, case.radiograph)
    assert list(found) == [name for name in codes.SEGMENTS if name in case.masks]
    for name, mask in case.masks.items():
        np.testing.assert_array_equal(found[name], mask, err_msg=name)


def test_highdicom_reads_the_same_masks(case: Case, seg: Path) -> None:
    stack = highdicom.seg.segread(seg).get_pixels_by_source_instance(
        [case.radiograph.source_sop_uid], ignore_spatial_locations=True
    )
    names = [name for name in codes.SEGMENTS if name in case.masks]
    for index, name in enumerate(names):
        np.testing.assert_array_equal(stack[0, ..., index] > 0, case.masks[name])


def test_each_segment_has_its_own_codes(seg: Path) -> None:
    sides = {}
    for segment in dcmread(seg).SegmentSequence:
        kind = segment.SegmentedPropertyTypeCodeSequence[0]
        modifiers = kind.get("SegmentedPropertyTypeModifierCodeSequence", [])
        sides[segment.SegmentLabel] = [m.CodeMeaning for m in modifiers]
        assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning
    assert sides == {
        "Right lung": ["Right"], "Left lung": ["Left"], "Heart": [],
        "Edit region": [], "Edit band": [],
    }  # fmt: skip


def test_each_segment_has_its_own_tracking_that_repeats(case: Case, seg: Path) -> None:
    def tracking(ds: Dataset) -> list[tuple[str, str]]:
        return [(s.TrackingID, s.TrackingUID) for s in ds.SegmentSequence]

    found = tracking(dcmread(seg))
    labels = ["Right lung", "Left lung", "Heart", "Edit region", "Edit band"]
    assert [label for label, _ in found] == labels
    assert len({uid for _, uid in found}) == len(labels)
    assert tracking(segmentation_dataset(plan_of(case), case.masks)) == found
    two = {name: case.masks[name] for name in ("heart", "edit_band")}
    assert tracking(segmentation_dataset(plan_of(case), two)) == [found[2], found[4]]
    other = record_with(seeds=(8,), request_json='{"preset":"fast","version":1}')
    again = tracking(segmentation_dataset(plan_of(case, record=other), case.masks))
    assert not {uid for _, uid in again} & {uid for _, uid in found}


def test_a_mask_of_the_user_is_manual_and_ours_name_their_algorithm(case: Case) -> None:
    record = record_with(masks={"from_user": ["heart"]})
    ds = segmentation_dataset(plan_of(case, record=record), case.masks)
    made = {s.SegmentLabel: (s.SegmentAlgorithmType, s.get("SegmentAlgorithmName"))
            for s in ds.SegmentSequence}  # fmt: skip
    assert made["Heart"] == ("MANUAL", None)
    assert made["Left lung"] == ("AUTOMATIC", "hybridgnet")
    assert made["Edit band"] == ("AUTOMATIC", "Edit region")


def test_masks_refer_to_the_source_and_are_not_called_synthetic(case: Case, seg: Path) -> None:
    ds = dcmread(seg)
    series = ds.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == case.radiograph.header.SeriesInstanceUID
    referenced = series.ReferencedInstanceSequence[0]
    assert referenced.ReferencedSOPInstanceUID == case.radiograph.source_sop_uid
    assert "SyntheticData" not in ds
    assert ds.PatientID == "PH-0001"
    assert ds.PatientOrientation == ["L", "F"]
    assert ds.SegmentationType == "BINARY"


def test_all_masks_of_one_source_share_a_frame_of_reference(case: Case, seg: Path) -> None:
    other = segmentation_dataset(plan_output(case.radiograph, (), record=RECORD),
                                 {"heart": case.masks["heart"]})  # fmt: skip
    ds = dcmread(seg)
    assert ds.FrameOfReferenceUID == other.FrameOfReferenceUID
    assert ds.SOPInstanceUID != other.SOPInstanceUID


@pytest.mark.parametrize(
    ("kind", "spacing"),
    [("dx-mono2-12", 0.2), ("dx-calibrated", 0.2), ("sc-calibrated", 0.2), ("cr-zero-spacing", 1.0),
     ("cr-mono1-15-nospacing", 1.0)],
)  # fmt: skip
def test_carrier_plane_uses_the_spacing_that_viewers_apply(
    kind: str, spacing: float, tmp_path: Path
) -> None:
    case = case_of(save(tmp_path / "source.dcm", ALL_KINDS[kind]))
    ds = segmentation_dataset(plan_of(case), case.masks)
    shared = ds.SharedFunctionalGroupsSequence[0]
    assert [float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing] == [spacing] * 2
    assert ("not calibrated" in ds.ContentDescription) == (spacing == 1.0)


def test_an_empty_mask_is_left_out_and_only_empty_ones_are_refused(
    case: Case, tmp_path: Path
) -> None:
    empty = np.zeros_like(case.masks["heart"])
    masks = {**case.masks, "edit_band": empty}
    path = write_segmentation(plan_of(case), masks, tmp_path).path
    assert "edit_band" not in read_segmentation(path, case.radiograph)
    with pytest.raises(BadRequest, match="empty"):
        write_segmentation(plan_of(case), {"heart": empty}, tmp_path)


def test_masks_without_a_code_or_on_another_grid_are_refused(case: Case, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="spleen"):
        write_segmentation(plan_of(case), {"spleen": case.masks["heart"]}, tmp_path)
    with pytest.raises(BadRequest, match="expected bool"):
        write_segmentation(plan_of(case), {"heart": case.masks["heart"][1:]}, tmp_path)


def test_masks_of_another_image_are_refused(seg: Path, tmp_path: Path) -> None:
    other = case_of(save(tmp_path / "other.dcm", Spec(seed=99)))
    with pytest.raises(BadRequest, match="another image"):
        read_segmentation(seg, other.radiograph)
    small = case_of(save(tmp_path / "small.dcm", Spec(rows=100)))
    with pytest.raises(BadRequest, match="120 x 96; the source is 100 x 96"):
        read_segmentation(seg, small.radiograph)


def test_a_turned_plane_a_fraction_and_a_file_that_is_no_seg_are_refused(
    case: Case, seg: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnreadableInput, match="not a DICOM Segmentation"):
        read_segmentation(tmp_path / "source.dcm", case.radiograph)
    with pytest.raises(UnreadableInput, match="not a DICOM Segmentation"):
        read_segmentation(tmp_path / "missing.dcm", case.radiograph)
    with pytest.raises(BadRequest, match="FRACTIONAL"):
        read_segmentation(changed(seg, SegmentationType="FRACTIONAL"), case.radiograph)
    ds = dcmread(changed(seg, SegmentationType="BINARY"))
    plane = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    plane.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
    ds.save_as(seg)
    with pytest.raises(BadRequest, match="another plane"):
        read_segmentation(seg, case.radiograph)


def test_two_segments_of_one_name_are_refused(case: Case, seg: Path) -> None:
    ds = dcmread(seg)
    ds.SegmentSequence[1] = ds.SegmentSequence[0]
    ds.save_as(seg)
    with pytest.raises(BadRequest, match="two segments that mean right_lung"):
        read_segmentation(seg, case.radiograph)


def segment(label: str, scheme: str = "", value: str = "", side: str = "") -> Dataset:
    """A segment description as other programs write it."""
    ds = Dataset()
    ds.SegmentNumber, ds.SegmentLabel = 3, label
    if value:
        kind = codes.Concept(value, scheme, "x").item()
        if side:
            kind.SegmentedPropertyTypeModifierCodeSequence = [
                codes.Concept(side, scheme, "x").item()
            ]
        ds.SegmentedPropertyTypeCodeSequence = [kind]
    return ds


@pytest.mark.parametrize(
    ("description", "name"),
    [
        (segment("anything", "SCT", "39607008", "7771000"), "left_lung"),
        (segment("anything", "SRT", "T-28000", "G-A100"), "right_lung"),
        (segment("anything", "SCT", "3341006"), "right_lung"),
        (segment("anything", "SCT", "80891009"), "heart"),
        (segment("Left Lung"), "left_lung"),
        (segment("lung right", "SCT", "85756007"), "right_lung"),
        (segment("My ROI", "SCT", "85756007"), "my_roi"),
        (segment(""), "segment_3"),
    ],
)
def test_segments_of_other_programs_are_matched_by_code_then_label(
    description: Dataset, name: str
) -> None:
    assert segment_name(description) == name


@pytest.mark.parametrize(
    ("kind", "characters"),
    [("cr-kanji-names", "ISO_IR 192"), ("cr-latin-names", "ISO_IR 100"), ("cr-bare", None)],
)
def test_several_character_sets_become_one(
    kind: str, characters: str | None, tmp_path: Path
) -> None:
    case = case_of(save(tmp_path / "source.dcm", ALL_KINDS[kind]))
    ds = dcmread(write_segmentation(plan_of(case), case.masks, tmp_path).path)
    assert ds.get("SpecificCharacterSet") == characters
    assert ds.PatientName == dcmread(tmp_path / "source.dcm").PatientName
