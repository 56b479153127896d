# SPDX-License-Identifier: Apache-2.0
"""A recipe's precision in, accelerate's device and processes out.

One process trains on one device. ``accelerate launch --num_processes N`` starts several: each takes
its own images, gradients and the clock are shared, and the first one writes files.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from accelerate import Accelerator
from torch import nn

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.training.loop import Progress


def start_accelerator(precision: str) -> Accelerator:
    """Device, precision and processes of this run; BadRequest for a precision but bf16 and no."""
    if precision not in ("bf16", "no"):
        raise BadRequest(
            f"Precision '{precision}' is not one of bf16 and no.",
            hint="float16 needs loss scaling, which would change what a resumed run computes.",
        )
    return Accelerator(mixed_precision=precision, gradient_accumulation_steps=1)


def share_gradients(accelerator: Accelerator, module: nn.Module) -> None:
    """Every process gets the mean of all gradients; nothing to do in one process."""
    if accelerator.num_processes == 1:
        return
    for weight in module.parameters():
        if weight.grad is not None:
            torch.distributed.all_reduce(weight.grad)
            weight.grad /= accelerator.num_processes


def share_clock(accelerator: Accelerator, progress: Progress) -> None:
    """Every process goes by the first one's clock, so that rates and the end agree."""
    if accelerator.num_processes > 1:
        seconds = torch.tensor([progress.seconds], dtype=torch.float64, device=accelerator.device)
        torch.distributed.broadcast(seconds, 0)
        progress.seconds = float(seconds)


def draws(accelerator: Accelerator, step: int) -> Iterator[int]:
    """Numbers of the batches that this process takes in the accumulation window of ``step``."""
    window, processes = accelerator.gradient_accumulation_steps, accelerator.num_processes
    for part in range(window):
        yield (step * window + part) * processes + accelerator.process_index
