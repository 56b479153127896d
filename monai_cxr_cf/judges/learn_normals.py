# SPDX-License-Identifier: Apache-2.0
"""A data folder in, ``normals.json`` out: mean and spread of every geometric measure in normals.

``python -m monai_cxr_cf.judges.learn_normals --data DIR``: normals of the splits ``train`` and
``judge``; then, on ``test``, how well each measure tells its finding from normals (AUC).
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_cxr_cf.anatomy.segment import Segmenter, load_segmenter
from monai_cxr_cf.data.folder import Row, load_image, read_index
from monai_cxr_cf.errors import BadRequest, UnsupportedImage
from monai_cxr_cf.judges.geometry import measure
from monai_cxr_cf.weights import models_folder

log = logging.getLogger(__name__)
NORMAL = ("No Finding",)
VIEWS = ("PA", "AP")
# label -> the measure that shows it; for differences the distance from the normals' mean counts
SHOWN_BY = {
    "Cardiomegaly": "cardiothoracic_ratio",
    "Effusion": "costophrenic_difference",
    "Consolidation": "lower_difference",
    "Edema": "perihilar_mean",
}
Found = list[tuple[Row, dict[str, float]]]


def measured(data: Path, rows: Iterable[Row], segmenter: Segmenter) -> Found:
    """Rows and their measures; an image without two measurable lungs is left out."""
    found: Found = []
    for row in rows:
        image = load_image(data, row)
        try:
            found.append((row, measure(image, segmenter(image).organs.as_dict())))
        except UnsupportedImage as refusal:
            log.info("left out: %s", refusal.code)
        if len(found) % 100 == 0:
            log.info("%d radiographs measured", len(found))
    return found


def statistics(found: Found) -> dict[str, Any]:
    """Mean and SD by view, and the SD within views over both.

    Raises:
        BadRequest: a view has fewer than two normals.
    """
    views: dict[str, dict[str, tuple[float, float]]] = {}
    pooled: dict[str, list[float]] = {}
    for view in VIEWS:
        listed = [m for row, m in found if row.view.startswith(view)]
        if len(listed) < 2:
            raise BadRequest(f"There are {len(listed)} {view} normals; expected two or more.")
        views[view] = {}
        for name in listed[0]:
            values = np.array([m[name] for m in listed])
            mean, spread = float(np.nanmean(values)), float(np.nanstd(values, ddof=1))
            views[view][name] = (round(mean, 5), round(spread, 5))
            pooled.setdefault(name, []).extend(values - mean)
    spread_of = {name: round(float(np.nanstd(v, ddof=1)), 5) for name, v in pooled.items()}
    return {"views": views, "spread": spread_of}


def auc(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """Area under the ROC curve: how often a positive lies above a negative, ties half."""
    p, n = np.asarray(positives)[:, None], np.asarray(negatives)[None, :]
    return float((p > n).mean() + 0.5 * (p == n).mean())


def discrimination(found: Found, learnt: dict[str, Any]) -> dict[str, Any]:
    """AUC of each label against normals, by view, from the measure that shows it."""
    figures: dict[str, Any] = {}
    for label, name in SHOWN_BY.items():
        for view in VIEWS:
            mean = learnt["views"][view][name][0]
            here = [(row, m[name]) for row, m in found if row.view.startswith(view)]
            moved = [(row, abs(v - mean) if "difference" in name else v) for row, v in here]
            sick = [v for row, v in moved if label in row.labels]
            well = [v for row, v in moved if row.labels == NORMAL]
            if sick and well:
                entry = {"measure": name, "positives": len(sick), "negatives": len(well)}
                figures[f"{label}, {view}"] = entry | {"auc": round(auc(sick, well), 3)}
    return figures


def learn(data: Path, models: Path, *, out: Path) -> Path:
    """Measure normals (train, judge) and write ``out``; the test split gives the AUCs only."""
    segmenter = load_segmenter("hybridgnet", models)
    rows = [r for r in read_index(data) if r.source == "nih" and r.view]
    normal = [r for r in rows if r.split in ("train", "judge") and r.labels == NORMAL]
    learnt = statistics(measured(data, normal, segmenter))
    held = [r for r in rows if r.split == "test" and ({*SHOWN_BY, *NORMAL} & set(r.labels))]
    about = {
        "about": "Geometric measures of normal radiographs: mean and SD by view, SD within views.",
        "command": "python -m monai_cxr_cf.judges.learn_normals --data DIR",
        "normals": {v: sum(r.view.startswith(v) for r in normal) for v in VIEWS},
        "splits": ["train", "judge"],
        "segmenter_sha256": segmenter.sha256,
    }
    aucs = discrimination(measured(data, held, segmenter), learnt)
    result = about | learnt | {"auc_on_test": aucs}
    out.write_text(json.dumps(result, separators=(",", ":")) + "\n", encoding="utf-8")
    return out


def main(arguments: list[str] | None = None) -> None:
    """Command line of ``learn``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with index.csv")
    parser.add_argument("--models", type=Path, default=None, help="models folder (shipped)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("normals.json"))
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    learn(chosen.data, chosen.models or models_folder(), out=chosen.out)


if __name__ == "__main__":
    main()
