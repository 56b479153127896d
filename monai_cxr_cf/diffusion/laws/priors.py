# SPDX-License-Identifier: Apache-2.0
"""Masks of the model grid brought to attention cells: Ω, organ membership, bridge, m_edit.

Planes (rows x columns, coverage 0..1) in; float64 maps of any grid (rows, columns) out. Plain
numpy: ``plan`` turns these into tensors per attention level.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from monai_cxr_cf.diffusion.model.layers import Grid
from monai_cxr_cf.errors import BadRequest

Map = NDArray[np.float64]
ORGANS = ("right_lung", "left_lung", "heart")
PEAK_MIN = 1e-3  # a prior with a lower peak before normalisation has vanished at its level
BLUR_CELLS = 0.5  # width of the Gaussian in cells of the coarsest level
GUIDANCE_BLUR_CELLS = 1.0  # width of the Gaussian in latent cells
SPAN_SHARE = 0.05  # a region spans an organ that holds at least this share of it
AUTO_CELLS = 4  # energy.levels=auto: cells the region must cover


def area_pool(plane: ArrayLike, grid: Grid) -> Map:
    """Mean of ``plane`` over each cell of ``grid``, by exact overlap for any size ratio."""
    values = np.asarray(plane, dtype=np.float64)
    rows, columns = (_overlap(n, cells) for n, cells in zip(values.shape, grid, strict=True))
    pooled: Map = rows @ values @ columns.T
    return pooled


def _overlap(pixels: int, cells: int) -> Map:
    """(cells, pixels) matrix: the share of each cell that each pixel fills; rows sum to 1."""
    edges = np.linspace(0.0, pixels, cells + 1)
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(pixels, dtype=np.float64)[None]
    inside = np.minimum(high, pixel + 1) - np.maximum(low, pixel)
    shares: Map = np.clip(inside, 0.0, None) / (high - low)
    return shares


def roi_prior(region: ArrayLike, grid: Grid, coarsest: Grid) -> Map | None:
    """Ω of Eq. 5: area pooling, Gaussian of half a ``coarsest`` cell, divided by its maximum.

    The blur has the same physical width at every level. In 0..1 with maximum 1; None when the peak
    before normalisation is below 1e-3, i.e. the region has vanished at this level.
    """
    sigma = [BLUR_CELLS * n / c for n, c in zip(grid, coarsest, strict=True)]
    blurred = gaussian_filter(area_pool(region, grid), sigma, mode="nearest")
    peak = float(blurred.max())
    return None if peak < PEAK_MIN else np.clip(blurred / peak, 0.0, 1.0)


def guidance_map(region: ArrayLike, latent_hw: Grid, organs: Mapping[str, ArrayLike]) -> Map:
    """Ω of guided latent cells, 0..1: G R / max(G O, 1/2), divided by its maximum.

    G is area pooling and a Gaussian of one cell, R the region, O region and organs together. Within
    an organ Ω fades over the region's border, so that a zone has no level edge; along the organ's
    own border it is 1, so that a narrow corner, such as the costophrenic angle, is guided too. A
    region of any size is seen: its peak is brought to 1 however small it is.
    """
    inside = np.asarray(region, dtype=np.float64)
    around = np.maximum.reduce([inside, *(np.asarray(plane) for plane in organs.values())])
    blurred, known = (
        gaussian_filter(area_pool(plane, latent_hw), GUIDANCE_BLUR_CELLS, mode="nearest")
        for plane in (inside, around)
    )
    ratio = blurred / np.maximum(known, 0.5)
    scaled: Map = np.clip(ratio / ratio.max(), 0.0, 1.0)
    return scaled


def organ_classes(organs: Mapping[str, ArrayLike]) -> Map:
    """Coverage (4, rows, columns) of right lung, left lung, heart, rest; sums to 1 everywhere.

    Where organs overlap, the heart has its share first, then the right lung. A missing organ is
    empty. BadRequest when no organ is given at all.
    """
    known = {name: np.asarray(organs[name], dtype=np.float64) for name in ORGANS if name in organs}
    if not any(plane.max(initial=0.0) > 0 for plane in known.values()):
        raise BadRequest(
            "There are no organ masks to gate by; expected lungs or heart.",
            hint="Give organ masks, or switch the gate off (--no-gate).",
        )
    free = np.ones_like(next(iter(known.values())))
    shares = {}
    for name in ("heart", "right_lung", "left_lung"):
        shares[name] = np.clip(known.get(name, np.zeros_like(free)), 0.0, free)
        free = free - shares[name]
    return np.stack([*(shares[name] for name in ORGANS), free])


def membership(organs: Mapping[str, ArrayLike], grid: Grid) -> Map:
    """p_i: class shares (4, rows, columns) of every cell; sums to 1."""
    return np.stack([area_pool(plane, grid) for plane in organ_classes(organs)])


def organ_union(organs: Mapping[str, ArrayLike], grid: Grid) -> Map:
    """m = M_anat ↓q of Eq. 5: share of each cell covered by lungs or heart, 0..1."""
    covered: Map = np.clip(1.0 - membership(organs, grid)[-1], 0.0, 1.0)
    return covered


def organ_prior(organs: Mapping[str, ArrayLike], name: str, grid: Grid) -> Map:
    """m_organ, 0..1, of ``right_lung``, ``left_lung``, ``heart`` or ``lungs`` (both)."""
    if name != "lungs" and name not in ORGANS:
        raise BadRequest(
            f"Unknown organ '{name}' of an anatomy token.",
            hint=f"Known: {', '.join(ORGANS)}, lungs.",
        )
    wanted = ORGANS[:2] if name == "lungs" else (name,)
    p = membership(organs, grid)
    share: Map = sum((p[ORGANS.index(organ)] for organ in wanted), np.zeros(grid))
    return share


def spans_organs(region: ArrayLike, organs: Mapping[str, ArrayLike]) -> bool:
    """Whether the region crosses classes: at least two hold 5 % of it or more."""
    weight = np.asarray(region, dtype=np.float64)
    shares = (organ_classes(organs) * weight).sum(axis=(1, 2)) / weight.sum()
    return int((shares >= SPAN_SHARE).sum()) > 1


def bridged(p: Map, omegas: Sequence[Map]) -> Map:
    """p_i <- (1 - Ω_i) p_i: cells of a crossing region attend everywhere, others avoid them."""
    free = np.max(np.stack(omegas), axis=0) if len(omegas) else np.zeros(p.shape[1:])
    return p * (1.0 - free)


def covered_cells(region: ArrayLike, grid: Grid) -> float:
    """Area of the region in cells of ``grid``."""
    return float(area_pool(region, grid).sum())


def latent_edit_mask(kappa: ArrayLike, latent_hw: Grid) -> NDArray[np.bool_]:
    """m_edit: bool (rows, columns), every latent cell touched by κ > 0."""
    return area_pool(np.asarray(kappa) > 0, latent_hw) > 0
