# SPDX-License-Identifier: Apache-2.0
"""A trained network and what it says of unseen patients in, a judge's folder out.

Writes config.json, model.safetensors, LICENSE and MODEL_CARD.md; the AUC on ``test`` is added by
``cxr-cf evaluate classifier``.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from monai_cxr_cf.judges.card import write_card
from monai_cxr_cf.judges.classifier import weights_of
from monai_cxr_cf.judges.networks import JudgeNetwork
from monai_cxr_cf.measures.probe import auc, calibration
from monai_cxr_cf.training.classifier.data import Seen

if TYPE_CHECKING:
    from monai_cxr_cf.training.classifier.recipe import ClassifierRecipe

log = logging.getLogger(__name__)
Array = NDArray[np.float64]
LICENCE = "research only (learnt from labels and regions under non-commercial terms)"


@dataclass(frozen=True, eq=False)
class Learnt:
    """A finished training."""

    recipe: ClassifierRecipe
    network: JudgeNetwork  # averaged, with float32 weights
    seen: Seen  # images it learnt from
    unseen: Seen  # images of the tuning subset
    truth: NDArray[np.float32]  # (N, findings) their labels, NaN where nobody says
    scores: Array  # (N, findings) the network's logits for them
    minutes: float  # of training


def export_judge(learnt: Learnt, folder: Path) -> Path:
    """Calibrate the findings' maps on patients the judge never saw, and write it to ``folder``."""
    recipe, rows = learnt.recipe, learnt.seen.rows
    facts = {name: _calibrated(learnt, index) for index, name in enumerate(recipe.findings)}
    config = {
        "name": recipe.judge,
        "licence": LICENCE,
        "findings": list(recipe.findings),
        "shape": asdict(recipe.shape()),
        "auc": {},
        "training": {
            "images": dict(Counter(row.source for row in rows)),
            "patients": len({row.patient for row in rows}),
            "minutes": round(learnt.minutes, 1),
            "recipe": asdict(recipe),
            "tuning": facts,
        },
    }
    write_judge(folder, learnt.network, config)
    return folder


def _calibrated(learnt: Learnt, index: int) -> dict[str, float]:
    """Scale the map of one finding in place; what the tuning subset says about it."""
    known = np.flatnonzero(~np.isnan(learnt.truth[:, index]))
    views = [learnt.unseen.rows[int(k)].view[:2] for k in known]
    labels, logits = learnt.truth[known, index].astype(np.float64), learnt.scores[known, index]
    slope, shift = calibration(logits, labels, views)
    maps = learnt.network.findings
    with torch.no_grad():
        maps.weight[index] *= slope
        maps.bias[index] = maps.bias[index] * slope + shift
    fact = _fact(logits, labels, slope)
    log.info("%s: %s", learnt.recipe.findings[index], fact)
    return fact


def _fact(logits: Array, labels: Array, slope: float) -> dict[str, float]:
    counts = int(labels.sum()), int((1 - labels).sum())
    value = auc(logits, labels)
    return {
        **({} if np.isnan(value) else {"auc": round(value, 4)}),
        "positives": counts[0],
        "negatives": counts[1],
        "slope": round(slope, 3),
    }


def write_judge(folder: Path, network: JudgeNetwork, config: dict[str, Any]) -> None:
    """Write the four files of a judge."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "model.part"
    save_file(weights_of(network), str(part))
    os.replace(part, folder / "model.safetensors")
    text = json.dumps(config, separators=(",", ":")) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    write_card(folder)
