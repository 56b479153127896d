# SPDX-License-Identifier: Apache-2.0
"""Model-grid change in, native change out: the patient's own pixels wherever nothing changed.

Three zones: the region (kappa = 1), a feathered band (1 -> 0) and everything else (kappa exactly
0), where the result is the source bit for bit. Inside, native texture returns in full where the
model changed nothing, in part under added density, and not at all where tissue was taken away.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.measures.masks import box_of

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
DETAIL = 4 / 256  # of the side: Gaussian below which structure counts as detail


def smoothstep(low: float, high: float, x: Array) -> Array:
    """3u^2 - 2u^3 of u = (x - low) / (high - low) clipped to 0..1; a step where low = high."""
    if high - low < 1e-6:
        return (x > low).astype(np.float32)
    u = np.clip((x - low) / (high - low), 0, 1).astype(np.float32)
    return np.asarray(u * u * (3 - 2 * u), np.float32)


def kappa(region: Mask, band: float) -> Array:
    """Composite weight: 1 in the region, smoothstep to exactly 0 at ``band`` pixels from it.

    Args:
        region: H x W bool.
        band: width of the feathered band in pixels of this grid; 0 = hard edge.
    """
    if not region.any():
        return np.zeros(region.shape, np.float32)
    weight = np.zeros(region.shape, np.float32)
    near = box_of(region, int(np.ceil(band)) + 1)  # beyond the band the weight is 0
    inside = region[near]
    distance = ndimage.distance_transform_edt(~inside).astype(np.float32)
    weight[near] = np.where(inside, np.float32(1), 1 - smoothstep(0, band, distance))
    return weight


@dataclass(frozen=True)
class Decoded:
    """What the decoder gave, both side x side float32 0..1, bright = dense."""

    edited: Array  # D(z0')
    source: Array  # D(E(x)), the same image through the autoencoder alone


def residual(
    image: Array,
    decoded: Decoded,
    weight: Array,
    *,
    grid: ModelGrid,
    tau: tuple[float, float] = (0.02, 0.08),
    detail: float | Array = 0.0,
) -> Array:
    """Native change x' - x of the residual composite (docs/method.md 2.7).

    With Delta = D(z0') - D(E(x)), r = x - U(D(E(x))), w = 1 - smoothstep(tau1, tau2, G * |Delta|):

        x' - x = kappa (U(D(z0')) + U(w) r - x) = kappa (U(Delta) - U(1 - w) r)

    The second form is what is computed, so Delta = 0 gives exactly 0. Rays add up: what lies before
    and behind added density still shows. So with a = detail smoothstep(tau1, tau2, G * Delta), the
    share a of r stays there, and of Delta's own fine structure, Delta - B Delta, the share a goes.

    Args:
        image: H x W float32 0..1, the native source x.
        decoded: both decodes on the model grid.
        weight: H x W float32 0..1, kappa on the native grid.
        grid: the mapping U between the two.
        tau: tau1, tau2 as fractions of full range.
        detail: 0..1, number or model-grid plane: the source's detail shown by added density.

    Returns:
        H x W float32; x + change lies in 0..1; exactly 0 where kappa is 0.
    """
    delta = decoded.edited - decoded.source
    blurred = ndimage.gaussian_filter(np.abs(delta), 1.0)
    replaced = smoothstep(*tau, blurred)
    lost = image - grid.to_native(decoded.source)
    if np.any(detail):
        kept = detail * smoothstep(*tau, ndimage.gaussian_filter(delta, 1.0))
        own = delta - ndimage.gaussian_filter(delta, DETAIL * delta.shape[0])
        delta, replaced = delta - kept * own, replaced * (1 - kept)
    change = weight * (grid.to_native(delta) - grid.to_native(replaced) * lost)
    return _bounded(image, change)


def plain(image: Array, decoded: Decoded, *, grid: ModelGrid) -> Array:
    """Native change when the decoder's output replaces the whole image (preset ``paper``)."""
    return _bounded(image, grid.to_native(decoded.edited) - image)


def _bounded(image: Array, change: Array) -> Array:
    bounded = np.clip(image + change, 0, 1) - image
    return np.where(change != 0, bounded, 0).astype(np.float32)
