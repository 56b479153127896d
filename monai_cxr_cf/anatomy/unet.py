# SPDX-License-Identifier: Apache-2.0
"""A 256x256 radiograph in, organ scores out: MONAI's residual U-Net, the second segmenter.

Same input, output and normalisation as the landmark network; chosen with ``--segmenter unet``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_cxr_cf.imports import loading


class OrganUNet(nn.Module):
    """MONAI U-Net over a per-image normalised radiograph.

    Args:
        channels: feature channels from full resolution down; each level halves the grid.
    """

    def __init__(self, channels: tuple[int, ...] = (12, 24, 48, 96, 128, 128)) -> None:
        with loading():
            from monai.networks.nets.unet import UNet

        super().__init__()
        self.channels = tuple(channels)
        self.net = UNet(
            spatial_dims=2,
            in_channels=1,
            out_channels=4,
            channels=self.channels,
            strides=(2,) * (len(self.channels) - 1),
            num_res_units=1,
            norm="batch",
        )

    def scores(self, x: Tensor) -> Tensor:
        """(B, 1, 256, 256) of any affine intensity scale -> (B, 4, 256, 256) logits."""
        x = x - x.mean((1, 2, 3), keepdim=True)
        x = x / (x.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-4)
        return self.net(x)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 256, 256) -> (B, 4, 256, 256) scores: background, right lung, left lung, heart."""
        return torch.softmax(self.scores(x).float(), 1)
