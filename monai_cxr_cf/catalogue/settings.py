# SPDX-License-Identifier: Apache-2.0
"""The settings of every method beside ours, with the published values as defaults.

A field carries meaning and range, as the dials of ``presets`` do; ``table`` says whose they are.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import floor
from typing import Any

from monai_cxr_cf.dials import checked, dial
from monai_cxr_cf.errors import BadRequest

TINY = 1e-9  # int(0.58 * 50) is 28 without it
CFG = (1.0, 100.0)
STEPS = (1, 1000)


@dataclass(frozen=True)
class Settings:
    """What a method without settings has."""

    @property
    def share(self) -> float:
        """Share of the schedule that is run."""
        return 1.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name, in declaration order."""
        return asdict(self)

    def with_values(self, values: Mapping[str, Any]) -> Any:
        """A copy with some fields replaced; BadRequest names range or choices."""
        return replace(self, **{key: checked(self, key, value) for key, value in values.items()})


@dataclass(frozen=True)
class Published(Settings):
    """What every published method has."""

    as_published: bool = dial(False, "with the faults of the published code, as its row lists them")


class ByStrength:
    """What ``steps`` and ``strength`` make of a schedule."""

    steps: int
    strength: float

    @property
    def share(self) -> float:
        """The strength, in whole steps."""
        return self.executed / self.steps

    @property
    def executed(self) -> int:
        """Steps that are run: min(int(steps x strength), steps).

        Raises:
            BadRequest: not one.
        """
        count = min(floor(self.strength * self.steps + TINY), self.steps)
        if not count:
            raise BadRequest(
                f"A strength of {self.strength:g} of {self.steps} steps is less than one step.",
                hint=f"Name at least {1 / self.steps:.3g}.",
            )
        return count


class BySkip:
    """What ``steps`` and the share ``skip`` make of a schedule."""

    steps: int
    skip: float

    @property
    def skipped(self) -> int:
        """Steps that are left out."""
        return floor(self.skip * self.steps + TINY)

    @property
    def share(self) -> float:
        """What is left after ``skip``."""
        return 1 - self.skipped / self.steps


@dataclass(frozen=True)
class Partial(ByStrength, Published):
    """A method that runs the last part of a schedule."""

    steps: int = dial(50, "scheduler steps over the whole schedule", span=STEPS)
    strength: float = dial(1.0, "share of the schedule that is run", span=(0, 1))
    guidance: float = dial(7.5, "guidance scale", span=CFG)


@dataclass(frozen=True)
class Inpaint(Partial):
    """SD-inpainting: 4 channels and a paste, or a UNet of 9 channels."""


@dataclass(frozen=True)
class DdimInvert(Partial):
    """DDIM inversion, then guided sampling."""


@dataclass(frozen=True)
class DdpmInvert(Published):
    """Edit-friendly DDPM inversion."""

    steps: int = dial(100, "scheduler steps over the whole schedule", span=STEPS)
    skip: int = dial(36, "noisiest steps that are left out", span=(0, 999))
    eta: float = dial(1.0, "DDIM stochasticity of the sampler", span=(0.01, 1))
    source_guidance: float = dial(3.5, "guidance of the inversion, with a source prompt", span=CFG)
    guidance: float = dial(15.0, "guidance of the edit", span=CFG)

    @property
    def share(self) -> float:
        """What is left after ``skip``."""
        return self.executed / self.steps

    @property
    def executed(self) -> int:
        """Steps that are run."""
        return executed(self.steps, self.skip)


@dataclass(frozen=True)
class Blended(BySkip, Published):
    """Blended latent diffusion."""

    steps: int = dial(50, "scheduler steps over the whole schedule", span=STEPS)
    skip: float = dial(0.25, "share of the steps that is left out, the noisiest", span=(0, 0.99))
    guidance: float = dial(7.5, "guidance scale", span=CFG)


@dataclass(frozen=True)
class Pie(ByStrength, Published):
    """Progressive image editing: rounds of image-to-image on the last round's output."""

    rounds: int = dial(10, "rounds", span=(1, 100))
    steps: int = dial(50, "scheduler steps over the whole schedule", span=STEPS)
    strength: float = dial(0.5, "share of the schedule that a round runs", span=(0, 1))
    guidance: float = dial(7.5, "guidance scale", span=CFG)
    beta1: float = dial(0.01, "share of a round's change that stays outside", span=(0, 1))
    beta2: float = dial(0.75, "share of a round's change that stays inside", span=(0, 1))


@dataclass(frozen=True)
class PieLatent(Pie):
    """``pie`` that hands latents from round to round."""


@dataclass(frozen=True)
class RadEdit(BySkip, Published):
    """Edit-friendly inversion with an edit mask and a keep mask."""

    steps: int = dial(100, "scheduler steps over the whole schedule", span=STEPS)
    skip: float = dial(0.3, "share of the steps that is left out, the noisiest", span=(0, 0.99))
    guidance: float = dial(7.5, "guidance in the edit mask; the paper has 15", span=CFG)


