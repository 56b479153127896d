# SPDX-License-Identifier: Apache-2.0
"""One process of several that ``torchrun`` started: its group, its device, its share of a module.

``multi_gpu_train.json`` names these three; without a GPU the processes talk by gloo on the CPU.
"""

import os

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def start() -> None:
    """Join the group that ``torchrun`` describes in the environment."""
    if torch.cuda.is_available():
        torch.cuda.set_device(local_device())
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def stop() -> None:
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
