# SPDX-License-Identifier: Apache-2.0
"""A network that learns in float32; a twin of it that computes in bfloat16, where that is asked.

Steps of the optimiser are often smaller than bfloat16 can hold beside a weight, so weights are
kept, stepped, averaged and saved in float32, and rounded anew for each step.
"""

from __future__ import annotations

import copy
import logging
from contextlib import AbstractContextManager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from monai_cxr_cf.devices import multiplies_bf16
from monai_cxr_cf.training.quick import quicken

log = logging.getLogger(__name__)
HALVES = ("bf16", "bf16-pure")


def runs_as(precision: str, device: torch.device) -> str:
    """The precision that is run: the one asked for, or "no" on a CPU that cannot multiply bf16."""
    if precision not in HALVES or device.type != "cpu" or multiplies_bf16():
        return precision
    log.warning(
        "This processor does not multiply bfloat16 (no AMX, no AVX512-BF16): precision %s of the "
        "recipe is run in float32.",
        precision,
    )
    return "no"


class Masters:
    """The float32 ``model`` and the ``worker`` whose gradients it learns from."""

    def __init__(self, model: nn.Module, precision: str, accelerator: Accelerator) -> None:
        self.model, self.accelerator = model, accelerator
        precision = runs_as(precision, accelerator.device)
        self.pure, self.mixed = precision == "bf16-pure", precision == "bf16"
        self.worker: Any = model
        if self.pure:
            self.worker = copy.deepcopy(model).to(torch.bfloat16)
            self.worker.to(memory_format=torch.channels_last)
            if accelerator.device.type == "cpu":
                quicken(self.worker)
        both = zip(model.parameters(), self.worker.parameters(), strict=True)
        self._pairs = [(master, twin) for master, twin in both if master.requires_grad]

    def cast(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) as the worker takes it."""
        if not self.pure:
            return pixels
        return pixels.to(torch.bfloat16, memory_format=torch.channels_last)

    def autocast(self) -> AbstractContextManager[None]:
        """In which the worker's forward pass is run."""
        kind = self.accelerator.device.type
        return torch.autocast(kind, torch.bfloat16, enabled=self.mixed)

    @torch.no_grad()
    def restored(self) -> None:
        """Take all weights and buffers of the model into the worker, frozen ones too."""
        if self.pure:
            self.worker.load_state_dict(self.model.state_dict())

    def forget(self) -> None:
        """Leave no gradient behind that a step cut short has made."""
        self.worker.zero_grad(set_to_none=True)

    @torch.no_grad()
    def publish(self) -> None:
        """Round the masters into the worker."""
        if self.pure:
            masters, twins = zip(*self._pairs, strict=True)
            torch._foreach_copy_(twins, masters)

    @torch.no_grad()
    def gather(self) -> None:
        """Add the worker's gradients to those of the masters, in float32; the worker's are gone."""
        if not self.pure:
            return
        for master, twin in self._pairs:
            if twin.grad is None:
                continue
            if master.grad is None:
                master.grad = twin.grad.to(master.dtype)
            else:
                master.grad.add_(twin.grad)
            twin.grad = None


def adamw(
    weights: Any,
    device: torch.device,
    *,
    rate: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    decay: float = 0.01,
) -> torch.optim.AdamW:
    """AdamW in one kernel, where the device has it; ``weights`` may be groups with own rates."""
    fused = device.type in ("cpu", "cuda")
    return torch.optim.AdamW(weights, rate, betas, weight_decay=decay, fused=fused)
