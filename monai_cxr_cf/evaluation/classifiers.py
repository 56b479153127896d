# SPDX-License-Identifier: Apache-2.0
"""A judge and a data folder in, its AUC per finding on ``test`` out, with a learning curve.

The figures go into the judge's own config.json and MODEL_CARD.md, so that they stand beside every
score it gives; learning_curve.json and .png say whether more patients would help.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.data.folder import Row, load_image, read_index
from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.evaluation.bootstrap import draws_of
from monai_cxr_cf.evaluation.cohort import findings, held_out
from monai_cxr_cf.judges.card import table, write_card
from monai_cxr_cf.judges.classifier import Judge, load_judge
from monai_cxr_cf.judges.preprocess import to_squares
from monai_cxr_cf.judges.regions import columns_of
from monai_cxr_cf.judges.split import judge_rows
from monai_cxr_cf.training.classifier.data import NARROW, NIH
from monai_cxr_cf.training.classifier.heads import Samples, auc, fit

Array = NDArray[np.float64]
SHARES = (0.25, 0.5, 0.75, 1.0)  # of the judge's patients
COLUMNS = ("id", "patient", "labels")  # of index.csv
DRAWS = 5  # random sets of patients per share
RIDGE = 3.0  # one penalty along the curve, so that only the number of patients varies


def evaluate_classifier(
    folder: Path, data: Path, *, split: str = "test", curve: bool = True
) -> dict[str, Any]:
    """Measure a judge on a split that it never saw and write the figures into its folder.

    Args:
        folder: a judge's folder; config.json and MODEL_CARD.md are updated.
        data: folder with index.csv; rows without labels are left out.
        split: of the index; without such a column all rows count.
        curve: also learning_curve.json and learning_curve.png.

    Returns:
        ``judge``, ``images``, ``patients``, ``auc`` per finding, ``table`` and the curve.
    """
    judge = load_judge(folder)
    rows = [row for row in held_out(data, split, COLUMNS) if row.labels]
    if not rows:
        raise UnreadableInput(
            "No held-out radiograph has labels.",
            hint="Fill the column labels: findings between bars, or No Finding.",
        )
    images = [load_image(data, row) for row in rows]
    scores = judge.predict(images).astype(np.float64)
    found = {name: figures(scores[:, k], rows, name) for k, name in enumerate(judge.findings)}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["auc"] = found
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    write_card(folder)
    result: dict[str, Any] = {
        "judge": judge.name,
        "images": len(rows),
        "patients": len({row.patient for row in rows}),
        "auc": found,
        "table": table(config),
    }
    if curve and own_rows(judge, data):
        result["curve"] = learning_curve(judge, data, rows, folder)
    return result


def figures(scores: Array, rows: list[Row], finding: str) -> dict[str, float]:
    """AUC with its 95 % interval over patients, AUC within one view, and the counts."""
    labels = labels_of(rows, finding)
    draws = [auc(scores[i], labels[i]) for i in draws_of([row.patient for row in rows])]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    told = {
        "auc": auc(scores, labels),
        "low": float(low),
        "high": float(high),
        "within_view": within_view(scores, labels, [row.view for row in rows]),
        "positives": int(labels.sum()),
        "negatives": int((1 - labels).sum()),
    }
    if finding in NARROW:
        told["own_label_auc"] = auc(scores, labels_of(rows, finding, names=NARROW[finding]))
    return {name: round(value, 4) for name, value in told.items()}


def labels_of(rows: list[Row], finding: str, *, names: tuple[str, ...] | None = None) -> Array:
    """1 where a row's labels name a finding, else 0.

    Args:
        rows: with labels in any published spelling.
        finding: of the vocabulary.
        names: labels that count as it; None = those that the judges learnt it by, and its name.
    """
    wanted = set(NIH.get(finding, ()) if names is None else names)
    own = frozenset() if names is not None else frozenset({finding})
    return np.array([float(bool(wanted & set(r.labels) or own & findings(r))) for r in rows])


def within_view(scores: Array, labels: Array, views: list[str]) -> float:
    """Mean AUC of pairs of one view: portable films carry more findings, which alone scores."""
    total = weight = 0.0
    for view in sorted(set(views)):
        chosen = np.array([v == view for v in views])
        pairs = float(labels[chosen].sum() * (1 - labels[chosen]).sum())
        if pairs:
            total += pairs * auc(scores[chosen], labels[chosen])
            weight += pairs
    return total / weight if weight else float("nan")


def own_rows(judge: Judge, data: Path) -> list[Row]:
    """The rows of a folder that the judge has learnt from; none in a folder it never saw."""
    rows = judge_rows(read_index(data, COLUMNS), judge.name)
    return [row for row in rows if row.split == "judge"]


def learning_curve(
    judge: Judge, data: Path, test: list[Row], folder: Path
) -> dict[str, dict[str, list[float]]]:
    """AUC on ``test`` of maps refitted on shares of the judge's own patients, trunk unchanged.

    Returns:
        Per finding: ``share``, ``positives`` (mean count) and ``auc`` (mean of ``DRAWS`` sets).
    """
    own = [row for row in own_rows(judge, data) if row.labels]
    learnt, unseen = (_pooled(judge, data, rows) for rows in (own, test))
    curve: dict[str, dict[str, list[float]]] = {}
    for finding in judge.findings:
        columns = np.flatnonzero(columns_of(finding, judge.network.channels))
        truth = labels_of(test, finding)
        samples = _samples(learnt[:, columns], own, finding)
        points = [_point(samples, share, unseen[:, columns], truth) for share in SHARES]
        curve[finding] = {
            "share": list(SHARES),
            "positives": [round(p, 1) for p, _ in points],
            "auc": [round(a, 4) for _, a in points],
        }
    (folder / "learning_curve.json").write_text(json.dumps(curve, indent=1) + "\n")
    _draw(curve, folder / "learning_curve.png")
    return curve


def _samples(features: Array, rows: list[Row], finding: str) -> Samples:
    patients = tuple(row.patient for row in rows)
    count = len(rows)
    scored = np.ones(count, bool)
    labels = labels_of(rows, finding)
    return Samples(features, labels, np.ones(count), patients, ("",) * count, scored)


def _point(samples: Samples, share: float, unseen: Array, truth: Array) -> tuple[float, float]:
    """Mean count of positives and mean AUC over random sets of patients."""
    patients = sorted({str(p) for p in samples.patients})
    counts, values = [], []
    for seed in range(DRAWS if share < 1 else 1):
        chosen = np.random.default_rng(seed).permutation(len(patients))
        kept = {patients[i] for i in chosen[: round(share * len(patients))]}
        part = samples.part(np.array([str(p) in kept for p in samples.patients]))
        counts.append(float(part.labels.sum()))
        if 0 < part.labels.sum() < len(part.labels):
            values.append(auc(fit(part, ridge=RIDGE)(unseen), truth))
    return float(np.mean(counts)), float(np.mean(values)) if values else float("nan")


def _pooled(judge: Judge, data: Path, rows: list[Row]) -> Array:
    import torch

    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), 8):
            images = [load_image(data, row) for row in rows[start : start + 8]]
            squares = torch.from_numpy(to_squares(images, judge.side))[:, None]
            parts.append(judge.network.pooled(squares).numpy())
    return np.concatenate(parts).astype(np.float64)


def _draw(curve: dict[str, dict[str, list[float]]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4))
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    for finding, points in curve.items():
        axis.plot(points["share"], points["auc"], marker="o", label=finding)
    axis.axhline(0.8, color="grey", linewidth=0.8)
    axis.set_xlabel("share of the judge's patients")
    axis.set_ylabel("AUC on test")
    axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
