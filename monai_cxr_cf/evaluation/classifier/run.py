# SPDX-License-Identifier: Apache-2.0
"""A judge and a data folder in, its AUC per finding and view on ``test`` out.

The figures go into the judge's own config.json and MODEL_CARD.md, so that they stand beside every
score it gives.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.data.csv_text import read_rows
from monai_cxr_cf.data.folder import Row, load_image
from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.evaluation.classifier.confounds import confounds
from monai_cxr_cf.evaluation.classifier.figures import against, figures, labels_of
from monai_cxr_cf.evaluation.classifier.places import places
from monai_cxr_cf.evaluation.cohort import held_out
from monai_cxr_cf.judges.card import table, write_card
from monai_cxr_cf.judges.classifier import Judge, load_judge
from monai_cxr_cf.training.classifier.data import SMALL

Array = NDArray[np.float64]
COLUMNS = ("id", "patient", "labels")  # of index.csv
# Columns of expert.csv, the answer that means yes, and the finding whose score must tell it.
EXPERTS = (
    ("rsna", "Lung Opacity", "consolidation"),
    ("google_airspace_opacity", "YES", "consolidation"),
    ("google_pneumothorax", "YES", "pneumothorax"),
    ("google_nodule_or_mass", "YES", "nodule"),
)


def evaluate_classifier(
    folder: Path, data: Path, *, split: str = "test", boxes: bool = False
) -> dict[str, Any]:
    """Measure a judge on a split that it never saw and write the figures into its folder.

    Args:
        folder: a judge's folder; config.json and MODEL_CARD.md are updated.
        data: folder with index.csv, and with expert.csv, boxes.csv and origin.csv where there are
            such; rows without labels are left out.
        split: of the index; without such a column all rows count.
        boxes: also ask whether evidence lies in readers' boxes, which takes 65 looks an image.

    Returns:
        ``judge``, ``images``, ``patients``, ``auc`` per finding, ``not_measured``: a sentence per
        finding that has none, ``experts`` per column of expert.csv, ``places`` per
        finding with boxes, ``confounds``, ``table``.
    """
    judge = load_judge(folder)
    rows = [row for row in held_out(data, split, COLUMNS) if row.labels]
    if not rows:
        raise UnreadableInput(
            "No held-out radiograph has labels.",
            hint="Fill the column labels: findings between bars, or No Finding.",
        )
    small, features = _looked(judge, data, rows)
    scores = _scores(judge, features)
    found = {name: figures(score, rows, name) for name, score in scores.items()}
    measured = {name: told for name, told in found.items() if told}
    return {
        "judge": judge.name,
        "images": len(rows),
        "patients": len({row.patient for row in rows}),
        "auc": measured,
        "not_measured": {name: _why(rows, name) for name, told in found.items() if told is None},
        "experts": experts(data, rows, scores),
        "places": places(judge, data, rows) if boxes else {},
        "confounds": confounds(data, rows, small, features=features, scores=scores),
        "table": table(_told(folder, measured)),
    }


def _told(folder: Path, measured: dict[str, Any]) -> dict[str, Any]:
    """The judge's config.json with new figures, written with its card."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["auc"] = measured
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    write_card(folder)
    return config


def _scores(judge: Judge, features: Array) -> dict[str, Array]:
    """Finding -> (N,) logits of pooled features."""
    maps = judge.network.findings
    logits = features @ maps.weight.double().numpy().T + maps.bias.double().numpy()
    return {name: logits[:, k] for k, name in enumerate(judge.findings)}


def _why(rows: Sequence[Row], finding: str) -> str:
    """Why a finding was not measured."""
    positives = int(labels_of(rows, finding).sum())
    if 0 < positives < len(rows):
        return f"{finding}: no view has radiographs with it and without it"
    which = "has no other" if positives else "names it: there were no positives"
    return f"{finding}: of {len(rows)} radiographs none {which}"


def experts(data: Path, rows: Sequence[Row], scores: dict[str, Array]) -> dict[str, Any]:
    """Column of expert.csv -> figures against it; empty without the file."""
    path = data / "expert.csv"
    if not path.is_file():
        return {}
    answers = {line["id"]: line for line in read_rows(path, ("id",))}
    told: dict[str, Any] = {}
    for column, yes, finding in EXPERTS:
        said = [answers.get(row.id, {}).get(column, "") for row in rows]
        truth = np.array([float(s == yes) if s else np.nan for s in said])
        if finding in scores and (found := against(scores[finding], truth, rows)):
            told[column] = {"finding": finding} | found
    return told


def _looked(judge: Judge, data: Path, rows: Sequence[Row]) -> tuple[NDArray[np.bool_], Array]:
    """Which files are small, and (N, D) pooled features."""
    import torch

    small, parts = [], []
    with torch.inference_mode():
        for start in range(0, len(rows), 16):
            images = [load_image(data, row) for row in rows[start : start + 16]]
            small += [min(image.shape) <= SMALL for image in images]
            parts.append(judge.network.pooled(torch.from_numpy(judge.squares(images))).numpy())
    return np.array(small), np.concatenate(parts).astype(np.float64)
