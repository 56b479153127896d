# SPDX-License-Identifier: Apache-2.0
"""What a judge could have learnt instead of findings: kind of file, collection, view.

A trait that its features tell (a linear probe, patients apart) is harmless while its scores do not
follow it: among radiographs without findings a score must not tell the trait, and among files of
one view and one kind it must tell the finding as well as among all of one view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.data.csv_text import read_rows
from monai_cxr_cf.data.folder import Row
from monai_cxr_cf.data.views import projection
from monai_cxr_cf.evaluation.classifier.figures import labels_of, within
from monai_cxr_cf.evaluation.cohort import without_findings
from monai_cxr_cf.measures.probe import Samples, auc, out_of_fold

Array = NDArray[np.float64]
MOST = 1200  # radiographs that a probe looks at, evenly spread: it is cubic in them
RIDGE = 1.0


def traits(
    data: Path, rows: Sequence[Row], small: NDArray[np.bool_]
) -> dict[str, NDArray[np.str_]]:
    """Trait -> its value for each row: view, size of the file and, by origin.csv, repository."""
    found = {
        "view": np.array([projection(row.view) for row in rows]),
        "size": np.where(small, "small", "large"),
    }
    path = data / "origin.csv"
    if path.is_file():
        of = {line["id"]: line["repo"] for line in read_rows(path, ("id", "repo"))}
        found["repository"] = np.array([of.get(row.id, "elsewhere") for row in rows])
    return {name: values for name, values in found.items() if len(np.unique(values)) > 1}


def confounds(
    data: Path,
    rows: Sequence[Row],
    small: NDArray[np.bool_],
    *,
    features: Array,
    scores: Mapping[str, Array],
) -> dict[str, Any]:
    """Per trait and, of its values, the commonest against the rest.

    Returns:
        Per trait ``value``, ``probe`` (cross-validated AUC of a linear map of the features) and
        ``scores``: finding -> AUC of its score for the trait among radiographs without findings,
        within one view (for the view: over all). ``findings``: AUC within view, and view and size.
    """
    told, known = dict[str, Any](), traits(data, rows, small)
    nothing = np.zeros(len(rows), "<U1")
    views, clean = known.get("view", nothing), np.array([without_findings(row) for row in rows])
    for name, values in known.items():
        kinds, counts = np.unique(values, return_counts=True)
        common = kinds[counts.argmax()]
        has = (values == common).astype(np.float64)
        strata = nothing if name == "view" else views
        told[name] = {
            "value": str(common),
            "probe": round(probe(features, has, rows), 4),
            "scores": {
                finding: round(within(score[clean], has[clean], strata[clean]), 4)
                for finding, score in scores.items()
            },
        }
    both = np.char.add(views, np.where(small, " small", " large"))
    told["findings"] = {
        finding: {
            "one_view": round(within(score, labels_of(rows, finding), views), 4),
            "one_view_and_size": round(within(score, labels_of(rows, finding), both), 4),
        }
        for finding, score in scores.items()
    }
    return told


def probe(features: Array, labels: Array, rows: Sequence[Row]) -> float:
    """AUC of a linear map of the features for a label, patients apart; NaN for one class."""
    index = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST)).round().astype(int))
    count = len(index)
    if not 0 < labels[index].sum() < count:
        return float("nan")
    samples = Samples(
        features[index],
        labels[index],
        np.ones(count),
        tuple(rows[int(i)].patient for i in index),
        ("",) * count,
        np.ones(count, bool),
    )
    return auc(out_of_fold(samples, ridges=(RIDGE,))[0], samples.labels)


def words(told: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    lines = ["| trait | its features tell it (AUC) | the score that tells it most, of radiographs "
             "without findings (AUC) |", "|---|---|---|"]  # fmt: skip
    for name, found in told.items():
        if name == "findings":
            continue
        known = {k: v for k, v in found["scores"].items() if not np.isnan(v)}
        worst = max(known, key=lambda k: abs(known[k] - 0.5)) if known else None
        said = "none without findings" if worst is None else f"{worst} {known[worst]:.2f}"
        lines.append(f"| {name}: {found['value']} | {found['probe']:.2f} | {said} |")
    lines += ["", "| finding | AUC within one view | within one view and size |", "|---|---|---|"]
    for finding, found in told["findings"].items():
        if not np.isnan(found["one_view"]):
            both = found["one_view_and_size"]
            lines.append(f"| {finding} | {found['one_view']:.2f} | {both:.2f} |")
    return "\n".join(lines) + "\n"
