# SPDX-License-Identifier: Apache-2.0
"""Scores of held-out radiographs by arm and seed in, AUCs with intervals and a table out.

An AUC is the mean over the seeds, over pairs of one view. Its interval is a bootstrap of the
held-out patients, the same ones for every arm and seed, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.batch.export.samples import ARMS, COPIES, EDITED, REAL
from monai_cxr_cf.data.folder import Row
from monai_cxr_cf.data.views import projection
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.classifier.figures import drawn, within
from monai_cxr_cf.training.classifier.data import Material
from monai_cxr_cf.training.classifier.labels import label_table

Array = NDArray[np.float64]
PAIRS = ((COPIES, REAL), (EDITED, REAL), (EDITED, COPIES))
NAMES = {REAL: "real", COPIES: "real + duplicates", EDITED: "real + counterfactuals"}
NOTE = """
AUC on held-out patients, over pairs of one view: mean of {seeds} trainings, 95 % by patient
(bootstrap of {patients} patients, {images} radiographs). Each arm had {steps} steps. The intervals
do not hold how trainings differ; the AUC of each seed is in augmentation.json.
"""


def figures(
    given: Mapping[str, Material], findings: Sequence[str], scores: Mapping[str, Sequence[Array]]
) -> dict[str, Any]:
    """Counts, and of each finding the AUC by arm and its differences.

    Raises:
        BadRequest: no held-out radiograph has a finding, or none lacks it.
    """
    test, looks = given[REAL].unseen.rows, given[REAL].looks
    truth = label_table(test, findings, looks).astype(np.float64)
    told: dict[str, Any] = {}
    for k, name in enumerate(findings):
        own = {arm: [each[:, k] for each in scores[arm]] for arm in ARMS}
        learnt = {
            arm: int(np.nansum(label_table(given[arm].seen.rows, [name], looks))) for arm in ARMS
        }
        told[name] = {"learnt_positives": learnt, **_finding(name, own, truth[:, k], test)}
    counts = {arm: len(given[arm].seen.rows) for arm in ARMS}
    patients = {"train": len({r.patient for r in given[REAL].seen.rows}),
                "held_out": len({r.patient for r in test})}  # fmt: skip
    return {"images": {**counts, "held_out": len(test)}, "patients": patients, "findings": told}


def _finding(
    name: str, scores: Mapping[str, Sequence[Array]], truth: Array, rows: Sequence[Row]
) -> dict[str, Any]:
    known = np.flatnonzero(~np.isnan(truth))
    labels, views = truth[known], np.array([projection(rows[int(i)].view) for i in known])
    patients = [rows[int(i)].patient for i in known]
    if np.isnan(within(labels, labels, views)):
        raise BadRequest(
            f"'{name}' cannot be measured: no view has held-out radiographs with and without it.",
            hint="Name other --findings, or another --split.",
        )
    values = {a: [within(s[known], labels, views) for s in scores[a]] for a in ARMS}
    draws = {a: np.mean([drawn(s[known], labels, views, patients) for s in scores[a]], 0)
             for a in ARMS}  # fmt: skip
    return {
        "positives": int(labels.sum()),
        "negatives": int((1 - labels).sum()),
        "arms": {
            a: {**_interval(float(np.mean(values[a])), draws[a]),
                "seeds": [round(v, 4) for v in values[a]]} for a in ARMS
        },
        "differences": {
            f"{a} - {b}": _interval(float(np.mean(values[a]) - np.mean(values[b])),
                                    draws[a] - draws[b]) for a, b in PAIRS
        },
    }  # fmt: skip


def _interval(value: float, draws: Array) -> dict[str, Any]:
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return {"auc": round(value, 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def markdown(result: Mapping[str, Any]) -> str:
    """The same as a page."""
    pairs = [f"{a} - {b}" for a, b in PAIRS]
    head = ["finding", "positives / negatives", *NAMES.values(), *pairs]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, found in result["findings"].items():
        cells = [name, f"{found['positives']} / {found['negatives']}"]
        cells += [_cell(found["arms"][arm]) for arm in ARMS]
        cells += [_cell(found["differences"][pair], sign="+") for pair in pairs]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| learnt from | images | " + " | ".join(result["findings"]) + " |",
              "|---" * (2 + len(result["findings"])) + "|"]  # fmt: skip
    for arm in ARMS:
        positives = [str(f["learnt_positives"][arm]) for f in result["findings"].values()]
        lines.append(f"| {NAMES[arm]} | {result['images'][arm]} | {' | '.join(positives)} |")
    plan, held = result["plan"], {"patients": result["patients"]["held_out"]}
    held |= {"images": result["images"]["held_out"], "steps": plan["recipe"]["steps"]}
    return "\n".join(lines) + "\n" + NOTE.format(seeds=plan["seeds"], **held)


def _cell(found: Mapping[str, float], sign: str = "") -> str:
    shown = f"{sign}.3f"
    return f"{found['auc']:{shown}} ({found['low']:{shown}} to {found['high']:{shown}})"
