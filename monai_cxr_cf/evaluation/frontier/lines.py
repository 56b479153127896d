# SPDX-License-Identifier: Apache-2.0
"""The settings of a frontier: lines of settings, each swept along guidance, and who is compared.

A line is the preset with some laws off or some dials turned. Laws come from ``presets.SWITCHES``;
``MORE`` and a file of the user's add further lines as data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.calibration.run import merged
from monai_cxr_cf.evaluation.edits.protocol import Settings
from monai_cxr_cf.presets import SWITCHES

Overrides = Mapping[str, Mapping[str, Any]]
SWEEP = (2.5, 4.0, 7.0, 12.0, 20.0)
# Nothing may hide a leak: what is measured is the decoder's own output.
BARE: Overrides = {"keep": {"paste": False}, "output": {"composite": "none"}}
NOT_LAWS = ("no-paste", "no-composite", "no-bounds", "no-detail", "no-crop")
NAMES = {
    "no-gate": "Eq. 5",
    "no-boost": "Eq. 6",
    "no-correction": "Eq. 9",
    "no-regional-prompt": "regional prompt",
    "no-regional-guidance": "regional guidance",
    "no-anatomy": "organ tokens",
}
ALL, NONE = "all laws", "no law"
# Further lines: name -> dials that are turned on top of the preset. Each is compared with ALL.
MORE: dict[str, Overrides] = {
    "with Eq. 6": {"boost": {"eta": 1.5}},
    "with Eq. 6 on end tokens": {"boost": {"eta": 1.5}, "tokens": {"carrier": "finding+eos"}},
    "with Eq. 9": {"correct": {"alpha_max": 0.05}},
    "with organ tokens": {"anatomy": {"strength": 0.5}},
    "with an empty source text": {"tokens": {"source": "empty"}},
    "gate of beta 4": {"gate": {"beta": 4.0}},
    "guidance on three quarters": {"sampling": {"cfg_until": 0.75}},
}


@dataclass(frozen=True)
class Line:
    """One line of settings, swept along guidance.

    Attributes:
        name: as tables and the picture show it.
        switches: laws that are off.
        overrides: dials that are turned.
        law: what the comparison with ``against`` is about; "" for the two yardsticks.
        against: the line that differs in this law alone.
        lacks: this line is the one without the law, and ``against`` has it.
    """

    name: str
    switches: tuple[str, ...] = ()
    overrides: Overrides = field(default_factory=dict)
    law: str = ""
    against: str = ""
    lacks: bool = False

    def settings(self, base: Settings, guidance: float | None) -> Settings:
        """These settings at one guidance; None = the one that preset and calibration have."""
        turned = {} if guidance is None else {"sampling": {"guidance_scale": guidance}}
        return Settings(
            preset=base.preset,
            switches=self.switches,
            overrides=merged(base.overrides, self.overrides, turned, BARE),
            backbone=base.backbone,
            segmenter=base.segmenter,
        )


def laws() -> dict[str, str]:
    """Switch -> name of every law of the method that can be switched off."""
    return {s: NAMES.get(s, s.removeprefix("no-")) for s in SWITCHES if s not in NOT_LAWS}


def all_lines(more: Mapping[str, Overrides] = MORE) -> tuple[Line, ...]:
    """Every line: all laws, no law, all but one, one alone, and those of ``more``."""
    known = laws()
    nothing = tuple(known)
    return (
        Line(ALL),
        Line(NONE, nothing, law=ALL, against=ALL, lacks=True),
        *(Line(f"without {law}", (s,), law=law, against=ALL, lacks=True)
          for s, law in known.items()),
        *(Line(f"{law} alone", tuple(o for o in nothing if o != s), law=f"{law} alone",
               against=NONE) for s, law in known.items()),
        *(Line(name, overrides=o, law=name, against=ALL) for name, o in more.items()),
    )  # fmt: skip


def select_lines(names: Sequence[str], more: Mapping[str, Overrides] = MORE) -> tuple[Line, ...]:
    """The lines whose names contain one of ``names``, what they are compared with, and ``ALL``.

    All without names; BadRequest where a name fits none.
    """
    lines = all_lines(more)
    for name in names:
        if not any(name in line.name for line in lines):
            raise BadRequest(
                f"No line of the frontier is called '{name}'.",
                hint=f"Lines: {'; '.join(line.name for line in lines)}.",
            )
    chosen = [line for line in lines if not names or any(n in line.name for n in names)]
    wanted = {ALL} | {line.name for line in chosen} | {line.against for line in chosen}
    return tuple(line for line in lines if line.name in wanted)


def read_more(path: Path | None) -> dict[str, Overrides]:
    """``MORE`` and the lines of a JSON file, {"name": {"part": {"field": value}}}.

    Raises:
        BadRequest: the file cannot be read, or has another form, or a name is taken.
    """
    if path is None:
        return dict(MORE)
    refused = BadRequest(
        f"'{path}' holds no lines that could be read.",
        hint='Expected JSON such as {"region guidance": {"sampling": {"guidance_scale": 12}}}.',
    )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise refused from error
    if not isinstance(found, dict) or not all(isinstance(v, dict) for v in found.values()):
        raise refused
    taken = {line.name for line in all_lines({})}
    for name, overrides in found.items():
        if name in taken:
            raise BadRequest(f"'{name}' is the name of a line that is there already.")
        Settings(overrides=overrides)  # refuses dials that are not there
    return {**MORE, **found}
