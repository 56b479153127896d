# SPDX-License-Identifier: Apache-2.0
"""Closed contours in, filled masks out, in plain torch that TorchScript can compile.

The landmark network turns its 44 + 50 + 26 landmarks into organs with this, at any size.
"""

from __future__ import annotations

import torch
from torch import Tensor


def fill_polygon(points: Tensor, height: int, width: int) -> Tensor:
    """Pixels whose centre lies inside a closed polygon (non-zero winding number).

    A scan-line fill: each edge adds its direction (+1 down, -1 up) to the first pixel centre right
    of where it crosses a row; the running sum along the row is the winding number. Non-zero rather
    than even-odd, so a contour that crosses itself leaves no hole.

    Args:
        points: (B, P, 2) float, x and y as fractions of width and height.
        height: rows of the mask.
        width: columns of the mask.

    Returns:
        (B, height, width) bool.
    """
    batch = points.shape[0]
    start = points.float()
    stop = torch.roll(start, -1, 1)
    x0, y0 = start[:, None, :, 0] * width, start[:, None, :, 1] * height
    x1, y1 = stop[:, None, :, 0] * width, stop[:, None, :, 1] * height
    rows = (torch.arange(height, device=points.device, dtype=torch.float32) + 0.5)[None, :, None]
    direction = (y0 <= rows).int() - (y1 <= rows).int()
    slope = (x1 - x0) / torch.where(y1 == y0, torch.ones_like(y0), y1 - y0)
    crossing = x0 + (rows - y0) * slope
    first = torch.ceil(crossing - 0.5).clamp(0.0, float(width)).long()
    steps = torch.zeros(batch, height, width + 1, dtype=torch.int32, device=points.device)
    steps.scatter_add_(2, first, direction)
    return torch.cumsum(steps[:, :, :width], 2, dtype=torch.int32) != 0


def organs_from_landmarks(landmarks: Tensor, height: int, width: int) -> Tensor:
    """Background, right lung, left lung and heart from 120 landmarks; overlaps go to the heart.

    Args:
        landmarks: (B, 120, 2) fractions: 44 right lung, 50 left lung, 26 heart.
        height: rows of the masks.
        width: columns of the masks.

    Returns:
        (B, 4, height, width) float32 one-hot.
    """
    heart = fill_polygon(landmarks[:, 94:], height, width)
    right = fill_polygon(landmarks[:, :44], height, width) & ~heart
    left = fill_polygon(landmarks[:, 44:94], height, width) & ~heart & ~right
    return torch.stack([~(right | left | heart), right, left, heart], 1).float()
