# SPDX-License-Identifier: Apache-2.0
"""Switches of the installed processors, and what they recorded in the last UNet call."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from monai_cxr_cf.diffusion.laws.plan import BRANCHES, LawPlan
from monai_cxr_cf.diffusion.laws.specification import DenseShift, TokenGain
from monai_cxr_cf.diffusion.model.layers import AttentionLayer
from monai_cxr_cf.errors import CxrError

Columns = dict[tuple[int, str], Tensor]


class Control:
    """Switches of the installed processors, and what they recorded. All switches start off."""

    def __init__(self, plan: LawPlan) -> None:
        self.plan = plan
        self.branch, self.gate, self.boost = "cond", False, False
        self.regional, self.record = False, False
        self.focus: tuple[int, ...] | None = None  # levels that are recorded for the correction
        self.dense_level = 1.0  # l_t of the dense gate, set from the timestep of each UNet call
        self._columns: Columns = {}

    def set(self, *, branch: str, gate: bool, boost: bool, regional: bool, record: bool) -> None:
        """State of the following UNet calls; ``branch`` is one of ``plan.BRANCHES``.

        A switch allows a law; the plan decides where it acts: the gate on all branches unless
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

    def look(self, levels: tuple[int, ...]) -> Columns:
        """What was recorded on ``levels`` so far; ``take`` still gives it."""
        return {key: columns for key, columns in self._columns.items() if key[0] in levels}

    @contextmanager
    def recording(self, levels: tuple[int, ...]) -> Iterator[None]:
        """Record afresh inside: ``levels`` whatever the switch says, only these with a graph."""
        held, self._columns, self.focus = self.focus, {}, levels
        try:
            yield
        finally:
            self.focus = held
            self._columns = {key: columns.detach() for key, columns in self._columns.items()}

    def store(self, layer: AttentionLayer, columns: Tensor) -> None:
        """Keep columns (B, N, tokens) of one layer."""
        kept = columns if self.focus is None or layer.level in self.focus else columns.detach()
        self._columns[layer.level, layer.name] = kept.transpose(1, 2).reshape(
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
        wanted = self.record or (self.focus is not None and level in self.focus)
        return wanted and bool(self.plan.tokens[self.branch])

    def gain(self, level: int) -> TokenGain | None:
        """W of the current branch at ``level``."""
        return self.plan.gains.get((self.branch, level, self.boost))

    def region(self, level: int) -> Tensor | None:
        """Ω of regional prompting at ``level``, (N,)."""
        acts = self.regional and self.branch == "cond"
        return self.plan.regional.get(level) if acts else None

    @property
    def several(self) -> bool:
        """Whether the current branch's states hold a text for each finding behind the prompt's."""
        return bool(self.plan.shares) and self.branch == "cond"

    def shares(self, level: int) -> Tensor | None:
        """Share of each finding's own text in each cell at ``level``, (findings, N)."""
        return self.plan.shares.get(level) if self.several and self.regional else None

    def shift(self, level: int) -> DenseShift | None:
        """Cross-attention half of the dense gate at ``level``."""
        return self.plan.shifts.get(level) if self.gating else None
