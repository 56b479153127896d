# SPDX-License-Identifier: Apache-2.0
"""A trained autoencoder and its latents in; the same autoencoder with decorrelated latents out.

An autoencoder's channels come out correlated and of very unequal size, so that the noise of a
diffusion wipes out some and hardly touches others. A linear change of basis is folded into the two
1x1 convolutions around the latent: pictures stay the same, channels become uncorrelated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray

# 1 would whiten fully. Fine detail stays the quieter part, decided late, as in pictures.
POWER = 0.25
LOG_VARIANCE = -6.0  # of the posterior in the new basis: a sampled latent stays close to its mean


@dataclass(frozen=True)
class Basis:
    """z' = matrix (z - mean), 4x4 and 4."""

    matrix: NDArray[np.float64]
    mean: NDArray[np.float64]

    def apply(self, latents: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N, 4, h, w) in the old basis -> the new one."""
        centred = latents.astype(np.float64) - self.mean[None, :, None, None]
        return np.einsum("ij,njhw->nihw", self.matrix, centred).astype(np.float32)


def fit_basis(latents: NDArray[np.floating]) -> Basis:
    """Principal axes of (N, 4, h, w), each scaled by its deviation to the power -POWER."""
    values = latents.astype(np.float64).transpose(1, 0, 2, 3).reshape(4, -1)
    variances, axes = np.linalg.eigh(np.cov(values))
    return Basis(axes.T / np.sqrt(variances)[:, None] ** POWER, values.mean(1))


@torch.no_grad()
def fold(vae: AutoencoderKL, basis: Basis) -> None:
    """Change ``vae`` in place so that it encodes into, and decodes from, the new basis."""
    matrix = torch.from_numpy(basis.matrix)
    mean = torch.from_numpy(basis.mean)
    before, after = vae.quant_conv, vae.post_quant_conv
    weight, bias = before.weight.double().flatten(1), before.bias.double()
    before.weight[:4] = (matrix @ weight[:4])[..., None, None].float()
    before.bias[:4] = (matrix @ (bias[:4] - mean)).float()
    before.weight[4:] = 0
    before.bias[4:] = LOG_VARIANCE
    back = after.weight.double().flatten(1)
    after.bias += (back @ mean).float()
    after.weight.copy_((back @ torch.linalg.inv(matrix))[..., None, None].float())
