# SPDX-License-Identifier: Apache-2.0
"""What one row of the table of methods says, and which kinds of UNet there are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from monai_cxr_cf.catalogue.settings import Settings
from monai_cxr_cf.errors import BadRequest

CHANNELS = {"text": 4, "instruct": 8, "inpaint": 9}  # kind of a UNet -> its input channels
# Dials of the presets that hold for every method: words, and how a picture becomes the output.
COMMON = ("tokens.source", "tokens.removal", "keep.band_px", "output.*")
WINDOW = "output.roi_crop"  # the others draw the whole picture
ALL = "*"
FOLDERS = {"results", "emu3"}  # needs that are a folder of the user's


@dataclass(frozen=True)
class Unit:
    """What a formula needs to know: F of the VAE's halves, and the request.

    Attributes:
        encode, decode: F of one image; those of SD v1.5 unless a backbone is at hand.
        source: whether there is a source prompt.
        kind: of the UNet.
        backward: of a gradient back to the latent.
    """

    encode: float = 1.39
    decode: float = 3.13
    source: bool = True
    kind: str = "text"
    backward: float = 1.15

    @property
    def vae(self) -> float:
        """One encoding of the source, one decoding of the result."""
        return self.encode + self.decode


@dataclass(frozen=True)
class Reference:
    """Where a method comes from, and under which terms."""

    paper: str
    code: str = ""
    commit: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Row:
    """One method.

    Attributes:
        about: what it does, in one line.
        settings: its settings at their published values.
        cost: settings and ``Unit`` -> F of one image; None where presets decide it.
        kinds: kinds of UNet that it runs on, keys of ``CHANNELS``.
        own: the kind that it was published with.
        needs: what else a run must have: ``results``.
        region: how it knows where to edit: ``paste``, ``guidance``, ``own`` (it finds out by
            itself) or ``none``; the composite comes after all of them.
        dials: dials of the presets that it reads, dotted; ``ALL`` for ours.
        defects: faults of the published code that ``as_published`` brings back.
        solver: what the trace calls its sampler.
        removes: whether it can take a finding away.
        most: the highest cost, where the picture decides; ``cost`` is then the lowest.
    """

    id: str
    about: str
    settings: Settings
    cost: Callable[[Any, Unit], float] | None
    reference: Reference
    kinds: tuple[str, ...] = ("text",)
    own: str = "text"
    needs: tuple[str, ...] = ()
    region: str = "paste"
    dials: tuple[str, ...] = COMMON
    defects: tuple[str, ...] = ()
    solver: str = "ddim"
    removes: bool = True
    most: Callable[[Any, Unit], float] | None = None

    def reads(self, part: str, key: str) -> bool:
        """Whether a dial of the presets means anything to the method."""
        if ALL in self.dials:
            return True
        dial = f"{part}.{key}"
        return dial != WINDOW and bool({f"{part}.*", dial} & set(self.dials))

    @property
    def by_preset(self) -> bool:
        """Whether a preset, and not settings of the method's own, says how it samples."""
        return self.reads("start", "strength")

    def refuse(self, kind: str, backbone: str) -> None:
        """BadRequest if the method does not run on a UNet of that kind."""
        if kind in self.kinds:
            return
        wanted = " or ".join(str(CHANNELS[name]) for name in self.kinds)
        raise BadRequest(
            f"'{self.id}' edits with a UNet of {wanted} input channels; "
            f"'{backbone}' has {CHANNELS[kind]}.",
            hint="cxr-cf info methods lists the methods for each.",
        )


def passes(scale: float) -> int:
    """UNet calls of a guided prediction; a scale of 1 needs no second one."""
    return 1 if scale == 1 else 2
