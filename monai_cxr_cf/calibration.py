# SPDX-License-Identifier: Apache-2.0
"""What the file ``calibration.json`` beside a backbone's weights says: settings for an edit.

``presets`` holds overrides by preset name for every edit, ``removals`` more on top of those for
what removes; how far an edit goes and how much words weigh depend on the backbone
(docs/evaluation.md 7). ``findings`` may hold both once more by finding, and there ``sides`` by
side. An edit of several findings has a dose for each.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import PRESETS, EditConfig
from monai_cxr_cf.request import EditRequest, FindingEdit

FILE = "calibration.json"
EDITS, REMOVALS = "presets", "removals"  # its keys
Layer = Mapping[str, Any]


@dataclass(frozen=True)
class Dose:
    """How far one of several findings goes: None = as the whole run."""

    strength: float | None = None  # share of the schedule in which its words act
    guidance: float | None = None  # s inside its region
    rms: float | None = None  # of what guidance adds there


@dataclass(frozen=True)
class Calibration:
    """The settings of one backbone; without a file, the presets as published."""

    found: Layer = field(default_factory=dict)

    def config(
        self, preset: str, mode: str = "edit", items: Sequence[FindingEdit] = ()
    ) -> EditConfig:
        """The preset for what is asked; several findings run as long as the longest needs.

        Args:
            mode: of the task: edit, removal or mixed.
            items: what is asked, finding by finding.
        """
        config = self._shared(preset, mode, items)
        strengths = [dose.strength for dose in self.doses(preset, items, config)]
        longest = max((s for s in strengths if s is not None), default=config.start.strength)
        return replace(config, start=replace(config.start, strength=longest))

    def doses(
        self, preset: str, items: Sequence[FindingEdit], config: EditConfig
    ) -> tuple[Dose, ...]:
        """What each of several findings would get alone; () for one, or where they cannot differ.

        They can where the region is guided and healthy words remove (docs/method.md 2.8).
        """
        apart = config.sampling.guidance_map == "region" and config.tokens.removal == "healthy"
        if not (self.found and len(items) > 1 and apart and config.start.kind != "noise"):
            return ()
        found = []
        for item in items:
            mode = "removal" if item.direction == "remove" else "edit"
            alone = self._shared(preset, mode, (item,))
            found.append(_dose(alone))
        return tuple(found)

    def _shared(self, preset: str, mode: str, items: Sequence[FindingEdit]) -> EditConfig:
        """The preset with what is said of all ``items`` alike."""
        layers, config = self._layers(items), PRESETS[preset]
        for layer in layers:
            config = config.with_overrides(_overrides(layer, EDITS, preset))
        if mode == "edit" or config.start.kind == "noise":
            return config
        # Not before: it loads torch, which a listing of presets does without.
        from monai_cxr_cf.diffusion.modes import REMOVAL_STRENGTH, config_for

        removals = [_overrides(layer, REMOVALS, preset) for layer in layers]
        if mode == "removal" and any(removals):
            for removal in removals:
                config = config.with_overrides(removal)
            return config
        general = removals[0] if removals else {}
        strength = general.get("start", {}).get("strength", REMOVAL_STRENGTH)
        return config_for(config, mode, strength=strength)

    def _layers(self, items: Sequence[FindingEdit]) -> list[Layer]:
        """For every edit; then for this finding, and for this side, if all ``items`` share it."""
        layers = [self.found] if self.found else []
        if len({item.finding for item in items}) == 1:
            own = self.found.get("findings", {}).get(items[0].finding, {})
            layers.append(own)
            if len({item.side for item in items}) == 1:
                layers.append(own.get("sides", {}).get(items[0].side, {}))
        return layers


def read(path: Path | None) -> Calibration:
    """The file's settings; those of no file for None."""
    return Calibration({} if path is None else json.loads(path.read_text(encoding="utf-8")))


def unless_said(doses: Sequence[Dose], request: EditRequest) -> tuple[Dose, ...]:
    """``doses`` without what the request sets for the whole run."""
    said = request.overrides
    strength = request.strength is not None or "strength" in said.get("start", {})
    guidance = bool({"guidance_scale", "guidance_rms"} & set(said.get("sampling", {})))
    none = {"strength": None} if strength else {}
    none |= {"guidance": None, "rms": None} if guidance else {}
    return tuple(replace(one, **none) for one in doses)


def _dose(config: EditConfig) -> Dose:
    part = config.sampling
    return Dose(config.start.strength, part.guidance_scale, part.guidance_rms)


def _overrides(layer: Layer, kind: str, preset: str) -> dict[str, Any]:
    """One kind's overrides for one preset; {} where there are none."""
    overrides = layer.get(kind, {}).get(preset, {})
    if not isinstance(overrides, dict):
        raise BadRequest(f"{FILE} of the backbone holds no settings for '{preset}'.")
    return overrides
