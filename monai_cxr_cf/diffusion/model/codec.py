# SPDX-License-Identifier: Apache-2.0
"""Between grey model images and latents, through the backbone's VAE in float32."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.recall import recalled
from monai_cxr_cf.errors import BadRequest

Planes = NDArray[np.float32]


def encode(backbone: Backbone, image: Planes) -> Tensor:
    """E(x): HxW in 0..1 -> (1, 4, h, w) float32 posterior mean times the VAE's scaling factor.

    Grey is replicated to the VAE's channels in [-1, 1].

    Raises:
        BadRequest: a side is no multiple of what the UNet can halve.
    """
    rows, columns = image.shape
    if rows % backbone.multiple or columns % backbone.multiple:
        raise BadRequest(
            f"The model image is {rows} x {columns}; '{backbone.name}' needs multiples of "
            f"{backbone.multiple} pixels."
        )
    grey = torch.from_numpy(np.ascontiguousarray(image, np.float32)).to(backbone.device)

    def latent() -> Tensor:
        channels = int(backbone.vae.config.in_channels)
        with torch.no_grad():
            x = (grey * 2 - 1).expand(1, channels, rows, columns)
            mean: Tensor = backbone.vae.encode(x).latent_dist.mode()
        return mean * float(backbone.vae.config.scaling_factor)

    return recalled(backbone, "latent", (grey,), latent)


def decode(backbone: Backbone, z: Tensor) -> Planes:
    """D(z): (N, 4, h, w) -> (N, H, W) float32 in 0..1, channels averaged; one image at a time."""
    images = []
    with torch.no_grad():
        for one in torch.split(z.float().to(backbone.device), 1):
            x = backbone.vae.decode(one / backbone.vae.config.scaling_factor).sample
            images.append((x.mean(dim=1) / 2 + 0.5).clamp(0, 1).cpu())
    return np.asarray(torch.cat(images).numpy(), np.float32)


def decode_source(backbone: Backbone, z_src: Tensor) -> Planes:
    """D(E(x)), (H, W): the same for every edit of an image, so it is made once."""
    image = recalled(
        backbone, "reference", (z_src,), lambda: torch.from_numpy(decode(backbone, z_src)[0])
    )
    return np.asarray(image.cpu().numpy(), np.float32)
