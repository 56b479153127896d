# SPDX-License-Identifier: Apache-2.0
"""Is the classifier called rightly? The same score for DICOM and PNG, order, polarity, steadiness.

Each check is a number with its words; none of them needs an edit.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import stats

from monai_cxr_cf.audit.adapters.classifier import Classifier
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_source

Array = NDArray[np.float32]
SAME = 0.02  # scores of one picture in two kinds of file may differ so much: PNG has 8 bits
SURE = 0.01  # p of an order that is called wrong
FEW = 3  # labelled radiographs of each kind that an order needs


@dataclass(frozen=True)
class Check:
    """What was looked at, whether it is right (None: cannot be told), and the number."""

    name: str
    passed: bool | None
    value: float | None
    words: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def as_png(radiograph: Radiograph) -> Array:
    """The picture of a radiograph after a trip through an 8-bit PNG and the reader."""
    grey = np.rint(np.clip(radiograph.pixels, 0, 1) * 255).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "twin.png"
        Image.fromarray(grey).save(path)
        options = ReadOptions(allow_raster=True, min_side=min(64, *radiograph.shape))
        return read_source(path, options).pixels


def same_across_files(classifier: Classifier, radiograph: Radiograph) -> Check:
    """One radiograph as it is, and as PNG: the scores must agree."""
    first, second = classifier.scores([radiograph.pixels, as_png(radiograph)])
    gap = float(np.abs(first - second).max())
    words = f"one radiograph as it is and as PNG: scores differ by {gap:.3f} at most"
    return Check("same_across_files", gap <= SAME, round(gap, 4), words)


def steady(first: NDArray[np.float64], second: NDArray[np.float64]) -> Check:
    """The same pictures twice: (N, labels) scores each."""
    gap = float(np.abs(first - second).max()) if first.size else 0.0
    words = "the same picture gets the same score twice"
    if gap > 1e-4:
        words = f"the same picture gets scores that differ by up to {gap:.2f}: it is not steady"
    return Check("steady", gap <= 1e-4, round(gap, 4), words)


def order(
    label: str, truths: Sequence[bool | None], scores: Sequence[float], inverted: Sequence[float]
) -> Check:
    """Do labelled radiographs come in the right order, and would they with black for white?

    Args:
        label: name of the score.
        truths: of each radiograph; None where nobody knows.
        scores: as declared.
        inverted: with black and white exchanged.
    """
    known = [n for n, truth in enumerate(truths) if truth is not None]
    positive = [n for n in known if truths[n]]
    negative = [n for n in known if not truths[n]]
    name = f"order:{label}"
    if min(len(positive), len(negative)) < FEW:
        words = f"order of '{label}' is not checked: {len(positive)} radiographs with it and "
        return Check(name, None, None, words + f"{len(negative)} without are labelled")
    auc = auc_of([scores[n] for n in positive], [scores[n] for n in negative])
    other = auc_of([inverted[n] for n in positive], [inverted[n] for n in negative])
    words = f"AUC of '{label}' on {len(known)} labelled radiographs, {len(positive)} with it, "
    words += f"{auc:.2f}, with black and white exchanged {other:.2f}"
    below = [scores[n] for n in positive], [scores[n] for n in negative]
    wrong = other > 0.5 and stats.mannwhitneyu(*below, alternative="less").pvalue < SURE
    if wrong:
        words += ": the declared polarity looks wrong"
    return Check(name, not wrong, round(auc, 4), words)


def auc_of(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Share of pairs in the right order; ties count half."""
    ranks = stats.rankdata([*positive, *negative])
    count = len(positive)
    found = (ranks[:count].sum() - count * (count + 1) / 2) / (count * len(negative))
    return float(found)
