# SPDX-License-Identifier: Apache-2.0
"""An autoencoder and square radiographs in; their latents, or the pictures decoded again, out."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor


def encode(model: AutoencoderKL, images: NDArray[np.uint8]) -> Tensor:
    """BxSxS uint8 -> unscaled posterior means Bx4xS/8xS/8 in float32."""
    batch = torch.from_numpy(images.astype(np.float32) / 127.5 - 1)[:, None].expand(-1, 3, -1, -1)
    return model.encode(batch.contiguous()).latent_dist.mean


@torch.no_grad()
def reconstruct(model: AutoencoderKL, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """BxSxS uint8 -> decoded posterior means, BxSxS float32 0..1 (mean of the three channels)."""
    out = []
    for start in range(0, len(images), 8):
        decoded = model.decode(encode(model, images[start : start + 8])).sample.mean(1)
        out.append((decoded / 2 + 0.5).clamp(0, 1).numpy())
    return np.concatenate(out).astype(np.float32)
