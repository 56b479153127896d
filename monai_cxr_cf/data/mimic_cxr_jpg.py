# SPDX-License-Identifier: Apache-2.0
"""A MIMIC-CXR-JPG folder (2.x, credentialed) in, frontal radiographs with short prompts out.

Expected, as published on PhysioNet: ``mimic-cxr-2.0.0-{metadata,split,chexpert}.csv`` (or
``.csv.gz``), ``files/p10/p10000032/s50414267/DICOM_ID.jpg``, and beside them the reports of
MIMIC-CXR, unpacked as ``mimic-cxr-reports/files/p10/p10000032/s50414267.txt``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from monai_cxr_cf.data.table import Captioned, prompt_from_labels, read_table
from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.prompts.clean import clean_report

METADATA = "mimic-cxr-2.0.0-metadata.csv"
SPLIT = "mimic-cxr-2.0.0-split.csv"
LABELS = "mimic-cxr-2.0.0-chexpert.csv"
SPLITS = {"train": "train", "validate": "judge", "test": "test"}
REPORTS = ("mimic-cxr-reports/files", "reports/files", "files")  # the last: both in one tree
POSITIVE = ("1.0", "1")  # 0.0 absent, -1.0 uncertain, blank not mentioned
_KEYS = ("subject_id", "study_id")
# A fracture may lie anywhere and the rib is ours; the others are no findings of the vocabulary.
_IGNORED = frozenset((*_KEYS, "Fracture"))


def read_mimic_cxr_jpg(
    folder: Path,
    *,
    views: tuple[str, ...] = ("PA",),
    split: str | None = None,
    clean: Callable[[str], str] = clean_report,
) -> Iterator[Captioned]:
    """Frontal radiographs in the order of the metadata; those not on disk are left out.

    The prompt is the cleaned report; without a report, or where the report says nothing that the
    vocabulary knows, the positive CheXpert labels (uncertain ones count as nothing).

    Raises:
        UnreadableInput: a table is missing or has other columns, or there is nothing to caption by.
    """
    splits = {
        row["dicom_id"]: SPLITS[row["split"]]
        for row in read_table(folder / SPLIT, ("dicom_id", "split"))
    }
    labels = _labels(folder)
    reports = next((folder / top for top in REPORTS if any((folder / top).glob("p1*"))), None)
    if reports is None and not labels:
        raise UnreadableInput(
            f"There are neither reports nor {LABELS}.", hint="Unpack mimic-cxr-reports.zip there."
        )
    for row in read_table(folder / METADATA, ("dicom_id", *_KEYS, "ViewPosition")):
        patient, study, name = f"p{row['subject_id']}", f"s{row['study_id']}", row["dicom_id"]
        if row["ViewPosition"] not in views or split not in (None, splits.get(name)):
            continue
        place = f"{patient[:3]}/{patient}/{study}"
        image = f"files/{place}/{name}.jpg"
        if name not in splits or not (folder / image).is_file():
            continue
        prompt = _prompt(reports, place, clean) or prompt_from_labels(
            labels.get(row["study_id"], ())
        )
        yield Captioned(name, image, patient, row["ViewPosition"], splits[name], prompt)


def _labels(folder: Path) -> dict[str, tuple[str, ...]]:
    """study_id -> names of its positive labels; nothing without the table."""
    if not any((folder / (LABELS + end)).is_file() for end in ("", ".gz")):
        return {}
    return {
        row["study_id"]: tuple(
            name for name, cell in row.items() if name not in _IGNORED and cell in POSITIVE
        )
        for row in read_table(folder / LABELS, (*_KEYS, "No Finding"))
    }


def _prompt(reports: Path | None, place: str, clean: Callable[[str], str]) -> str:
    path = reports / f"{place}.txt" if reports is not None else None
    if path is None or not path.is_file():
        return ""
    return clean(path.read_text(encoding="utf-8", errors="replace"))
