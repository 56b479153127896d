# SPDX-License-Identifier: Apache-2.0
"""Changes drawn onto a radiograph of 256 pixels: honest ones, and one with each artefact.

A change is H x W float32, display units, bright = dense; ``Chest`` holds what it is drawn on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.anatomy.zones import zone_mask
from monai_cxr_cf.judges.evidence import Evidence, Expected
from monai_cxr_cf.measures.masks import mediastinum

NAMES = ("right_lung", "left_lung", "heart")


@dataclass(frozen=True, eq=False)
class Chest:
    """A radiograph, 0..1, and its organs."""

    image: np.ndarray
    organs: Mapping[str, np.ndarray]

    @property
    def level(self) -> float:
        """Of soft tissue: the median of what lies between the lungs."""
        return float(np.median(self.image[mediastinum(dict(self.organs))]))

    def lower(self) -> np.ndarray:
        """The region of a right effusion: the lower third of that lung."""
        return zone_mask(Organs(*(self.organs[name] for name in NAMES)), "lower", "right")


def drawn_chest() -> Chest:
    """An ellipse a lung, an ellipse a heart, tissue around them; ribs and a little grain."""
    rows, columns = np.mgrid[:256, :256].astype(np.float32)

    def ellipse(row, column, high, wide):
        return ((rows - row) / high) ** 2 + ((columns - column) / wide) ** 2 < 1

    heart = ellipse(158, 140, 46, 40)
    lungs = [ellipse(128, column, 92, 44) & (rows < 205) & ~heart for column in (72, 186)]
    image = np.full((256, 256), 0.7, np.float32) + 0.06 * (rows / 256)
    image[lungs[0] | lungs[1]] = 0.34
    image += 0.03 * np.sin(rows / 4 + np.abs(columns - 128) / 20) * (lungs[0] | lungs[1])
    image += np.random.default_rng(4).normal(0, 0.006, image.shape).astype(np.float32)
    return Chest(gaussian_filter(image, 1.0), dict(zip(NAMES, (*lungs, heart), strict=True)))


def fluid(chest: Chest) -> np.ndarray:
    """Fluid in the right lung with a surface that climbs the wall."""
    lung = chest.organs["right_lung"]
    rows, columns = np.mgrid[: lung.shape[0], : lung.shape[1]].astype(np.float32)
    down, across = np.flatnonzero(lung.any(axis=1)), np.flatnonzero(lung.any(axis=0))
    height = down[-1] - down[0]
    lateral = np.clip((across[-1] - columns) / (across[-1] - across[0]), 0, 1)
    surface = down[0] + height * (0.8 - 0.35 * lateral**2)
    filled = 1 / (1 + np.exp(-np.clip((rows - surface) / 2, -30, 30)))
    alpha = 0.75 * filled * gaussian_filter(lung.astype(np.float32), 2)
    return (alpha * np.maximum(chest.level - chest.image, 0)).astype(np.float32)


def level_top(chest: Chest) -> np.ndarray:
    """The lower zone as a whole denser by forty grey levels, up to its straight upper border."""
    return (40 / 255 * gaussian_filter(chest.lower().astype(np.float32), 2)).astype(np.float32)


def glare(chest: Chest) -> np.ndarray:
    """The same fluid with a few blobs in it that are brighter than the mediastinum."""
    change = fluid(chest)
    inside = binary_erosion(chest.lower(), iterations=4)
    middle = mediastinum(dict(chest.organs))
    peak = min(float(np.percentile(chest.image[middle], 97)) + 0.15, 1.0)
    rows, columns = np.nonzero(inside)
    for place in np.linspace(0, len(rows) - 1, 9).astype(int):
        spot = np.zeros_like(change)
        spot[rows[place], columns[place]] = 1
        spot = gaussian_filter(spot, 3)
        here = chest.image + change
        change = change + spot / spot.max() * np.maximum(peak - here, 0)
    return change.astype(np.float32)


def hole(chest: Chest) -> np.ndarray:
    """A dark spot in the middle of the heart."""
    heart = chest.organs["heart"]
    middle = np.argwhere(heart).mean(axis=0)
    rows, columns = np.mgrid[: heart.shape[0], : heart.shape[1]].astype(np.float32)
    spot = np.exp(-((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2) / (2 * 4.0**2))
    return (-0.16 * spot).astype(np.float32)


def around(chest: Chest) -> np.ndarray:
    """The grey values that lie around the lungs, spread into them."""
    lungs = chest.organs["right_lung"] | chest.organs["left_lung"]
    weight = (~binary_dilation(lungs, iterations=2)).astype(np.float32)
    spread = gaussian_filter(weight * chest.image, 6)
    return spread / np.maximum(gaussian_filter(weight, 6), 1e-3)


def veil(chest: Chest, share: float = 0.3) -> np.ndarray:
    """Both lungs on the way to what lies around: edema through which every border is seen."""
    lungs = chest.organs["right_lung"] | chest.organs["left_lung"]
    soft = gaussian_filter(lungs.astype(np.float32), 3) * lungs
    return (share * soft * np.maximum(around(chest) - chest.image, 0)).astype(np.float32)


def wiped(chest: Chest) -> np.ndarray:
    """Both lungs as dense as what lies around them, borders and all."""
    lungs = chest.organs["right_lung"] | chest.organs["left_lung"]
    grown = gaussian_filter(binary_dilation(lungs, iterations=2).astype(np.float32), 1)
    return (0.9 * grown * (around(chest) - chest.image)).astype(np.float32)


def eased(chest: Chest) -> Evidence:
    """A real radiograph as the edit of one whose right lower zone is a little clearer."""
    lower = chest.lower()
    lung = float(np.percentile(chest.image[chest.organs["right_lung"]], 10))
    soft = 0.4 * gaussian_filter(lower.astype(np.float32), 10)
    change = (soft * np.maximum(chest.image - lung, 0)).astype(np.float32)
    return asked(Chest(chest.image - change, chest.organs), change, "consolidation")


def asked(chest: Chest, change: np.ndarray, finding: str = "pleural effusion") -> Evidence:
    """The evidence of a change, as an edit of ``finding``."""
    lungs = chest.organs["right_lung"] | chest.organs["left_lung"]
    region = lungs if finding == "pulmonary edema" else chest.lower()
    region = chest.organs["heart"] if finding == "cardiomegaly" else region
    item = Expected(finding, region, 1, covers=finding != "pulmonary edema")
    return Evidence(chest.image, change, (item,), chest.organs, chest.organs, 0)
