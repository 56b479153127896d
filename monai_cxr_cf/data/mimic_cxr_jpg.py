# SPDX-License-Identifier: Apache-2.0
"""A MIMIC-CXR-JPG folder (2.x, credentialed) in, frontal radiographs with short prompts out.

Expected, as published on PhysioNet: ``mimic-cxr-2.*-{metadata,split,chexpert}.csv`` (or
``.csv.gz``; ``negbio`` where there is no ``chexpert``, and the radiologists' test labels of 2.1),
``files/p10/p10000032/s50414267/DICOM_ID.jpg``, and the reports of MIMIC-CXR. The tables may lie
deeper (``physionet.org/files/mimic-cxr-jpg/VERSION``), the images directly, flat, or as PNG, the
reports beside the images or in a folder of their own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_cxr_cf.data.counts import Counts
from monai_cxr_cf.data.csv_text import filled, read_report, read_rows
from monai_cxr_cf.data.labels import TOLD, positive
from monai_cxr_cf.data.places import (
    Images,
    Place,
    below,
    find_table,
    first_holding,
    homes,
    no_table,
    roots,
)
from monai_cxr_cf.data.table import Captioned, Wanted, caption
from monai_cxr_cf.data.views import projection, told_projection, why_not
from monai_cxr_cf.errors import UnreadableInput

TABLES = r"mimic-cxr-2\.\d+\.\d+-{}\.csv"
HOMES = (
    *("mimic-cxr-jpg", "mimic-cxr-jpg/*", "files/mimic-cxr-jpg/*", "mimic-cxr-jpg-*"),
    *("physionet.org/files/mimic-cxr-jpg/*", "2.*"),
)
IMAGES = ("files", "images", "images/files", "jpg", "png", "mimic-cxr-jpg-*/files")
REPORTS = (
    *("mimic-cxr-reports/files", "mimic-cxr-reports", "reports/files", "reports", "files"),
    *("physionet.org/files/mimic-cxr/*/files", "physionet.org/files/mimic-cxr/*/mimic-cxr-reports"),
    *("physionet.org/files/mimic-cxr/*/mimic-cxr-reports/files", "mimic-cxr/*/files"),
)
SPLITS = {"train": "train", "validate": "judge", "test": "test"}
_KEYS = ("subject_id", "study_id")


@dataclass(frozen=True)
class _Image:
    """One row of the metadata that is to be read."""

    name: str
    patient: str
    study: str
    view: str
    split: str
    image: str = ""

    @property
    def place(self) -> str:
        return f"{self.patient[:3]}/{self.patient}/{self.study}"


def read_mimic_cxr_jpg(folder: Path, counts: Counts, asked: Wanted) -> Iterator[Captioned]:
    """Frontal radiographs in the order of the metadata; those not on disk are left out.

    The prompt is the cleaned report; without a report, or where the report says nothing that the
    vocabulary knows, the positive labels: radiologists' before a labeller's.

    Raises:
        UnreadableInput: a table is missing or has other columns, or there is nothing to caption by.
    """
    where = homes(folder, HOMES)
    metadata, parts = (_table(folder, where, name) for name in ("metadata", "split"))
    counts.table = below(folder, metadata)
    wanted = list(_wanted(metadata, _splits(parts), counts, asked))
    labels = _labels(folder, where, counts, asked.uncertain)
    found = _on_disk(folder, [metadata.parent, *where], wanted, counts)
    texts = _reports(folder, [metadata.parent, *where], asked.reports, found, counts)
    if texts is None and not labels:
        raise UnreadableInput(
            "There are neither reports nor labels to caption the images by; looked for reports in "
            f"{', '.join(REPORTS[:5])}, and for a table chexpert or negbio.",
            hint="Unpack mimic-cxr-reports.zip in the data folder, or name its folder: --reports.",
        )
    for row in found:
        said = _report(texts, row)
        counts.reports += said is not None
        prompt, words = caption(asked.caption(said or ""), labels.get(row.study[1:], ()))
        yield Captioned(row.name, row.image, row.patient, row.view, row.split, prompt, words)


def _table(folder: Path, where: Sequence[Path], name: str) -> Path:
    found = find_table(where, TABLES.format(name))
    if found is None:
        raise no_table(folder, where, f"mimic-cxr-2.*-{name}.csv or .csv.gz")
    return found


def _key(cell: str, letter: str) -> str:
    """An identity as folders name it, however a tool wrote the number: "p10000032"."""
    return letter + filled(cell).removesuffix(".0").removeprefix(letter)


def _splits(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in read_rows(path, ("dicom_id", "split")):
        if found.setdefault(row["dicom_id"], row["split"]) != row["split"]:
            raise _twice(path, row["dicom_id"])
    return found


def _twice(path: Path, name: str) -> UnreadableInput:
    return UnreadableInput(
        f"{path.name} says two things of {name}.", hint="Use the table as published."
    )


def _wanted(
    path: Path, splits: Mapping[str, str], counts: Counts, asked: Wanted
) -> Iterator[_Image]:
    """The rows with one of the views and the split; the rest is counted."""
    for row in read_rows(path, ("dicom_id", *_KEYS, "ViewPosition")):
        counts.rows += 1
        view = projection(row["ViewPosition"]) or told_projection(
            row.get("ViewCodeSequence_CodeMeaning", ""),
            row.get("PerformedProcedureStepDescription", ""),
        )
        part = SPLITS.get(splits.get(row["dicom_id"], "").strip().casefold())
        if reason := why_not(view, asked.views):
            counts.drop(reason)
        elif part is None:
            counts.drop("without a known split")
        elif asked.split not in (None, part):
            counts.drop("of another split")
        else:
            patient, study = _key(row["subject_id"], "p"), _key(row["study_id"], "s")
            yield _Image(row["dicom_id"], patient, study, view, part)


def _on_disk(
    folder: Path, where: Sequence[Path], wanted: Sequence[_Image], counts: Counts
) -> list[_Image]:
    """The rows whose image is there, with its file."""
    tried = [place for at in where for place in (*roots(at, IMAGES), at)]
    places = [Place(row.place, row.name) for row in wanted]
    images = Images(folder, list(dict.fromkeys(tried)), places)
    found = []
    for row, place in zip(wanted, places, strict=True):
        if (image := images(place)) is None:
            counts.drop("not on disk")
        else:
            found.append(_Image(row.name, row.patient, row.study, row.view, row.split, image))
    if wanted and not found:
        names = ", ".join(below(folder, at) or "the folder itself" for at in tried)
        counts.notes.append(
            f"no image was found: looked for {wanted[0].place}/{wanted[0].name} as .jpg, .png or "
            f".dcm, and for flat copies, in {names}"
        )
    return found


def _labels(
    folder: Path, where: Sequence[Path], counts: Counts, uncertain: str
) -> dict[str, tuple[str, ...]]:
    """study_id -> names of its positive labels, the radiologists' over a labeller's."""
    found: dict[str, tuple[str, ...]] = {}
    names = ("chexpert", "negbio")
    paths = [find_table(where, TABLES.format(name)) for name in names]
    chosen = [path for path in paths if path is not None][:1]
    judged = find_table(where, TABLES.format("test-set-labeled"))
    for path in (*chosen, judged):
        if path is None:
            continue
        counts.notes.append(f"labels from {below(folder, path)}; {TOLD[uncertain]}")
        here: dict[str, tuple[str, ...]] = {}
        for row in read_rows(path, ("study_id",)):
            study, labels = _key(row["study_id"], "s")[1:], positive(row, path.name, uncertain)
            if here.setdefault(study, labels) != labels:
                raise _twice(path, f"study {study}")
        found |= here
    return found


def _reports(
    folder: Path, where: Sequence[Path], given: Path | None, rows: Sequence[_Image], counts: Counts
) -> Path | None:
    """The root below which reports lie; None, told in the counts, if there are none."""
    if given is not None:
        tried = [*roots(given, ("files", "mimic-cxr-reports/files", "mimic-cxr-reports")), given]
    else:
        tried = [place for at in where for place in (*roots(at, REPORTS), at)]
    names = [f"{row.place}.txt" for row in rows]
    found = first_holding(tried, names, _text_of)
    if found is not None:
        shown = below(folder, found) if found.is_relative_to(folder) else found.name
        counts.notes.append(f"reports from {shown or 'the folder itself'}")
        return found
    packed = any(at.is_dir() and any(at.glob("*reports*.zip")) for at in where)
    zipped = "; mimic-cxr-reports.zip is still packed" if packed else ""
    counts.notes.append(f"no report was found: looked in {', '.join(REPORTS[:5])}{zipped}")
    if given is not None:
        raise UnreadableInput(
            "--reports holds no report of these studies; expected p10/PATIENT/STUDY.txt below it.",
            hint="Name the folder that mimic-cxr-reports.zip was unpacked into.",
        )
    return None


def _text_of(root: Path, name: str) -> Path:
    """Where a report is: in folders as published, else flat."""
    nested = root / name
    return nested if nested.is_file() else root / Path(name).name


def _report(root: Path | None, row: _Image) -> str | None:
    path = _text_of(root, f"{row.place}.txt") if root is not None else None
    if path is None or not path.is_file():
        return None
    return read_report(path)