@dataclass(frozen=True)
class DiffEdit(ByStrength, Published):
    """DiffEdit: a mask from two prompts, DDIM inversion, masked sampling."""

    steps: int = dial(50, "scheduler steps over the whole schedule", span=STEPS)
    strength: float = dial(0.8, "share of the schedule that is inverted and run", span=(0, 1))
    guidance: float = dial(7.5, "guidance of mask, inversion and edit", span=CFG)
    draws: int = dial(10, "noise draws that the mask is made of", span=(1, 100))
    mask_strength: float = dial(0.5, "noise level at which the mask is made", span=(0.01, 1))
    mask: str = dial("auto", "the method's own mask, or the region", choices=("auto", "region"))


@dataclass(frozen=True)
class MasaCtrl(Settings):
    """Mutual self-attention of source and target."""

    steps: int = dial(50, "scheduler steps", span=STEPS)
    start: int = dial(4, "first step in which the source is read", span=(0, 1000))
    guidance: float = dial(7.5, "guidance scale", span=CFG)
    masked: bool = dial(False, "read the region from the region, the rest from the rest")


@dataclass(frozen=True)
class PromptToPrompt(DdpmInvert):
    """Attention maps of the source prompt for the target prompt."""

    mode: str = dial(
        "auto",
        "how maps are handed over: word by word, or where words are the same; auto: word by word "
        "where both prompts have as many",
        choices=("auto", "refine", "replace"),
    )
    cross: float = dial(0.6, "share of the steps with the source's cross-attention", span=(0, 1))
    self_share: float = dial(0.2, "share with its self-attention", span=(0, 1))
    reweight: float = dial(1.0, "factor on the finding's tokens", span=(-10, 10))
    blend: bool = dial(False, "keep the source where words that differ do not look")
    blend_from: float = dial(0.3, "share of a map's maximum that counts as looking", span=(0, 1))


@dataclass(frozen=True)
class AttendExcite(Partial):
    """Every token of a finding must hold some cell."""

    strength: float = dial(0.7, "share of the schedule that is run", span=(0, 1))
    altered: int = dial(25, "first steps in which the latent is moved", span=(0, 1000))
    step: float = dial(20.0, "size of a move, falling", span=(0, 1000))
    refinements: int = dial(20, "most moves at steps 0, 10 and 20", span=(0, 100))


@dataclass(frozen=True)
class LayoutGuidance(Partial):
    """Tokens of a finding are drawn into its region."""

    strength: float = dial(0.7, "share of the schedule that is run", span=(0, 1))
    guided: int = dial(10, "first steps in which the latent is moved", span=(0, 1000))
    tries: int = dial(5, "most moves a step", span=(1, 100))
    scale: float = dial(30.0, "factor on the loss", span=(0, 1000))
    enough: float = dial(0.2, "loss at which nothing is moved", span=(0, 1))


@dataclass(frozen=True)
class Ledits(Published):
    """LEDITS++."""

    steps: int = dial(30, "steps that are run", span=STEPS)
    skip: float = dial(0.15, "share of steps laid above them", span=(0, 4))
    source_guidance: float = dial(3.5, "guidance of the inversion, with a source prompt", span=CFG)
    guidance: float = dial(5.0, "guidance of the edit", span=CFG)
    threshold: float = dial(0.9, "quantile from which a cell is edited", span=(0, 0.999))
    masked: bool = dial(False, "guide in region and band alone; then lower the threshold")

    @property
    def laid(self) -> int:
        """Steps of the whole schedule."""
        return floor(self.steps * (1 + self.skip) + TINY)

    @property
    def share(self) -> float:
        """What is run of those that are laid."""
        return self.steps / self.laid


@dataclass(frozen=True)
class RegionSpecific(Settings):
    """An automatic region, then an editor."""

    editor: str = dial(
        "sd_inpaint",
        "who edits in that region",
        choices=("sd_inpaint", "blended", "pie_latent"),
    )
    level: int = dial(800, "timestep at which the words are tried", span=(0, 999))
    threshold: float = dial(0.1, "response times prior that counts", span=(0, 1))
    guidance: float = dial(7.5, "guidance of the editor", span=CFG)
    strength: float = dial(1.0, "of sd_inpaint", span=(0, 1))


@dataclass(frozen=True)
class External(Settings):
    """Finished pictures of another program."""

    folder: str = dial("", "folder with manifest.csv and the pictures")


def executed(steps: int, skip: int) -> int:
    """Steps that are left; BadRequest if none is."""
    if skip >= steps:
        raise BadRequest(f"skip is {skip} of {steps} steps; no step is left.")
    return steps - skip
