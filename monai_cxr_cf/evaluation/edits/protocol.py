# SPDX-License-Identifier: Apache-2.0
"""The fixed protocol of the edit evaluation: which edits are asked, and one trial of one of them.

A *trial* is one radiograph, one edit or its sham, and all seeds; ``runner`` turns trials into rows.
The words of the edits were fixed before any tuning.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from monai_cxr_cf.catalogue.table import OURS, choose
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import SWITCHES, preset
from monai_cxr_cf.request import EditRequest

VERSION = 1  # of the protocol; rows of another version are refused
VIEWS = ("PA", "AP")


@dataclass(frozen=True)
class Edit:
    """One thing to ask of a radiograph, in the words a user would type."""

    group: str  # a row of the table, e.g. "add left pleural effusion"
    prompt: str
    finding: str  # canonical name in the vocabulary
    direction: str = "add"  # add or remove
    side: str | None = None  # the patient's left or right; None: no side, or both
    zone: str | None = None
    label: str = "No Finding"  # what the input must be labelled with


ADDITIONS = (
    Edit("add cardiomegaly", "moderate cardiomegaly", "cardiomegaly"),
    Edit("add left effusion", "moderate left pleural effusion", "pleural effusion", side="left"),
    Edit("add right effusion", "moderate right pleural effusion", "pleural effusion", side="right"),
    Edit("add left lower consolidation", "left lower lobe consolidation", "consolidation",
         side="left", zone="lower"),
    Edit("add right lower consolidation", "right lower lobe consolidation", "consolidation",
         side="right", zone="lower"),
    Edit("add edema", "moderate pulmonary edema", "pulmonary edema"),
    Edit("add pneumonia", "right lower lobe pneumonia", "pneumonia", side="right", zone="lower"),
    Edit("add atelectasis", "left lower lobe atelectasis", "atelectasis",
         side="left", zone="lower"),
)  # fmt: skip
REMOVALS = (
    Edit("remove cardiomegaly", "no cardiomegaly", "cardiomegaly", "remove", label="Cardiomegaly"),
    Edit("remove effusion", "no pleural effusion", "pleural effusion", "remove", label="Effusion"),
)
EDITS = (*ADDITIONS, *REMOVALS)


def on_side(edit: Edit, side: str | None) -> Edit:
    """A removal on the side where its input shows the finding; None: on both."""
    if side is None:
        return edit
    return replace(edit, side=side, prompt=f"no {side} {edit.finding}")


@dataclass(frozen=True)
class Input:
    """One radiograph of a data folder."""

    id: str
    patient: str
    view: str  # PA or AP
    path: str  # PNG or JPEG; not part of a trial's identity


@dataclass(frozen=True)
class Settings:
    """How every edit of a run is made; what an ablation or a search varies."""

    preset: str = "default"
    switches: tuple[str, ...] = ()  # names in ``presets.SWITCHES``: laws that are off
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    strength: float | None = None
    backbone: str = "cxr-mini"
    segmenter: str = "hybridgnet"
    method: str = OURS
    method_settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [name for name in self.switches if name not in SWITCHES]
        if unknown:
            raise BadRequest(
                f"Unknown switch '{unknown[0]}'.", hint=f"Switches: {', '.join(SWITCHES)}."
            )
        preset(self.preset).with_overrides(self.merged())
        choose(self.method, self.method_settings)

    def about(self) -> dict[str, Any]:
        """All that tells two settings apart; our own method goes without saying."""
        plain = asdict(self)
        if self.method == OURS:
            del plain["method"], plain["method_settings"]
        return plain

    def merged(self) -> dict[str, dict[str, Any]]:
        """Overrides and switches as one set of overrides; switches win."""
        found = {part: dict(values) for part, values in self.overrides.items()}
        for name in self.switches:
            for part, values in SWITCHES[name].items():
                found[part] = {**found.get(part, {}), **values}
        return found


@dataclass(frozen=True)
class Trial:
    """One radiograph, one edit or its sham, all seeds."""

    input: Input
    edit: Edit
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    sham: bool = False  # the control: same region, seeds and settings, the source prompt as target
    settings: Settings = Settings()

    def about(self) -> dict[str, str]:
        """What every row says of the radiograph and of the edit."""
        return {
            "input": self.input.id,
            "patient": self.input.patient,
            "view": self.input.view,
            "group": self.edit.group,
            "finding": self.edit.finding,
        }

    @property
    def cell(self) -> str:
        """Edit and view: what the table has a row for, e.g. "add edema, PA"."""
        return f"{self.edit.group}, {self.input.view}"

    @property
    def kind(self) -> str:
        """``edit`` or ``sham``."""
        return "sham" if self.sham else "edit"

    @property
    def identity(self) -> str:
        """24 hex digits of what is asked; weights and calibration are added by ``runner``."""
        about: dict[str, Any] = {
            "input": self.input.id,
            "edit": asdict(self.edit),
            "seeds": self.seeds,
        }
        about |= {"sham": self.sham, "settings": self.settings.about(), "protocol": VERSION}
        return digest(about)

    def request(self) -> EditRequest:
        """What the pipeline is asked."""
        settings = self.settings
        return EditRequest(
            source=self.input.path,
            prompt=self.edit.prompt,
            seeds=self.seeds,
            sham=self.sham,
            preset=settings.preset,
            overrides=settings.merged(),
            strength=settings.strength,
            backbone=settings.backbone,
            segmenter=settings.segmenter,
            method=settings.method,
            method_settings=settings.method_settings,
            reading=ReadOptions(allow_raster=True),
        )


def digest(about: Any) -> str:
    """24 hex digits of anything JSON-ready."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:24]


def select(names: Sequence[str]) -> tuple[Edit, ...]:
    """The edits whose group contains one of ``names``; all without names; BadRequest if none."""
    for name in names:
        if not any(name in edit.group for edit in EDITS):
            raise BadRequest(
                f"No cell of the protocol is called '{name}'.",
                hint=f"Cells: {'; '.join(edit.group for edit in EDITS)}.",
            )
    return tuple(e for e in EDITS if not names or any(name in e.group for name in names))
