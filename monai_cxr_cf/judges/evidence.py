# SPDX-License-Identifier: Apache-2.0
"""What a verdict is made from and of: evidence in, limits, and the checks that come out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Limits:
    """When a check passes."""

    outside_max_diff: int = 0  # stored units outside region and band
    organ_dice: float = 0.95  # organs not meant to change, source against counterfactual
    region_shift: float = 4.0  # mean signed change in the region, grey levels of 255
    heart_growth: float = 0.02  # change of the cardiothoracic ratio
    inside_share: float = 0.5  # share of the total change that lies in the region
    texture: float = 2.0  # fine texture in the region, counterfactual over source
    foreign: float = 0.05  # share of the region made darker than lung or brighter than the chest
    margin: float = 20.0  # grey levels of 255 beyond the patient's own range that still count as it
    glare: float = 0.02  # share of the added density: blobs brighter than the mediastinum
    flat_edge: float = 0.7  # share of the region's width that one straight level edge cuts
    hole: float = 10.0  # grey levels of 255 that a dark spot made in the heart is deep
    lung_border: float = 0.5  # share of the lung borders seen in the source that are gone
    gain: float = 0.15  # change of the finding's probability in the asked direction
    drift: float = 0.1  # rise of the probability of any unrelated finding


@dataclass(frozen=True)
class Expected:
    """What one finding should do to the picture."""

    name: str
    region: Mask  # H x W
    sign: int  # +1 denser or larger, -1 more lucent or smaller
    measure: str = "density"  # density of the region, or "heart" for the heart's size
    may_change: tuple[str, ...] = ()  # organs whose outline may follow the finding
    rise: int = 1  # +1 the finding should become more likely, -1 less
    related: tuple[str, ...] = ()  # findings that may become more likely with it
    covers: bool = False  # may hide lung borders: fluid, solid lung or a heart lies against them


@dataclass(frozen=True)
class Opinion:
    """What a classifier apart from the generator says about source and counterfactual."""

    judge: str  # its name
    sha256: str  # of its weights
    before: Mapping[str, float]  # finding -> probability in the source, 0..1
    after: Mapping[str, float]  # in the counterfactual
    auc: Mapping[str, float]  # finding -> AUC on held-out patients; missing: never measured
    counts: frozenset[str]  # findings at which it is good enough to be asked


@dataclass(frozen=True)
class Evidence:
    """A source and its counterfactual on the native grid."""

    source: Array  # H x W, 0..1, bright = dense
    change: Array  # H x W, display units, bright = dense
    expected: Sequence[Expected]
    before: Mapping[str, Mask]  # organs of the source
    after: Mapping[str, Mask]  # organs of the counterfactual, by the same segmenter; may be empty
    outside_max_diff: int  # stored units
    opinion: Opinion | None = None  # of a classifier; None where none is installed


@dataclass(frozen=True)
class Check:
    """One number against its limit; ``passed`` is None where it could not be measured."""

    name: str
    value: float | None
    limit: float
    passed: bool | None
    words: str
