# SPDX-License-Identifier: Apache-2.0
"""report.json: what was asked, what was done, which files came out, and no patient's name.

In: an ``OutputPlan`` and the files already written. Out: ``report.json``, checked against
``schemas/report.schema.json``. Everything but ``run`` repeats with the request.
"""

import json
from collections.abc import Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jsonschema
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.dicom.record import FindingRecord, WrittenFile, plain
from monai_cxr_cf.dicom.writing.fileio import save_text, written_file
from monai_cxr_cf.dicom.writing.plan import OutputPlan
from monai_cxr_cf.errors import CxrError

SCHEMA_VERSION = 1
NOTICE = "SYNTHETIC - research only. Not for diagnosis. Not anonymous: pixels of the source remain."
NO_PATIENT = "Raster source: no patient data; study and identifiers were made from its pixels."
_HEADER_FACTS = {
    "modality": "Modality",
    "body_part": "BodyPartExamined",
    "view_position": "ViewPosition",
    "sop_class": "SOPClassUID",
    "study_uid": "StudyInstanceUID",
    "series_uid": "SeriesInstanceUID",
}


def report_schema() -> dict[str, Any]:
    """The JSON schema of report.json."""
    text = (resources.files("monai_cxr_cf") / "schemas" / "report.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def write_report(plan: OutputPlan, files: Sequence[WrittenFile], folder: Path) -> WrittenFile:
    """Write ``folder/report.json``.

    Args:
        plan: from ``plan_output``.
        files: everything else in the folder, in the order to be listed.
        folder: the output folder; listed paths are relative to it.

    Raises:
        CxrError: the record does not fit the schema (a bug of ours).
    """
    report = facts(plan)
    report["files"] = [_file(entry, folder) for entry in files]
    report["run"] = plain(plan.record.run)
    _validate(report)
    path = folder / "report.json"
    save_text(json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n", path)
    return written_file("report", path)


def facts(plan: OutputPlan) -> dict[str, Any]:
    """The repeatable part of a report, JSON-ready; the SR derives its identity from it."""
    record = plan.record
    return {
        "schema_version": SCHEMA_VERSION,
        "notice": NOTICE,
        "synthetic": bool(plan.members),
        "request": plain(record.request),
        "request_sha256": record.request_sha256,
        "seeds": list(record.seeds),
        "findings": [_finding(finding) for finding in record.findings],
        "region": record.region,
        "strength": float(record.strength),
        "source": source_facts(plan),
        "warnings": _warnings(plan),
        "weights": [vars(weights) for weights in record.weights],
        "masks": plain(record.masks),
        "outside_max_diff": plain(record.metrics.get("outside_max_diff")),
        "burn_in": plan.options.burn_in,
        "metrics": plain(record.metrics),
        "scores": [vars(score) for score in record.scores],
        "trace": plain(record.trace),
        "verdict": plain(record.verdict),
        "versions": _versions(plan),
    }


def source_facts(plan: OutputPlan) -> dict[str, Any]:
    """What the source is, without patient: identifiers, grid, grey scale, spacing, pixel hash."""
    radiograph = plan.radiograph
    rows, columns = radiograph.shape
    found: dict[str, Any] = {
        "kind": "raster" if plan.is_raster else "dicom",
        "sop_uid": radiograph.source_sop_uid,
        "pixels_sha256": radiograph.sha256,
        "rows": rows,
        "columns": columns,
        "bits_stored": radiograph.bits_stored,
        "signed": radiograph.signed,
        "polarity": radiograph.polarity,
        "voi": plain(radiograph.voi.as_dict()),
        "spacing": plain(radiograph.spacing.as_dict()),
    }
    if plan.is_raster:
        return {**found, "note": NO_PATIENT}
    return {**found, **_header_facts(plan.header)}


def _header_facts(header: Dataset) -> dict[str, str]:
    with withheld():
        return {
            name: str(header[keyword].value)
            for name, keyword in _HEADER_FACTS.items()
            if header.get(keyword)
        }


def _finding(finding: FindingRecord) -> dict[str, Any]:
    keys = ("value", "scheme", "meaning")
    return {
        "words": finding.words,
        "direction": finding.direction,
        "side": finding.side,
        "severity": finding.severity,
        "code": None if finding.code is None else dict(zip(keys, finding.code, strict=True)),
    }


def _warnings(plan: OutputPlan) -> list[dict[str, str]]:
    """The reader's, the run's and the writer's warnings, each once, in that order."""
    pairs = (*plan.radiograph.warnings, *plan.record.warnings, *plan.warnings)
    return [{"code": code, "message": message} for code, message in dict.fromkeys(pairs)]


def _versions(plan: OutputPlan) -> dict[str, str]:
    ours = {name: metadata.version(name) for name in ("pydicom", "highdicom", "numpy")}
    return {"monai_cxr_cf": plan.record.code_version, **ours, **plan.record.versions}


def _file(entry: WrittenFile, folder: Path) -> dict[str, str]:
    listed = {
        "role": entry.role,
        "path": entry.path.relative_to(folder).as_posix(),
        "sha256": entry.sha256,
        "sop_class": entry.sop_class,
        "series_uid": entry.series_uid,
        "sop_uid": entry.sop_uid,
        "label": entry.label,
    }
    return {key: value for key, value in listed.items() if value}


def _validate(report: dict[str, Any]) -> None:
    error = jsonschema.Draft202012Validator(report_schema()).iter_errors(report)
    first = next(iter(error), None)
    if first is not None:
        where = ".".join(str(part) for part in first.absolute_path) or "report"
        raise CxrError(f"report.json does not fit its schema at {where}.", code="report_schema")
