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
from monai_cxr_cf.prompts.pairs import COMPARED, Place, impossible, pairs
from monai_cxr_cf.prompts.scan import Item, Mark
from monai_cxr_cf.prompts.words import hints
from monai_cxr_cf.request import DIRECTIONS, SIDES, FindingEdit

_NEAR = frozenset({"adjacent", "associated", "underlying", "overlying"})


def places(items: Sequence[Item], k: int, notes: list[str]) -> list[Place]:
    """Where item ``k`` (a finding) lies; appends to ``notes`` what was read into the words."""
    item = items[k]
    finding = VOCABULARY[item.mark.value[0]]
    found = pairs(item.pre, item.post, finding.name)
    if not item.own("side", "zone"):
        found = _inherited(items, k, finding, notes)
    if not finding.sided and any(side in ("left", "right") for side, _ in found):
        notes.append(f"{finding.name} lies on the midline; the side was not used")
    if not finding.sided:
        found = [(None, zone) for _, zone in found]
    for side, zone in found:
        _check(finding, side, zone)
    return list(dict.fromkeys(found))


def placed(items: Sequence[Item], k: int, notes: list[str]) -> list[Place]:
    """``places`` for a prompt: BadRequest where a word like "adjacent" is all that says where."""
    item = items[k]
    name = item.mark.value[0]
    found = places(items, k, notes)
    near = next((m.value for m in item.own("descriptors") if m.value in _NEAR), None)
    sided = any(_named([*other.pre, *other.post]) for other in items)
    if near and sided and found == [(None, None)] and VOCABULARY[name].sided:
        raise BadRequest(
            f"{near!r} leaves open on which side {name} should be.",
            code="ambiguous_prompt",
            hint=hints()["which side"],
        )
    if any(m.value in COMPARED for m in item.own("prepositions")) and found[0][0] == "both":
        notes.append(f"the sides of {name} are compared; both were read with the same degree")
    return found


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
        raise impossible("right", "retrocardiac region")


def _inherited(items: Sequence[Item], k: int, finding: Finding, notes: list[str]) -> list[Place]:
    """ "Left effusion and atelectasis": a bare finding shares the place of its partner.

    Only across a direct "and" or "or", only for findings that have a side of their own, and said
    in the notes. Zones are shared between findings of the lung tissue only.
    """
    item = items[k]
    partner: list[Mark] = []
    if _words(item.post):
        pass  # a statement of its own: "effusion is not seen or left edema is not seen"
    elif _joined(item) and not _words(item.pre) and k > 0 and items[k - 1].pre:
        partner = items[k - 1].pre
    elif k + 1 < len(items) and _joined(items[k + 1]) and not _words(items[k + 1].pre):
        partner = items[k + 1].post
    if (
        not _named(partner)
        or not finding.sided
        or all(side != "named" for _, side in finding.region)
    ):
        return [(None, None)]
    tissue = {zone for zone, _ in finding.region} <= {"lung", "lower"}
    shared = list(
        dict.fromkeys(p if tissue else (p[0], None) for p in pairs(partner, [], finding.name))
    )
    if shared == [(None, None)]:
        return shared
    notes.append(f"{finding.name} was read with the place named for its neighbour")
    return shared


def _named(marks: Sequence[Mark]) -> bool:
    return any(m.kind in ("side", "zone") for m in marks)


def _joined(item: Item) -> bool:
    return bool(item.joiner) and item.joiner <= {"and", "or"}


def _words(marks: Sequence[Mark]) -> list[Mark]:
    """Words that make a finding stand on its own: an article, a severity, a verb."""
    return [m for m in marks if m.kind in ("articles", "severity", "operator", "side", "zone")]
