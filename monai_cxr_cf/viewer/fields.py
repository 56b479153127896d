# SPDX-License-Identifier: Apache-2.0
"""The names of everything the page shows and asks, with what they are at first.

The browser holds a copy of each; ``asked`` turns what stands there into a ``Choice``.
"""

from collections.abc import Mapping
from typing import Any

from CXRCounterfactualLib.contract.asking import DOUBT, FINDINGS, MEANT, ON_THE_MIDLINE, numbers
from CXRCounterfactualLib.contract.facts import Facts
from CXRCounterfactualLib.contract.params import Choice
from CXRCounterfactualLib.presenter.words import BADGE

PICK, TYPE = "pick", "type"
WORDS: dict[str | None, str] = {None: "default"}
Item = dict[str, Any]

ASKED: dict[str, Any] = {
    "way": PICK, "finding": "pleural effusion", "direction": "add", "side": "", "zone": "",
    "severity": 0.7, "prompt": "", "preset": "default", "seeds": "", "levels": "",
    "levels_by": "blend", "accepted": [],
}  # fmt: skip
SHOWN: dict[str, Any] = {
    "badge": BADGE, "state": "", "title": "", "message": "", "hint": "", "details": "",
    "unfolded": False, "progress": 0, "busy": False, "running": False, "failed": False,
    "warnings": [], "estimate": "", "run_label": "Run", "enabled": [], "tone": "plain",
    "preview": "", "report": "", "savable": False,
    "source_name": "", "source_words": "", "opening": False,
    "region_words": "", "region_busy": False,
    "finding_items": [], "prompt_items": [], "finding_note": "", "licences": [], "sided": True,
    "checks": [],
}  # fmt: skip
COMPARED: dict[str, Any] = {
    "compared": False, "compare_title": "", "compare_label": "", "verdict": "",
    "verdict_tone": "plain", "outside": "", "outside_tone": "plain", "notes": [],
    "one_view": False, "fade": 1.0, "mapped": False, "outlined": True, "flicker": False,
    "level": 0, "level_top": 0, "level_ticks": {}, "seed": 0, "seed_items": [],
    "past": [], "past_run": "", "caption_Red": "", "caption_Yellow": "",
}  # fmt: skip


def items(values: tuple[str | None, ...], words: Mapping[str | None, str]) -> list[Item]:
    """The choices of a list, "" for the one that says nothing."""
    return [{"title": words.get(v, str(v).replace("_", " ")), "value": v or ""} for v in values]


LISTS = {"side_items": items(MEANT["sideBox"], WORDS), "zone_items": items(MEANT["zoneBox"], WORDS)}
FIELDS: dict[str, Any] = {**ASKED, **SHOWN, **COMPARED, **LISTS}


def findings(
    names: tuple[str, ...] = FINDINGS, unproven: frozenset[str] = frozenset()
) -> list[Item]:
    """The vocabulary; those without evidence for these weights say so where they are chosen."""
    return [{"title": name + DOUBT * (name in unproven), "value": name} for name in names]


def prompts(names: tuple[str, ...] = FINDINGS) -> list[str]:
    """A sentence for each finding, to start from."""
    sided = ("" if name in ON_THE_MIDLINE else "left " for name in names)
    adding = [f"moderate {side}{name}" for side, name in zip(sided, names, strict=True)]
    return [*adding, *(f"no {name}" for name in names)]


def note(finding: str, way: str, facts: Facts | None) -> str:
    """What should be known of the chosen finding."""
    return facts.note(finding) if facts is not None and way == PICK else ""


def asked(state: Any) -> tuple[Choice, list[str]]:
    """The choice that the page shows, and a sentence for everything it cannot mean."""
    found: list[str] = []
    typed = state.way == TYPE
    prompt = str(state.prompt or "").strip() if typed else ""
    if typed and not prompt:
        found.append("Type what should be seen, for example: moderate left pleural effusion")
    finding = str(state.finding or "")
    choice = Choice(
        prompt=prompt,
        finding=finding,
        direction=str(state.direction),
        side=None if finding in ON_THE_MIDLINE else state.side or None,
        zone=state.zone or None,
        severity=round(float(state.severity), 4),
        preset=str(state.preset),
        seeds=numbers(str(state.seeds or ""), int, "Seeds: whole numbers", found),
        levels=numbers(str(state.levels or ""), float, "Series: numbers from 0 to 1", found),
        levels_by=str(state.levels_by),
        scene_only=True,  # there is no database: results are read where the runner wrote them
    )
    return choice, found
