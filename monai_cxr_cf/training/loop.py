# SPDX-License-Identifier: Apache-2.0
"""What every training shares: a recipe in; progress, learning rate, EMA, checkpoints, logs out.

All randomness of a step is a function of (seed, step), so a run resumed from a checkpoint draws
what the uninterrupted run would have drawn.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import time
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
import yaml
from torch import nn

from monai_cxr_cf.errors import BadRequest, UnreadableInput

log = logging.getLogger(__name__)
Recipe = TypeVar("Recipe")


def read_recipe(path: Path, kind: type[Recipe]) -> Recipe:
    """A YAML file as the frozen dataclass ``kind``; lists become tuples.

    Raises:
        UnreadableInput: no such file, or not a mapping.
        BadRequest: a key that the recipe does not know.
    """
    if not Path(path).is_file():
        raise UnreadableInput(f"There is no recipe {Path(path).name}.", hint="Pass --recipe FILE.")
    content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise UnreadableInput("The recipe is not a YAML mapping.", hint="Write one key per line.")
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(content) - known):
        raise BadRequest(
            f"The recipe has unknown keys: {', '.join(unknown)}.",
            hint=f"Known keys: {', '.join(sorted(known))}.",
        )
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in content.items()})


def step_rng(seed: int, step: int, stream: int = 0) -> np.random.Generator:
    """The numpy generator of one step and stream."""
    return np.random.default_rng([seed, step, stream])


def step_generator(seed: int, step: int, stream: int = 0) -> torch.Generator:
    """The CPU torch generator of one step and stream."""
    value = int(step_rng(seed, step, 1000 + stream).integers(0, 2**62))
    return torch.Generator().manual_seed(value)


@dataclasses.dataclass
class Pace:
    """How far a run is: optimiser steps done and seconds trained, over all its restarts."""

    steps: int  # planned steps
    max_minutes: float | None = None  # planned minutes; whichever ends first ends the run
    step: int = 0
    seconds: float = 0.0
    _mark: float = dataclasses.field(default_factory=time.monotonic)
    _images: int = 0  # since the last ``figures`` ...
    _since: float = 0.0  # ... which was at this second

    def advance(self, images: int = 0) -> None:
        """Count one step, its images and the time since the last call."""
        now = time.monotonic()
        self.seconds += now - self._mark
        self._mark = now
        self.step += 1
        self._images += images

    def figures(self) -> dict[str, float]:
        """Share done, minutes left and, where images are counted, images per second lately."""
        told = {"share": self.share, "minutes_left": self.minutes_left}
        if self._images:
            told["images_s"] = self._images / max(self.seconds - self._since, 1e-9)
        self._images, self._since = 0, self.seconds
        return told

    @property
    def share(self) -> float:
        """Share of the run done, 0..1, by steps or by time."""
        by_time = self.seconds / (60 * self.max_minutes) if self.max_minutes else 0.0
        return min(1.0, max(self.step / self.steps, by_time))

    @property
    def minutes_left(self) -> float:
        """Linear estimate from the share done."""
        return self.seconds / 60 * (1 - self.share) / max(self.share, 1e-9)


def learning_rate_factor(share: float, step: int, warmup: int) -> float:
    """Linear warm-up over ``warmup`` steps, then a cosine from 1 to 0.02 over the run's share."""
    rise = min(1.0, (step + 1) / max(1, warmup))
    return rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))


class Ema:
    """Exponential moving average of a module's parameters in float32.

    The decay grows as (1 + n) / (10 + n) up to ``decay``, so early averages are not stuck at the
    initial weights.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.count = 0
        self.shadow = {k: v.detach().clone() for k, v in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """shadow <- d shadow + (1 - d) weights."""
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        self.count += 1
        for name, weight in module.named_parameters():
            self.shadow[name].lerp_(weight.detach(), 1 - decay)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Write the averaged weights into ``module``."""
        for name, weight in module.named_parameters():
            weight.copy_(self.shadow[name])

    def state_dict(self) -> dict[str, Any]:
        """The average and its counter."""
        return {"count": self.count, "shadow": self.shadow}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.count = state["count"]
        for name, value in state["shadow"].items():
            self.shadow[name].copy_(value)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a crash leaves the old or the new file, never half of one."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    with part.open("rb") as handle:
        os.fsync(handle.fileno())
    os.replace(part, path)


def load_state(path: Path) -> dict[str, Any]:
    """A checkpoint of ``save_state``: tensors and plain values only."""
    if not path.is_file():
        raise UnreadableInput(
            f"There is no checkpoint {path.name} to resume from.", hint="Train without --resume."
        )
    return torch.load(path, map_location="cpu", weights_only=True)


class Learner(Protocol):
    """What every training has in hand."""

    @property
    def model(self) -> Any:
        """The module that learns."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Its optimiser."""

    @property
    def ema(self) -> Ema:
        """Its averaged weights."""

    @property
    def progress(self) -> Pace:
        """How far it is."""


def state_of(learner: Learner) -> dict[str, Any]:
    """Everything a resumed run needs."""
    return {
        "model": learner.model.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "ema": learner.ema.state_dict(),
        "step": learner.progress.step,
        "seconds": learner.progress.seconds,
    }


def restore(learner: Learner, path: Path) -> dict[str, Any]:
    """Let ``learner`` go on from the checkpoint at ``path``, made of ``state_of``; returns it."""
    state = load_state(path)
    learner.model.load_state_dict(state["model"])
    learner.optimizer.load_state_dict(state["optimizer"])
    learner.ema.load_state_dict(state["ema"])
    learner.progress.step, learner.progress.seconds = state["step"], state["seconds"]
    return state


class Journal:
    """Numbers of a run: history.jsonl, TensorBoard events and curves.png in one folder.

    With ``active`` false (all processes but the first) it writes nothing.
    """

    def __init__(self, out: Path, *, active: bool = True) -> None:
        self.out, self.active = out, active
        if active:
            from torch.utils.tensorboard import SummaryWriter

            out.mkdir(parents=True, exist_ok=True)
            self.board = SummaryWriter(str(out / "tensorboard"))

    def write(self, step: int, **values: float) -> None:
        """Append one record and log it; the log record carries it as ``figures``."""
        if not self.active:
            return
        record = {"step": step, **{k: round(float(v), 6) for k, v in values.items()}}
        with (self.out / "history.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(record) + "\n")
        for name, value in values.items():
            self.board.add_scalar(name, value, step)
        told = "  ".join(f"{k} {v:.4g}" for k, v in record.items())
        log.info("%s", told, extra={"figures": record})

    def curves(self) -> None:
        """Draw every recorded number over the step into curves.png."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        lines = (self.out / "history.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        names = sorted({k for r in records for k in r} - {"step"})
        columns = 4
        figure = Figure(figsize=(4 * columns, 2.6 * math.ceil(len(names) / columns)))
        FigureCanvasAgg(figure)
        for index, name in enumerate(names):
            axis = figure.add_subplot(math.ceil(len(names) / columns), columns, index + 1)
            points = [(r["step"], r[name]) for r in records if name in r]
            axis.plot(*zip(*points, strict=True), linewidth=1)
            axis.set_title(name, fontsize=8)
        figure.tight_layout()
        figure.savefig(self.out / "curves.png", dpi=70)
