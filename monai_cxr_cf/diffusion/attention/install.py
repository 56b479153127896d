# SPDX-License-Identifier: Apache-2.0
"""Steer and record a UNet's attention by a plan, and leave no trace of it afterwards.

``with controlled(unet, plan) as control`` installs processors once, on the layers that need one,
and gives the same processor objects back on any exit; ``control.set`` switches what acts in the
next UNet call, ``control.take`` returns what was recorded in it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from monai_cxr_cf.diffusion.attention.control import Control
from monai_cxr_cf.diffusion.attention.processors import Steered, SteeredCross, SteeredSelf
from monai_cxr_cf.diffusion.laws.plan import LawPlan
from monai_cxr_cf.diffusion.model.layers import AttentionLayer


@contextmanager
def controlled(unet: Any, plan: LawPlan) -> Iterator[Control]:
    """Install the processors ``plan`` needs into ``unet``; restore the same objects on any exit.

    With all laws off nothing is installed and nothing is recorded.
    """
    control = Control(plan)
    modules = dict(unet.named_modules())
    held: list[tuple[Any, Any]] = []
    clock = _dense_clock(unet, control) if plan.shifts else None
    try:
        for layer in plan.layers:
            kind = _steered(plan, layer)
            if kind is not None:
                module = modules[layer.name]
                held.append((module, module.processor))
                module.set_processor(kind(control, layer, module.processor))
        yield control
    finally:
        for module, processor in reversed(held):
            module.set_processor(processor)
        if clock is not None:
            clock.remove()


def _steered(plan: LawPlan, layer: AttentionLayer) -> type[Steered] | None:
    """The processor a layer needs, if any: the gated, the steered and the recorded ones."""
    if not layer.cross:
        return SteeredSelf if layer.level in plan.gates else None
    if plan.shares:
        return SteeredCross
    if not plan.acts or layer.level not in plan.omega:
        return None
    levels = {level for _, level, _ in plan.gains} | set(plan.regional) | set(plan.shifts)
    recorded = any(plan.tokens.values())
    return SteeredCross if recorded or layer.level in levels else None


def _dense_clock(unet: Any, control: Control) -> Any:
    """Hook that reads l_t = (t / 1000)^5 from the timestep of every UNet call."""

    def read(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        t = kwargs["timestep"] if "timestep" in kwargs else args[1]
        flat = t.flatten()[0] if isinstance(t, Tensor) else t
        control.dense_level = (float(flat) / 1000.0) ** 5

    return unet.register_forward_pre_hook(read, with_kwargs=True)
