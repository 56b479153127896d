# SPDX-License-Identifier: Apache-2.0
"""A small finished run for the tests of the writers: record, region, band, change and files."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from scipy.ndimage import binary_dilation

from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.record import (
    FindingRecord,
    Member,
    OutputOptions,
    RunRecord,
    Score,
    Weights,
    WrittenFile,
)
from monai_cxr_cf.dicom.writing.difference import write_differences
from monai_cxr_cf.dicom.writing.plan import DEFAULTS, OutputPlan, plan_output
from monai_cxr_cf.dicom.writing.report import write_report
from monai_cxr_cf.dicom.writing.seg import write_segmentation
from monai_cxr_cf.dicom.writing.sr import write_structured_report
from monai_cxr_cf.dicom.writing.write import write_counterfactuals
from tests.dicom.factory import KINDS, Spec, phantom_masks

EFFUSION = FindingRecord(
    "moderate left pleural effusion", "add", ("60046008", "SCT", "Pleural effusion"), "left", 0.5
)
OPACITY = FindingRecord("left basal opacity", "remove", None, "left")
RECORD = RunRecord(
    request_json='{"preset":"fast","prompt":"moderate left pleural effusion","version":1}',
    seeds=(7,),
    findings=(EFFUSION, OPACITY),
    region="left costophrenic and lower zone",
    strength=0.7,
    weights=(
        Weights("backbone", "cxr-mini", "a" * 64, "Apache-2.0"),
        Weights("segmenter", "hybridgnet", "b" * 64, "CC-BY-NC-4.0"),
    ),
    code_version="0.1.0",
    warnings=(("seed_default", "The seed was derived from source and request."),),
    metrics={"outside_max_diff": 0, "ssim": np.float32(0.93)},
    scores=(Score("pleural effusion", 0.1, 0.83, "judge"),),
    trace={"steps": [{"index": 0, "energy": 1.5, "skip": float("nan")}], "F": 40.0},
    verdict={"accepted": True, "target_gain": 0.73},
    masks={"segmenter": "hybridgnet"},
    run={"seconds": 12.5, "device": "cpu"},
)
MORE_KINDS: dict[str, Spec] = {
    "cr-zero-spacing": Spec(sop="CR", spacing="zero", seed=20),
    "dx-calibrated": Spec(spacing="calibrated", seed=21),
    "dx-anisotropic": Spec(spacing="anisotropic", seed=22),
    "sc-calibrated": Spec(sop="SC", seed=23).with_(
        PixelSpacingCalibrationType="FIDUCIAL", PixelSpacingCalibrationDescription="ruler"
    ),
    "cr-implicit-signed-lut": Spec(
        sop="CR", signed=True, padding=True, voi="lut", syntax=ImplicitVRLittleEndian, seed=27
    ),
    "cr-latin-names": Spec(sop="CR", seed=24).with_(
        SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Zoë", StudyDescription="Größe"
    ),
    "cr-kanji-names": Spec(sop="CR", seed=25).with_(
        SpecificCharacterSet=["", "ISO 2022 IR 87"],
        PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    "cr-bare": Spec(sop="CR", spacing="none", voi="none", seed=26).with_(
        StudyDate=None, StudyTime=None, SeriesDate=None, SeriesTime=None, ContentDate=None,
        ContentTime=None, AcquisitionDate=None, AcquisitionTime=None, BodyPartExamined=None,
        PatientOrientation=None, Manufacturer=None, SeriesNumber=None, StudyID=None,
        AccessionNumber=None, PatientAge=None, ViewPosition=None, SpecificCharacterSet=None,
    ),
}  # fmt: skip
STRICT = ReadOptions()
RASTER = ReadOptions(allow_raster=True)
ALL_KINDS = {**KINDS, **MORE_KINDS}


@dataclass(frozen=True)
class Case:
    """A source with an edit of its left lower zone."""

    radiograph: Radiograph
    masks: dict[str, npt.NDArray[np.bool_]]
    member: Member

    @property
    def allowed(self) -> npt.NDArray[np.bool_]:
        """Where pixels may change."""
        return self.masks["edit_region"] | self.masks["edit_band"]


def case_of(path: Path, *, gain: float = 0.2, options: ReadOptions = STRICT) -> Case:
    """Read a source and brighten its left lower zone by ``gain`` of the display range."""
    radiograph = read_source(path, options)
    rows, columns = radiograph.shape
    organs = {k.replace(" ", "_"): m for k, m in phantom_masks(rows, columns).items()}
    region = organs["left_lung"] & (np.arange(rows)[:, np.newaxis] > 0.55 * rows)
    band = binary_dilation(region, iterations=3) & ~region
    change = (gain * region + 0.5 * gain * band).astype(np.float32)
    member = Member(radiograph.to_stored(change))
    return Case(radiograph, {**organs, "edit_region": region, "edit_band": band}, member)


def plan_of(
    case: Case, options: OutputOptions = DEFAULTS, record: RunRecord = RECORD
) -> OutputPlan:
    """The plan of a one-member output."""
    return plan_output(case.radiograph, [case.member], record=record, options=options)


def written(case: Case, folder: Path, options: OutputOptions = DEFAULTS) -> Dataset:
    """The counterfactual as read back from its file."""
    return dcmread(write_counterfactuals(plan_of(case, options), folder)[0].path)


def write_everything(plan: OutputPlan, case: Case, folder: Path) -> list[WrittenFile]:
    """All files of an output folder, report.json last."""
    files = [*write_counterfactuals(plan, folder), *write_differences(plan, folder)]
    files.append(write_segmentation(plan, case.masks, folder))
    files.append(write_structured_report(plan, files, folder))
    files.append(write_report(plan, files, folder))
    return files


def record_with(**changes: object) -> RunRecord:
    """RECORD with some fields replaced."""
    return replace(RECORD, **changes)  # type: ignore[arg-type]
