# SPDX-License-Identifier: Apache-2.0
"""Training radiographs in, ``limits.json`` out: what a plausible segmentation measures.

``python -m monai_cxr_cf.anatomy.learn_limits --data DIR``: each limit is a far quantile of what the
segmenter finds on training images, widened by a share of the middle range.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monai_cxr_cf.anatomy.organs import measures
from monai_cxr_cf.anatomy.segment import load_segmenter
from monai_cxr_cf.data.folder import load_image, read_index
from monai_cxr_cf.errors import UnsupportedImage
from monai_cxr_cf.weights import models_folder

log = logging.getLogger(__name__)
QUANTILE = 0.005  # a training image in a hundred lies outside, on either side together
MARGIN = 0.25  # of the distance between the 5 % and 95 % quantiles
UNSURE = 0.01  # the least sure images of the training set are those that no one should edit


def limits_of(found: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    """Lowest and highest plausible value of every measure in ``found``."""
    limits = {}
    for name in found[0]:
        values = np.array([one[name] for one in found])
        if name == "agreement":  # more is never implausible
            limits[name] = [round(float(np.quantile(values, UNSURE)), 4), 1.0]
            continue
        low, five, ninety_five, high = np.quantile(values, (QUANTILE, 0.05, 0.95, 1 - QUANTILE))
        spare = MARGIN * (ninety_five - five)
        limits[name] = [round(float(low - spare), 4), round(float(high + spare), 4)]
    return limits


def learn_limits(data: Path, models: Path, *, kind: str = "hybridgnet") -> dict[str, object]:
    """Limits over every ``train`` row of ``data``, diseased and bedside films included."""
    segmenter = load_segmenter(kind, models)
    found: list[dict[str, float]] = []
    empty = 0
    for row in read_index(data):
        if row.split != "train":
            continue
        seen = segmenter(load_image(data, row))
        try:
            found.append(measures(seen.organs) | {"agreement": seen.agreement})
        except UnsupportedImage:
            empty += 1
    log.info("%d radiographs measured, %d without an organ left out", len(found), empty)
    return {
        "about": "Plausible range of each measure of organs.measures; see learn_limits.py.",
        "segmenter": kind,
        "sha256": segmenter.sha256,
        "images": len(found),
        "quantile": QUANTILE,
        "margin": MARGIN,
        "limits": limits_of(found),
    }


def main(arguments: list[str] | None = None) -> None:
    """Command line of ``learn_limits``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with index.csv")
    parser.add_argument("--models", type=Path, default=None, help="models folder (shipped)")
    default = Path(__file__).with_name("limits.json")
    parser.add_argument("--out", type=Path, default=default, help="JSON file to write")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    learnt = learn_limits(chosen.data, chosen.models or models_folder())
    chosen.out.write_text(json.dumps(learnt, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
