# SPDX-License-Identifier: Apache-2.0
"""A trained trunk and the labelled images in, a judge's folder out: second stage of its training.

Writes config.json, model.safetensors, LICENSE and MODEL_CARD.md; the AUC on ``test`` is added by
``cxr-cf evaluate classifier``.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from monai_cxr_cf.data.folder import Row
from monai_cxr_cf.judges.card import write_card
from monai_cxr_cf.judges.classifier import weights_of
from monai_cxr_cf.judges.networks import JudgeNetwork, pooled_size
from monai_cxr_cf.judges.regions import columns_of
from monai_cxr_cf.training import loop
from monai_cxr_cf.training.classifier.data import JudgeSet, augmented, label_of, plain
from monai_cxr_cf.training.classifier.heads import Array, Linear, Samples, train_head
from monai_cxr_cf.training.classifier.recipe import pooled_features

if TYPE_CHECKING:
    from monai_cxr_cf.training.classifier.recipe import ClassifierRecipe

log = logging.getLogger(__name__)
FEWEST = 5  # positives and negatives below which nothing is learnt
LICENCE = "research only (trained on images under research-only and non-commercial terms)"


def export_judge(
    recipe: ClassifierRecipe,
    network: JudgeNetwork,
    data: JudgeSet,
    *,
    folder: Path,
    minutes: float,
) -> Path:
    """Solve one map per finding, put them into ``network`` and write the judge; returns ``folder``.

    A finding without ``FEWEST`` positives or negatives on the judge's side is left out.
    """
    maps, facts = _solve(recipe, network, data)
    _install(network, maps)
    config = {
        "name": recipe.judge,
        "licence": LICENCE,
        "findings": list(maps),
        "shape": asdict(recipe.shape()),
        "auc": {},
        "training": {
            "images": dict(Counter(row.source for row in data.rows)),
            "patients": len({row.patient for row in data.rows}),
            "minutes": round(minutes, 1),
            "recipe": asdict(recipe),
            "own_side": facts,
        },
    }
    write_judge(folder, network, config)
    return folder


def _solve(
    recipe: ClassifierRecipe, network: JudgeNetwork, data: JudgeSet
) -> tuple[dict[str, Linear], dict[str, dict[str, float]]]:
    """The map of each finding that has enough positives, and what its own side says about it."""
    looked = labelled_features(recipe, network, data)
    maps: dict[str, Linear] = {}
    facts: dict[str, dict[str, float]] = {}
    for finding in recipe.findings:
        samples = samples_of(recipe, data, looked, finding=finding)
        scored = samples.labels[samples.scored]
        counts = int(scored.sum()), int((1 - scored).sum())
        if min(counts) < FEWEST:
            log.info("%s is left out: %d positives, %d negatives", finding, *counts)
            continue
        maps[finding], value = train_head(samples, ridges=recipe.ridges)
        facts[finding] = {"cv_auc": round(value, 4), "positives": counts[0], "negatives": counts[1]}
        log.info("%s: %d positives, cross-validated AUC %.3f", finding, counts[0], value)
    return maps, facts


def labelled_features(
    recipe: ClassifierRecipe, network: JudgeNetwork, data: JudgeSet
) -> dict[int, Array]:
    """Index of each image that may carry a label -> (versions, D) pooled features.

    Version 0 is the image itself, the others are augmented; images with prose have version 0 only.
    """

    network.eval()
    looked: dict[int, Array] = {}
    for index, row in enumerate(data.rows):
        if row.source != "nih" and not (recipe.prose_weight and row.text):
            continue
        images = plain(data.squares[index : index + 1])
        if row.source == "nih" and recipe.copies > 1:
            repeated = [index] * (recipe.copies - 1)
            generator = loop.step_generator(recipe.seed, index, stream=2)
            more, _ = augmented(data.squares[repeated], data.regions[repeated], generator)
            images = torch.cat([images, more])
        looked[index] = pooled_features(network, images).numpy().astype(np.float64)
    return looked


def samples_of(
    recipe: ClassifierRecipe, data: JudgeSet, looked: dict[int, Array], *, finding: str
) -> Samples:
    """The labelled samples of one finding, features limited to the regions it can lie in."""
    channels = channels_of(looked)
    columns = np.flatnonzero(columns_of(finding, channels))
    rows: list[Row] = []
    features, labels, weights, scored = [], [], [], []
    for index, versions in looked.items():
        row = data.rows[index]
        said = label_of(row, finding, prose=recipe.prose_weight)
        if said is None:
            continue
        for number, vector in enumerate(versions):
            rows.append(row)
            features.append(vector[columns])
            labels.append(said[0])
            weights.append(said[1] / len(versions))
            scored.append(number == 0 and row.source == "nih")
    return Samples(
        np.array(features),
        np.array(labels),
        np.array(weights),
        tuple(row.patient for row in rows),
        tuple(row.source for row in rows),
        np.array(scored),
    )


def channels_of(looked: dict[int, Array]) -> int:
    """Trunk channels behind pooled features."""

    size = next(iter(looked.values())).shape[1]
    return (size - pooled_size(0)) // (pooled_size(1) - pooled_size(0))


def _install(network: JudgeNetwork, maps: dict[str, Linear]) -> None:
    """Replace ``network.findings`` by the solved maps; a finding sees only its own columns."""
    weight = torch.zeros(len(maps), network.findings.in_features)
    for index, (finding, linear) in enumerate(maps.items()):
        columns = torch.from_numpy(columns_of(finding, network.channels))
        weight[index, columns] = torch.from_numpy(linear.weight).float()
    findings = torch.nn.Linear(network.findings.in_features, len(maps))
    with torch.no_grad():
        findings.weight.copy_(weight)
        findings.bias.copy_(torch.tensor([linear.bias for linear in maps.values()]))
    network.findings = findings


def write_judge(folder: Path, network: JudgeNetwork, config: dict[str, Any]) -> None:
    """Write the four files of a judge."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "model.part"
    save_file(weights_of(network), str(part))
    os.replace(part, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    write_card(folder)
