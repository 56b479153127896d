# SPDX-License-Identifier: Apache-2.0
"""A CheXpert Plus folder (registration needed) in, frontal radiographs with short prompts out.

Expected, as published by Stanford AIMI: ``df_chexpert_plus_240401.csv`` and the images of its
``path_to_image`` column (``train/patient00001/study1/view1_frontal.jpg``) as they are, or as PNG
of the same name below ``PNG/``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from monai_cxr_cf.data.table import Captioned, read_table
from monai_cxr_cf.prompts.clean import clean_report

TABLE = "df_chexpert_plus_240401.csv"
SPLITS = {"train": "train", "valid": "test"}  # no third split is published
ROOTS = ("", "PNG", "PNG/PNG")  # the archive may be unpacked into a folder of its name
_COLUMNS = (
    *("path_to_image", "frontal_lateral", "ap_pa", "deid_patient_id", "split"),
    *("section_findings", "section_impression"),
)


def read_chexpert_plus(
    folder: Path,
    *,
    views: tuple[str, ...] = ("PA",),
    split: str | None = None,
    clean: Callable[[str], str] = clean_report,
) -> Iterator[Captioned]:
    """Frontal radiographs in the order of the table; those not on disk are left out.

    The prompt is the cleaned text of findings and impression.

    Raises:
        UnreadableInput: the table is missing or has other columns.
    """
    for row in read_table(folder / TABLE, _COLUMNS):
        frontal = row["frontal_lateral"].strip().casefold() == "frontal"
        view, part = row["ap_pa"].strip().upper(), SPLITS.get(row["split"].strip().casefold())
        if not frontal or view not in views or part is None or split not in (None, part):
            continue
        image = _on_disk(folder, row["path_to_image"].strip())
        if image is None:
            continue
        name = "_".join(PurePosixPath(image).with_suffix("").parts[-3:])
        yield Captioned(name, image, row["deid_patient_id"], view, part, _prompt(row, clean))


def _prompt(row: dict[str, str], clean: Callable[[str], str]) -> str:
    text = "\n\n".join(
        f"{name.upper()}:\n{row[f'section_{name}']}"
        for name in ("findings", "impression")
        if row[f"section_{name}"]
    )
    return clean(text)


def _on_disk(folder: Path, image: str) -> str | None:
    """The file below ``folder``, with "/" between; None if it is not there."""
    path = PurePosixPath(image)
    for candidate in (path, path.with_suffix(".png")):
        for root in ROOTS:
            if (folder / root / candidate).is_file():
                return str(PurePosixPath(root) / candidate)
    return None
