# SPDX-License-Identifier: Apache-2.0
"""AUCs of an augmentation in, its picture out: an arm a bar of its interval, a seed a dot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from monai_cxr_cf.batch.export.samples import ARMS
from monai_cxr_cf.evaluation.augmentation.table import NAMES
from monai_cxr_cf.runs.pictures import LINES, STYLE


def draw(findings: Mapping[str, Any], path: Path) -> None:
    """A panel a finding; the arms from top to bottom."""
    with rc_context(STYLE):
        figure = Figure(figsize=(3.6 * len(findings) + 1.0, 1.9))
        FigureCanvasAgg(figure)
        row = figure.subplots(1, len(findings), sharey=True, squeeze=False)[0]
        for axis, (name, found) in zip(row, findings.items(), strict=True):
            for place, arm in enumerate(ARMS):
                told, colour = found["arms"][arm], LINES[place]
                axis.plot([told["low"], told["high"]], [place, place], color=colour)
                axis.plot(told["auc"], place, "D", color=colour, markersize=6)
                seeds = told["seeds"]
                axis.plot(seeds, [place + 0.25] * len(seeds), ".", color=colour, markersize=4)
            axis.set_title(f"{name} ({found['positives']} of "
                           f"{found['positives'] + found['negatives']})")  # fmt: skip
            axis.set_xlabel("AUC on held-out patients, 95 %; dots: seeds")
        row[0].set_yticks(range(len(ARMS)), [NAMES[arm] for arm in ARMS])
        row[0].set_ylim(len(ARMS) - 0.5, -0.5)
        figure.tight_layout()
        figure.savefig(path, dpi=110, metadata={"Software": None})
