# SPDX-License-Identifier: Apache-2.0
"""Items in, where each finding lies: (side, zone) pairs in the patient's left and right.

Third part of the parser. "Right lower and left upper lobe" gives two places, "left and right" one
on both sides; a place that cannot be (the left middle lobe, a right retrocardiac finding, an
apical cardiomegaly) is refused.
"""

from collections.abc import Sequence
from dataclasses import replace

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.findings import VOCABULARY, ZONES, Finding
from monai_cxr_cf.prompts.scan import Item, Mark
from monai_cxr_cf.request import DIRECTIONS, SIDES, FindingEdit

Place = tuple[str | None, str | None]  # side, zone
_FINER = {"apical": "upper", "costophrenic": "lower", "retrocardiac": "lower"}


def places(items: Sequence[Item], k: int, notes: list[str]) -> list[Place]:
    """Where item ``k`` (a finding) lies; appends to ``notes`` what was read into the words."""
    item = items[k]
    finding = VOCABULARY[item.mark.value[0]]
    found = _pairs(item.own("side", "zone"))
    if not item.own("side", "zone"):
        found = _inherited(items, k, finding, notes)
    if not finding.sided and any(side in ("left", "right") for side, _ in found):
        notes.append(f"{finding.name} lies on the midline; the side was not used")
    if not finding.sided:
        found = [(None, zone) for _, zone in found]
    for side, zone in found:
        _check(finding, side, zone)
    return list(dict.fromkeys(found))


def checked_place(edit: FindingEdit, notes: list[str]) -> FindingEdit:
    """An entry given as data with a known name, its values checked; BadRequest if one is wrong."""
    for what, value, known in (
        ("zone", edit.zone, ZONES),
        ("side", edit.side, SIDES),
        ("direction", edit.direction, DIRECTIONS),
    ):
        if value is not None and value not in known:
            raise BadRequest(f"Unknown {what} {value!r}; known are {', '.join(known)}.")
    if edit.severity is not None and not 0 <= edit.severity <= 1:
        raise BadRequest(f"severity is {edit.severity}; it must lie between 0 and 1.")
    finding = VOCABULARY[edit.finding]
    _check(finding, edit.side, edit.zone)
    if not finding.sided and edit.side is not None:
        notes.append(f"{finding.name} lies on the midline; the side was not used")
        return replace(edit, side=None)
    return edit


def _check(finding: Finding, side: str | None, zone: str | None) -> None:
    if zone is not None and finding.zones is not None and zone not in finding.zones:
        raise BadRequest(
            f"{finding.name} cannot be confined to the {zone.replace('_', ' ')} zone.",
            code="contradictory_prompt",
            hint="Leave the place word out.",
        )
    if zone == "retrocardiac" and side == "right":
        raise _impossible("right", "retrocardiac region")


def _impossible(side: str, zone: str) -> BadRequest:
    return BadRequest(
        f"The prompt asks for the {side} {zone}, which does not exist in the patient.",
        code="contradictory_prompt",
        hint="Left and right are the patient's; the middle lobe is right, the lingula and the "
        "retrocardiac region are left.",
    )


def _pairs(marks: Sequence[Mark]) -> list[Place]:
    """Side and zone words in reading order, paired."""
    sides = [m.value for m in marks if m.kind == "side"]
    if all(m.kind == "side" for m in marks):
        return [(_merge(sides), None)]
    one = _merge(sides) if len(set(sides)) <= 1 or "both" in sides else None
    zones = [m for m in marks if m.kind == "zone"]
    if one is None and len(zones) == 1 and sides:
        one = "both"
    if one is not None or not sides:
        found = [(_with_implied(one, *m.value), m.value[0]) for m in zones]
    else:
        found = _in_turn(marks)
    return _tidy(found)


def _merge(sides: Sequence[str]) -> str | None:
    if not sides:
        return None
    return sides[0] if len(set(sides)) == 1 else "both"


def _with_implied(side: str | None, zone: str, implied: str | None) -> str | None:
    """A zone word may bring its side (RUL, lingula, "bases"); a stated other side contradicts."""
    if side is None or implied is None:
        return side or implied
    if implied == "both":
        return side
    if side not in (implied, "both"):
        raise _impossible(side, f"{'middle lobe' if implied == 'right' else 'lingula'} ({zone})")
    return implied


def _in_turn(marks: Sequence[Mark]) -> list[Place]:
    """Two sides and several zones: each zone goes with the last side before it, else the next."""
    found: list[Place] = []
    waiting: list[tuple[str, str | None]] = []
    side: str | None = None
    for mark in marks:
        if mark.kind == "side":
            side = mark.value
            found += [(_with_implied(side, *value), value[0]) for value in waiting]
            waiting = []
        elif side is None:
            waiting.append(mark.value)
        else:
            found.append((_with_implied(side, *mark.value), mark.value[0]))
    return found


def _tidy(found: Sequence[Place]) -> list[Place]:
    """Left and right of one zone become both; a zone inside a finer one named too is dropped."""
    by_zone: dict[str | None, list[str]] = {}
    for side, zone in found:
        by_zone.setdefault(zone, []).extend([side] if side else [])
    merged = {zone: _merge(sides) for zone, sides in by_zone.items()}
    for fine, coarse in _FINER.items():
        if fine in merged and coarse in merged:
            inner, outer = merged[fine], merged[coarse]
            if inner is None or outer in (None, inner):
                merged[fine] = inner or outer
                del merged[coarse]
    return [(side, zone) for zone, side in merged.items()]


def _inherited(items: Sequence[Item], k: int, finding: Finding, notes: list[str]) -> list[Place]:
    """ "Left effusion and atelectasis": a bare finding shares the place of its partner.

    Only across a direct "and" or "or", only for findings that have a side of their own, and said
    in the notes. Zones are shared between findings of the lung tissue only.
    """
    item = items[k]
    partner = None
    if _joined(item) and not _words(item.pre) and k > 0 and items[k - 1].pre:
        partner = [m for m in items[k - 1].pre if m.kind in ("side", "zone")]
    elif k + 1 < len(items) and _joined(items[k + 1]) and not _words(items[k + 1].pre):
        partner = [m for m in items[k + 1].post if m.kind in ("side", "zone")]
    if not partner or not finding.sided or all(side != "named" for _, side in finding.region):
        return [(None, None)]
    tissue = {zone for zone, _ in finding.region} <= {"lung", "lower"}
    shared = list(dict.fromkeys(p if tissue else (p[0], None) for p in _pairs(partner)))
    if shared == [(None, None)]:
        return shared
    notes.append(f"{finding.name} was read with the place named for its neighbour")
    return shared


def _joined(item: Item) -> bool:
    return bool(item.joiner) and item.joiner <= {"and", "or"}


def _words(marks: Sequence[Mark]) -> list[Mark]:
    """Words that make a finding stand on its own: an article, a severity, a verb."""
    return [m for m in marks if m.kind in ("articles", "severity", "operator", "side", "zone")]
