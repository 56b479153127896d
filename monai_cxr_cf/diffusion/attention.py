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

from monai_cxr_cf.diffusion.layers import AttentionLayer, attention_levels
from monai_cxr_cf.diffusion.maps import BRANCHES, LawPlan
from monai_cxr_cf.diffusion.processors import Steered, SteeredCross, SteeredSelf
from monai_cxr_cf.diffusion.regulate import DenseShift, TokenGain
from monai_cxr_cf.errors import CxrError

__all__ = ["AttentionLayer", "Columns", "Control", "attention_levels", "controlled"]

Columns = dict[tuple[int, str], Tensor]


class Control:
    """Switches of the installed processors, and what they recorded. All switches start off."""

    def __init__(self, plan: LawPlan) -> None:
        self.plan = plan
        self.branch, self.gate, self.boost = "cond", False, False
        self.regional, self.record = False, False
        self.focus: tuple[int, ...] | None = None  # levels to record; None = all of the plan's
        self.dense_level = 1.0  # l_t of the dense gate, set from the timestep of each UNet call
        self._columns: Columns = {}

    def set(self, *, branch: str, gate: bool, boost: bool, regional: bool, record: bool) -> None:
        """State of the following UNet calls; ``branch`` is ``cond`` or ``negative``.

        A switch allows a law; the plan decides where it acts: the gate on both branches unless
        ``gate.branches`` says otherwise, regional prompting on the conditional one, the boost on
        the negative one only in a removal.
        """
        if branch not in BRANCHES:
            raise CxrError(f"Branch is {branch!r}; expected one of {BRANCHES}.")
        self.branch, self.gate, self.boost = branch, gate, boost
        self.regional, self.record = regional, record

    def take(self) -> Columns:
        """Columns of K_path recorded since the last call, raw (before W), mean over heads.

        (level, layer name) -> (B, tokens, rows, columns), fp32 or fp64, tokens in the order of
        ``plan.tokens[branch]``. A layer that ran twice gives its last columns.
        """
        taken, self._columns = self._columns, {}
        return taken

    @contextmanager
    def recording_only(self, levels: tuple[int, ...]) -> Iterator[None]:
        """Record afresh inside, on ``levels`` only; the switches come back after."""
        held, self._columns = (self.record, self.focus), {}
        self.record, self.focus = True, levels
        try:
            yield
        finally:
            self.record, self.focus = held

    def store(self, layer: AttentionLayer, columns: Tensor) -> None:
        """Keep columns (B, N, tokens) of one layer."""
        self._columns[layer.level, layer.name] = columns.transpose(1, 2).reshape(
            len(columns), -1, *layer.grid
        )

    @property
    def gating(self) -> bool:
        """Whether Eq. 5 acts in the current branch."""
        gate = self.plan.config.gate
        both = gate.branches == "both" and gate.mode != "dense"
        return self.gate and (self.branch == "cond" or both)

    def records(self, level: int) -> bool:
        """Whether K_path columns of the branch's prompt are kept at ``level``."""
        wanted = self.focus is None or level in self.focus
        return self.record and wanted and bool(self.plan.tokens[self.branch])

    def gain(self, level: int) -> TokenGain | None:
        """W of the current branch at ``level``."""
        return self.plan.gains.get((self.branch, level, self.boost))

    def region(self, level: int) -> Tensor | None:
        """Ω of regional prompting at ``level``, (N,)."""
        acts = self.regional and self.branch == "cond"
        return self.plan.regional.get(level) if acts else None

    def shift(self, level: int) -> DenseShift | None:
        """Cross-attention half of the dense gate at ``level``."""
        return self.plan.shifts.get(level) if self.gating else None


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
