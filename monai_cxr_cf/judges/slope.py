# SPDX-License-Identifier: Apache-2.0
"""A judge as a function with a gradient: model images as tensors in, one finding's probability out.

``preprocess`` in torch: the same sizes, stretch and pad, by torch's bicubic filter for Pillow's.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.judges.classifier import Judge
from monai_cxr_cf.judges.preprocess import PERCENTILES

Window = tuple[slice, slice]


def probability_of(judge: Judge, finding: str, window: Window) -> Callable[[Tensor], Tensor]:
    """(N, S, S) in 0..1 -> (N,); ``window``: where the picture lies in it.

    Raises:
        BadRequest: the judge does not know the finding.
    """
    if finding not in judge.findings:
        known = ", ".join(judge.findings)
        raise BadRequest(f"The judge {judge.name} does not know '{finding}'.", hint=known)
    number = judge.findings.index(finding)

    def probability(images: Tensor) -> Tensor:
        logits: Tensor = judge.network(squares(judge, images, window))
        return torch.sigmoid(logits)[:, number]

    return probability


def squares(judge: Judge, images: Tensor, window: Window) -> Tensor:
    """(N, 1, side, side): what the judge sees; the stretch itself has no gradient."""
    inside = images[:, window[0], window[1]]
    grid = ModelGrid((inside.shape[-2], inside.shape[-1]), judge.shape.detail)
    (rows, columns) = grid.window
    size = (rows.stop - rows.start, columns.stop - columns.start)
    resize = {"mode": "bicubic", "antialias": True}
    fine = functional.interpolate(inside[:, None], size, **resize).clamp(0, 1)  # type: ignore[arg-type]
    flat = fine.detach().flatten(1)
    low, high = (torch.quantile(flat, q / 100, 1)[:, None, None, None] for q in PERCENTILES)
    fine = ((fine - low) / (high - low).clamp(min=1 / 255)).clamp(0, 1)
    whole = fine.new_zeros(len(fine), 1, judge.shape.detail, judge.shape.detail)
    whole[:, :, rows, columns] = fine
    side = (judge.shape.side, judge.shape.side)
    return functional.interpolate(whole, side, **resize).clamp(0, 1)  # type: ignore[arg-type]
