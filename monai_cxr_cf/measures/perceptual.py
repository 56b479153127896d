# SPDX-License-Identifier: Apache-2.0
"""Two images in, maps of how alike they look out: SSIM and LPIPS, whole or under a mask.

SSIM is a similarity (1 = equal), LPIPS a distance (0 = equal). Both come as maps, so that the
inside of a region and the rest are averaged apart: a background that was pasted back inflates
every global mean. LPIPS v0.1 is AlexNet's forward pass written out here, since its usual package
needs torchvision; weights come as one safetensors file and are never shipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from monai_cxr_cf.errors import BadRequest, ComponentMissing, UnreadableInput

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
WEIGHTS = "lpips_alex_v0.1.safetensors"
CONVOLUTIONS = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))  # stride, padding of AlexNet's layers
POOLED = (1, 2)  # layers behind a 3x3 maximum of stride 2
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet, for -1..1
SMALLEST = 32  # pixels: below, the deeper layers have no cell left
EPSILON = 1e-10


def psnr(image: Array, reference: Array) -> float:
    """Peak signal-to-noise ratio in dB of two HxW images in 0..1; 120 for equal ones."""
    error = float(np.mean((image.astype(np.float64) - reference) ** 2))
    return float(10 * np.log10(1 / max(error, 1e-12)))


def ssim_map(image: Array, reference: Array) -> Array:
    """Structural similarity of two HxW images in 0..1 at every pixel: HxW float32, at most 1.

    Gaussian window 11x11, sigma 1.5, K1 .01, K2 .03; edges are mirrored.

    Raises:
        BadRequest: the shapes differ.
    """
    _same_shape(image, reference)

    def blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(gaussian_filter(x, 1.5, radius=5))

    a, b = image.astype(np.float64), reference.astype(np.float64)
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    value = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return np.asarray(value / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)), np.float32)


def ssim(image: Array, reference: Array, mask: Mask | None = None) -> float:
    """Mean of ``ssim_map``, over ``mask`` if one is given; NaN under an empty mask."""
    return masked_mean(ssim_map(image, reference), mask)


def masked_mean(values: Array, mask: Mask | None = None) -> float:
    """Mean of an HxW map where ``mask`` holds (everywhere without one); NaN if it holds nowhere.

    Raises:
        BadRequest: mask and map differ in shape.
    """
    if mask is None:
        return float(values.mean(dtype=np.float64))
    _same_shape(values, mask)
    return float(values[mask].mean(dtype=np.float64)) if mask.any() else float("nan")


@dataclass(frozen=True, eq=False)
class Lpips:
    """LPIPS v0.1 on AlexNet; a smaller distance means more alike to people.

    Attributes:
        weights: conv0..4.weight and .bias, lin0..4, as named in the file.
    """

    weights: dict[str, Tensor]

    @torch.no_grad()
    def map(self, image: Array, reference: Array) -> Array:
        """The distance at every pixel, HxW float32, >= 0; its mean is the LPIPS distance.

        The five layers' maps are brought to H x W bilinearly, as the published ``spatial`` form
        does, so the mean differs a little from that of ``distance``.

        Args:
            image, reference: HxW float32 0..1, at least 32 px a side.

        Raises:
            BadRequest: the shapes differ, or a side is too small.
        """
        found = self._layers(image, reference)
        size = (image.shape[0], image.shape[1])
        planes = [functional.interpolate(x, size, mode="bilinear") for x in found]
        return torch.stack(planes).sum(0)[0, 0].numpy()

    @torch.no_grad()
    def distance(self, image: Array, reference: Array, mask: Mask | None = None) -> float:
        """One number: each layer averaged over its own cells, or the map over ``mask``."""
        if mask is not None:
            return masked_mean(self.map(image, reference), mask)
        return float(sum(float(x.mean()) for x in self._layers(image, reference)))

    def between(self, image: Tensor, reference: Tensor) -> Tensor:
        """The distance of each of B grey pictures (B, 1, H, W) in -1..1: (B,), differentiable."""
        maps = self._maps(self._features(image), self._features(reference))
        return torch.stack([x.mean((1, 2, 3)) for x in maps]).sum(0)

    def _layers(self, image: Array, reference: Array) -> list[Tensor]:
        """Five maps (1, 1, h, w): weighted squared differences of unit feature vectors."""
        _same_shape(image, reference)
        if min(image.shape) < SMALLEST:
            raise BadRequest(f"LPIPS needs {SMALLEST} px a side; got {image.shape}.")
        both = torch.from_numpy(np.stack([image, reference]).astype(np.float32))
        features = self._features(both[:, None] * 2 - 1)
        return self._maps([x[:1] for x in features], [x[1:] for x in features])

    def _maps(self, made: list[Tensor], wanted: list[Tensor]) -> list[Tensor]:
        maps = []
        for number, pair in enumerate(zip(made, wanted, strict=True)):
            # This norm has a slope at a cell of zeros, which the root of a sum has not.
            one, other = (
                x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + EPSILON) for x in pair
            )
            weights = self.weights[f"lin{number}"].view(1, -1, 1, 1)
            maps.append(((one - other).square() * weights).sum(1, True))
        return maps

    def _features(self, x: Tensor) -> list[Tensor]:
        """AlexNet's five rectified layers of (N, 1, H, W) grey images in -1..1."""
        shift, scale = (x.new_tensor(each).view(1, 3, 1, 1) for each in (SHIFT, SCALE))
        x = (x - shift) / scale
        layers = []
        for number, (stride, padding) in enumerate(CONVOLUTIONS):
            if number in POOLED:
                x = functional.max_pool2d(x, 3, 2)
            kernel, bias = (self.weights[f"conv{number}.{part}"] for part in ("weight", "bias"))
            x = functional.conv2d(x, kernel, bias, stride=stride, padding=padding).relu()
            layers.append(x)
        return layers


def load_lpips(folder: Path) -> Lpips:
    """The network from ``lpips_alex_v0.1.safetensors`` in ``folder``, or from that file itself.

    Raises:
        ComponentMissing: the file is not there.
        UnreadableInput: it lacks a weight.
    """
    from safetensors.torch import load_file

    path = Path(folder) / WEIGHTS if Path(folder).is_dir() else Path(folder)
    if not path.is_file():
        raise ComponentMissing(
            f"There is no {WEIGHTS} in the LPIPS folder.",
            hint="Pass the folder that holds it with --lpips, or leave the option away.",
        )
    weights = load_file(path)
    wanted = {f"conv{n}.{part}" for n in range(5) for part in ("weight", "bias")}
    wanted |= {f"lin{n}" for n in range(5)}
    if missing := sorted(wanted - set(weights)):
        raise UnreadableInput(f"The LPIPS weights lack {', '.join(missing)}.")
    # A copy each: mapped from the file they lie at any address, and sums depend on it.
    return Lpips({name: weights[name].to(torch.float32, copy=True) for name in sorted(wanted)})


def _same_shape(a: NDArray[np.generic], b: NDArray[np.generic]) -> None:
    if a.shape != b.shape:
        raise BadRequest(f"The images are {a.shape} and {b.shape}; expected equal shapes.")
