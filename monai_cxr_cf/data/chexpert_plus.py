# SPDX-License-Identifier: Apache-2.0
"""A CheXpert Plus folder (registration needed) in, frontal radiographs with short prompts out.

Expected, as published by Stanford AIMI: ``df_chexpert_plus_*.csv`` and the images of its
``path_to_image`` column (``train/patient00001/study1/view1_frontal.jpg``): as they are, as PNG
below ``PNG/`` or the chunks' folders, as DICOM, or in a CheXpert v1 folder, which uses the same
names. ``chexbert_labels/*.json`` caption where a report says nothing.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from monai_cxr_cf.data.counts import Counts
from monai_cxr_cf.data.csv_text import filled, read_rows
from monai_cxr_cf.data.labels import TOLD, read_chexbert
from monai_cxr_cf.data.places import Images, Place, below, find_table, homes, no_table, roots
from monai_cxr_cf.data.table import Captioned, Wanted, caption
from monai_cxr_cf.data.views import projection, why_not

TABLE = r"df_chexpert_plus_\w+\.csv"
SPLITS = {"train": "train", "valid": "test"}  # no third split is published
HOMES = ("CheXpert*Plus*", "chexpert*plus*", "chexpertplus*")
CHUNK = "png_chexpert_plus_chunk_*"
ROOTS = (
    *("PNG", "PNG/PNG", "PNGs", "PNGs/PNG", CHUNK, f"{CHUNK}/PNG", f"PNG/{CHUNK}"),
    *(f"PNG/{CHUNK}/PNG", "CheXpert-v1.0*", "CheXpert-v1.0*/CheXpert-v1.0*", "images"),
    *("DICOM/*", "DICOM", "DICOMs/*"),
)
LABELS = ("report", "impression", "findings")  # chexbert_labels/NAME_fixed.json, in this order
_COLUMNS = (
    *("path_to_image", "frontal_lateral", "ap_pa", "deid_patient_id", "split"),
    *("section_findings", "section_impression"),
)


def read_chexpert_plus(folder: Path, counts: Counts, asked: Wanted) -> Iterator[Captioned]:
    """Frontal radiographs in the order of the table; those not on disk are left out.

    The prompt is the cleaned text of findings and impression; where that says nothing, CheXbert's
    positive labels. ``asked.reports`` is not used: the table holds them.

    Raises:
        UnreadableInput: the table is missing or has other columns.
    """
    where = homes(folder, HOMES)
    table = find_table(where, TABLE)
    if table is None:
        raise no_table(folder, where, "df_chexpert_plus_*.csv or .csv.gz")
    counts.table = below(folder, table)
    wanted = list(_wanted(table, counts, asked))
    labels = _labels(folder, where, counts, asked.uncertain)
    for row, place, image in _on_disk(folder, [table.parent, *where], wanted, counts):
        counts.reports += bool(_sections(row))
        known = next((found[place] for found in labels if place in found), ())
        prompt, words = caption(asked.caption(_text(row)), known)
        name = "_".join((*PurePosixPath(place.folders).parts[-2:], place.stem))
        view, part = projection(row["ap_pa"]), SPLITS[row["split"].casefold()]
        yield Captioned(name, image, row["deid_patient_id"], view, part, prompt, words)


def _on_disk(
    folder: Path, where: Sequence[Path], wanted: Sequence[dict[str, str]], counts: Counts
) -> Iterator[tuple[dict[str, str], Place, str]]:
    """The rows whose image is there, with its place and file."""
    places = [_place(row["path_to_image"]) for row in wanted]
    tried = [at for home in where for at in (*roots(home, ROOTS), home)]
    images = Images(folder, list(dict.fromkeys(tried)), places)
    for row, place in zip(wanted, places, strict=True):
        image = images(place)
        if image is None:
            counts.drop("not on disk")
        else:
            yield row, place, image
    if wanted and images.chosen is None:
        names = ", ".join(below(folder, at) or "the folder itself" for at in images.where)
        counts.notes.append(
            f"no image was found: looked for {places[0].folders}/{places[0].stem} as .jpg, .png or "
            f".dcm in {names}"
        )


def _wanted(table: Path, counts: Counts, asked: Wanted) -> Iterator[dict[str, str]]:
    """The rows with one of the views and the split; the rest is counted."""
    for row in read_rows(table, _COLUMNS):
        counts.rows += 1
        part = SPLITS.get(row["split"].casefold())
        if row["frontal_lateral"].casefold() != "frontal":
            counts.drop("of another view")
        elif reason := why_not(projection(row["ap_pa"]), asked.views):
            counts.drop(reason)
        elif not filled(row["deid_patient_id"]):
            counts.drop("without a patient")
        elif part is None:
            counts.drop("without a known split")
        elif asked.split not in (None, part):
            counts.drop("of another split")
        else:
            yield row


def _place(image: str) -> Place:
    """Folders and stem from "train" or "valid" on, whatever root was written before them."""
    path = PurePosixPath(image.replace("\\", "/"))
    parts = path.parts
    start = next((n for n, part in enumerate(parts) if part in SPLITS), 0)
    return Place("/".join(parts[start:-1]), path.stem)


def _labels(
    folder: Path, where: Sequence[Path], counts: Counts, uncertain: str
) -> list[dict[Place, tuple[str, ...]]]:
    """Positive CheXbert labels by place, of each file that is there."""
    found = []
    for at in where:
        if (at / "chexbert_labels.zip").is_file() and not (at / "chexbert_labels").is_dir():
            counts.notes.append("chexbert_labels.zip is still packed, and not read")
        for name in LABELS:
            for path in (at / "chexbert_labels" / f"{name}_fixed.json", at / f"{name}_fixed.json"):
                if path.is_file():
                    counts.notes.append(f"labels from {below(folder, path)}; {TOLD[uncertain]}")
                    rows = read_chexbert(path, uncertain)
                    found.append({_place(image): known for image, known in rows.items()})
    return found


def _sections(row: dict[str, str]) -> dict[str, str]:
    """What findings and impression say, without those that say nothing."""
    said = {name: filled(row[f"section_{name}"]) for name in ("findings", "impression")}
    return {name: text for name, text in said.items() if text}


def _text(row: dict[str, str]) -> str:
    parts = (f"{name.upper()}:\n{said}" for name, said in _sections(row).items())
    return "\n\n".join(parts)
