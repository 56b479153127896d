# SPDX-License-Identifier: Apache-2.0
"""Rows in, what a judge is told about each of them out: findings, doubts, and what is common where.

Labels of ChestX-ray14 were mined from reports. Where another label of the image may mean the same
picture, or a radiologist who looked again says otherwise, nobody says anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.data.csv_text import read_rows
from monai_cxr_cf.data.folder import Row

Array = NDArray[np.float32]

# Which labels of ChestX-ray14 count as which finding of the vocabulary. Its pneumonia and its
# consolidation are the same picture, told apart by what the reader knew: so the finding
# "consolidation" takes both, and "pneumonia" its own label alone.
NIH = {
    "cardiomegaly": ("Cardiomegaly",),
    "pleural effusion": ("Effusion",),
    "consolidation": ("Consolidation", "Pneumonia"),
    "pulmonary edema": ("Edema",),
    "atelectasis": ("Atelectasis",),
    "pneumothorax": ("Pneumothorax",),
    "pneumonia": ("Pneumonia",),
    "nodule": ("Nodule", "Mass"),
}
NARROW = {"consolidation": ("Consolidation",)}  # measured beside it
# Labels beside which the absence of a finding says nothing.
DOUBTS = {
    "consolidation": {"Infiltration"},
    "pneumonia": {"Infiltration", "Consolidation"},
    "pulmonary edema": set(),
}
# What the trunk learns besides; no judge speaks of it.
ASIDE = ("Infiltration", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia")
OPACITY = "opacity"  # a radiologist's second look for opacities (RSNA)
NORMAL, OPAQUE = "Normal", "Lung Opacity"
SOLID = {"consolidation", "pneumonia"}  # what that second look can contradict
FEW = 5.0  # rows of the whole set that a stratum's share of a finding is mixed with


def second_looks(data: Path) -> dict[str, str]:
    """Row id -> Normal, Lung Opacity or another class of ``expert.csv``; empty without the file."""
    path = data / "expert.csv"
    if not path.is_file():
        return {}
    rows = read_rows(path, ("id", "rsna"))
    return {row["id"]: row["rsna"] for row in rows if row["rsna"]}


def label_of(row: Row, finding: str, look: str = "") -> float:
    """1 or 0: whether a row shows a finding; NaN where nobody says.

    Args:
        row: with labels of ChestX-ray14, or the finding's own name.
        finding: one of ``NIH`` or ``ASIDE``, or ``OPACITY``.
        look: class of the second look, if there was one.
    """
    if finding == OPACITY:
        return float(look == OPAQUE) if look else float("nan")
    own = set(row.labels)
    present = bool(own & {finding, *NIH.get(finding, ())})
    contradicted = finding in SOLID and look == (NORMAL if present else OPAQUE)
    doubtful = not present and own & DOUBTS.get(finding, set())
    return float("nan") if contradicted or doubtful else float(present)


def label_table(rows: Sequence[Row], names: Sequence[str], looks: Mapping[str, str]) -> Array:
    """(N, names) of ``label_of``."""
    told = [[label_of(row, name, looks.get(row.id, "")) for name in names] for row in rows]
    return np.array(told, np.float32).reshape(len(rows), len(names))


def strata(
    rows: Sequence[Row], small: NDArray[np.bool_], finding: str, *, apart: bool
) -> NDArray[np.intp]:
    """Which rows a finding is told apart among: those of one view and one kind of file.

    Args:
        rows: of the judge.
        small: whose files are small.
        finding: in question.
        apart: also the ill among the ill, so that "ill" is not taken for the finding.
    """
    portable = np.array([row.view.startswith("AP") for row in rows], np.intp)
    found = 2 * portable + small
    if apart:
        own = {"No Finding", *NIH.get(finding, (finding,))}
        found = 2 * found + np.array([bool(set(row.labels) - own) for row in rows])
    return np.asarray(found, np.intp)


def log_odds(labels: NDArray[np.float32], strata: NDArray[np.intp]) -> Array:
    """(N,) labels -> (N,) log odds of the finding in each row's stratum.

    Added to a logit in training, they leave the network nothing to gain from telling a stratum.
    """
    known = ~np.isnan(labels)
    overall = (labels[known].sum() + 0.5) / (known.sum() + 1)
    odds = np.zeros(len(labels), np.float32)
    for stratum in np.unique(strata):
        inside = strata == stratum
        said = labels[inside & known]
        share = (said.sum() + FEW * overall) / (len(said) + FEW)
        odds[inside] = np.log(share / (1 - share))
    return odds
