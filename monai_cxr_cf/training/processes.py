# SPDX-License-Identifier: Apache-2.0
"""The processes of a training: each one's device, its group and what it shares with the others.

One process trains on one device. ``accelerate launch --num_processes N`` starts several: each takes
its own images, gradients and the clock are shared, and the first one writes files. The bundle's
``multi_gpu_train.json`` runs under ``torchrun`` and names ``join``, ``leave``, ``local_device`` and
``shared``; without a GPU those processes talk by gloo on the CPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.training.loop import Pace

PRECISIONS = ("bf16-pure", "bf16", "no")


def start_accelerator(precision: str) -> Accelerator:
    """Device and processes of this run; BadRequest for a precision but bf16, bf16-pure and no.

    Autocasting is left to ``masters.Masters``.
    """
    if precision not in PRECISIONS:
        raise BadRequest(
            f"Precision '{precision}' is not one of {', '.join(PRECISIONS)}.",
            hint="float16 needs loss scaling, which would change what a resumed run computes.",
        )
    return Accelerator(mixed_precision="no", gradient_accumulation_steps=1)


def share_gradients(accelerator: Accelerator, module: nn.Module) -> None:
    """Every process gets the mean of all gradients; nothing to do in one process."""
    if accelerator.num_processes == 1:
        return
    for weight in module.parameters():
        if weight.grad is not None:
            torch.distributed.all_reduce(weight.grad)
            weight.grad /= accelerator.num_processes


def share_clock(accelerator: Accelerator, progress: Pace) -> None:
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


def join() -> None:
    """Join the group that ``torchrun`` describes in the environment."""
    if torch.cuda.is_available():
        torch.cuda.set_device(local_device())
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def leave() -> None:
    """Leave the group."""
    torch.distributed.destroy_process_group()


def local_device() -> torch.device:
    """This process's own GPU, or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")


def shared(module: nn.Module, device: torch.device) -> DistributedDataParallel:
    """The module on the device, its gradients averaged over all processes."""
    devices = [device] if device.type == "cuda" else None
    return DistributedDataParallel(module.to(device), device_ids=devices)
