# SPDX-License-Identifier: Apache-2.0
"""report.json fits its versioned schema, lists every file and holds no patient."""

import json
from hashlib import sha256
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.dicom.record import OutputOptions, plain
from monai_cxr_cf.dicom.writing.fileio import written_file
from monai_cxr_cf.dicom.writing.plan import plan_output
from monai_cxr_cf.dicom.writing.report import SCHEMA_VERSION, report_schema, write_report
from monai_cxr_cf.dicom.writing.seg import write_segmentation
from monai_cxr_cf.errors import CxrError
from tests.dicom.factory import Spec, phantom, save
from tests.dicom.written import (
    RASTER,
    RECORD,
    Case,
    case_of,
    plan_of,
    record_with,
    write_everything,
)

# Version and fingerprint of the schema: whoever changes the schema decides on a new version.
SCHEMA_SHA256 = {1: "b9a90ee35d38632b376905b0ecf6344b896a5287ab4b0954e821df5c13cd76a2"}


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """An edit of a DX that belongs to a planted patient."""
    spec = Spec().with_(PatientName="Planted^Name", PatientID="PLANTED-ID",
                        AccessionNumber="PLANTEDACC", InstitutionName="Planted Hospital",
                        PatientBirthDate="19330303")  # fmt: skip
    return case_of(save(tmp_path / "source.dcm", spec))


def report_of(case: Case, folder: Path, options: OutputOptions = OutputOptions()) -> dict:  # noqa: B008
    """report.json of a whole output, parsed."""
    write_everything(plan_of(case, options), case, folder)
    return json.loads((folder / "report.json").read_text())


def test_report_fits_its_schema_and_the_schema_fits_its_version(case: Case, tmp_path: Path) -> None:
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(report_of(case, tmp_path))
    assert schema["properties"]["schema_version"]["const"] == SCHEMA_VERSION
    meaning = json.dumps(schema, sort_keys=True)
    assert sha256(meaning.encode()).hexdigest() == SCHEMA_SHA256[SCHEMA_VERSION]


def test_report_lists_every_file_with_hash_class_and_identifiers(
    case: Case, tmp_path: Path
) -> None:
    report = report_of(case, tmp_path / "out")
    paths = {f["path"]: f for f in report["files"]}
    assert list(paths) == ["cf/0001.dcm", "diff/0001.dcm", "seg.dcm", "sr.dcm"]
    for path, entry in paths.items():
        assert sha256((tmp_path / "out" / path).read_bytes()).hexdigest() == entry["sha256"]
        assert entry["sop_class"].startswith("1.2.840.10008.5.1.4.1.1.")
        assert entry["sop_uid"] != entry["series_uid"]


def test_report_repeats_except_for_the_run(case: Case, tmp_path: Path) -> None:
    slow = record_with(run={"seconds": 99.0})
    one = report_of(case, tmp_path / "one")
    write_everything(plan_of(case, record=slow), case, tmp_path / "two")
    two = json.loads((tmp_path / "two" / "report.json").read_text())
    assert one.pop("run") != two.pop("run")
    assert one == two


def test_report_holds_what_was_asked_and_done(case: Case, tmp_path: Path) -> None:
    report = report_of(case, tmp_path)
    assert report["request"]["prompt"] == "moderate left pleural effusion"
    assert report["request_sha256"] == RECORD.request_sha256
    assert report["findings"][0]["code"]["meaning"] == "Pleural effusion"
    assert report["weights"][1] == {
        "role": "segmenter", "name": "hybridgnet", "sha256": "b" * 64, "licence": "CC-BY-NC-4.0"
    }  # fmt: skip
    assert report["outside_max_diff"] == 0
    assert report["metrics"]["ssim"] == pytest.approx(0.93)
    assert report["trace"]["steps"][0]["skip"] is None
    assert {"pydicom", "highdicom", "numpy"} <= set(report["versions"])
    assert report["source"]["pixels_sha256"] == case.radiograph.sha256
    assert "seed_default" in [w["code"] for w in report["warnings"]]


def test_report_holds_no_patient_and_no_path(case: Case, tmp_path: Path) -> None:
    report_of(case, tmp_path)
    text = (tmp_path / "report.json").read_text()
    for planted in ("Planted", "PLANTED", "19330303", str(tmp_path)):
        assert planted not in text


def test_report_admits_a_burnt_in_mark(case: Case, tmp_path: Path) -> None:
    report = report_of(case, tmp_path, OutputOptions(burn_in=True))
    assert report["burn_in"] is True
    assert "burnt_in" in [w["code"] for w in report["warnings"]]


def test_report_of_a_raster_says_that_there_is_no_patient(tmp_path: Path) -> None:
    pixels = np.rint(phantom(120, 96) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "chest.png")
    case = case_of(tmp_path / "chest.png", options=RASTER)
    source = report_of(case, tmp_path / "out")["source"]
    assert source["kind"] == "raster"
    assert "no patient data" in source["note"]
    assert "study_uid" not in source


def test_report_of_masks_alone_is_not_synthetic(case: Case, tmp_path: Path) -> None:
    record = record_with(metrics={}, findings=(), strength=0.0, scores=(), request_json="{}")
    plan = plan_output(case.radiograph, (), record=record)
    (tmp_path / "preview.png").write_bytes(b"picture")
    files = [write_segmentation(plan, case.masks, tmp_path),
             written_file("preview", tmp_path / "preview.png")]  # fmt: skip
    write_report(plan, files, tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["synthetic"] is False
    assert report["outside_max_diff"] is None
    assert report["files"][1] == {
        "role": "preview", "path": "preview.png", "sha256": sha256(b"picture").hexdigest()
    }  # fmt: skip


def test_a_record_that_does_not_fit_the_schema_is_an_error_of_ours(
    case: Case, tmp_path: Path
) -> None:
    with pytest.raises(CxrError, match="at strength"):
        write_report(plan_of(case, record=record_with(strength=1.5)), [], tmp_path)
    assert not (tmp_path / "report.json").exists()


def test_numbers_of_numpy_and_those_that_json_lacks_become_plain() -> None:
    value = {"a": np.float32(0.5), "b": [float("inf"), np.int64(3)], "c": np.array([True, False])}
    assert plain(value) == {"a": 0.5, "b": [None, 3], "c": [True, False]}
