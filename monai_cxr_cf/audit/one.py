# SPDX-License-Identifier: Apache-2.0
"""One patient, one finding, one picture: what would flip the score, and is that more than a sham?

Source, smallest flip, what it changed, and the curve of the score with the sham under it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from monai_cxr_cf.audit.measuring.score import Record, target_of
from monai_cxr_cf.audit.measuring.trial import Trial
from monai_cxr_cf.dicom.png_origin import COMPOSITE
from monai_cxr_cf.runs.pictures import NOTICE, drawing, save_figure


def explain(trial: Trial, record: Record, labels: tuple[str, ...], threshold: float) -> str:
    """The verdict on one edit in a sentence."""
    label = target_of(labels, trial.asked.finding)
    if label is None:
        return f"{trial.asked.name}: the classifier has no score of its own for it."
    first, last = record["source"][label], record["edited"][-1][label]
    words = f"{trial.asked.name}: '{labels[label]}' goes from {first:.2f} to {last:.2f} (its sham: "
    words += f"{record['sham'][-1][label]:.2f}; operating point {threshold:g}). "
    if trial.verdict != "passed":
        return words + f"The edit failed its verdict ({', '.join(trial.why)}): no explanation."
    words, flip = words + "The edit passed its verdict. ", record["flip"]
    if flip["kind"] == "flips":
        words += f"{flip['level']:.0%} of the change, or {flip['area']:.0%} of its area, "
        return words + "flips it."
    return words + f"Flip: {flip['kind']}."


def draw(
    trial: Trial, record: Record, labels: tuple[str, ...], said: tuple[str, float], path: Path
) -> None:
    """Write the picture with its words and operating point; same inputs, same bytes."""
    words, threshold = said
    flip = record.get("flip") or {}
    level = flip.get("level") or 1.0
    source, change = trial.picture.pixels, trial.change * np.float32(level)
    with drawing():
        figure = Figure((13, 4.1), dpi=110)
        axes = figure.subplots(1, 4)
        name = f"smallest flip ({level:.0%})" if flip.get("level") else "the whole edit"
        shown: tuple[tuple[str, Any, dict[str, Any]], ...] = (
            ("source", source, {"cmap": "gray", "vmin": 0, "vmax": 1}),
            (f"{name}, synthetic", np.clip(source + change, 0, 1),
             {"cmap": "gray", "vmin": 0, "vmax": 1}),
            ("change: red denser, blue more lucent", change,
             {"cmap": "RdBu_r", "vmin": -0.25, "vmax": 0.25}),
        )  # fmt: skip
        for axis, (title, image, how) in zip(axes, shown, strict=False):
            axis.imshow(image, **how)
            axis.set_title(title)
            axis.set_axis_off()
        label = target_of(labels, trial.asked.finding)
        if label is None:
            axes[3].set_axis_off()
        else:
            _curve(axes[3], trial, record, (label, threshold))
        figure.text(0.01, 0.02, f"{words}\n{NOTICE}", fontsize=8, wrap=True)
        figure.subplots_adjust(0.01, 0.17, 0.99, 0.92, 0.05)
        save_figure(figure, path, kind=COMPOSITE)


def _curve(axis: Any, trial: Trial, record: Record, wanted: tuple[int, float]) -> None:
    (label, threshold), levels = wanted, [0.0, *trial.levels]
    axis.axhline(threshold, color="#999999", linewidth=0.8, label="operating point")
    for kind, style in (("edited", "-"), ("sham", "--")):
        scores = [record["source"][label], *(row[label] for row in record[kind])]
        axis.plot(levels, scores, style, marker="o", label={"edited": "edit"}.get(kind, kind))
    axis.set_ylim(0, 1)
    axis.set_title("score over the edit (1: the whole)")
    axis.set_box_aspect(1.15)
    axis.set_anchor("E")
    axis.legend(loc="upper left")
