# SPDX-License-Identifier: Apache-2.0
"""Side and zone words of one finding in, (side, zone) pairs out: which zone goes with which side.

The words are read part by part ("left lower" and "right upper"). A part with a side and a zone
stands for itself. A part with one of them takes the other from its neighbour where only one
reading is possible: "right upper and lower", "left and right lower", "upper and lower left".
Everything else is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.scan import Mark
from monai_cxr_cf.prompts.segments import Segment, segments

Place = tuple[str | None, str | None]  # side, zone
_FINER = {"apical": "upper", "costophrenic": "lower", "retrocardiac": "lower"}
_WHOLE = ("lung", "lungs", "hemithorax", "thorax", "chest")
COMPARED = ("greater than", "more than", "larger than", "worse than", "less than")


@dataclass(frozen=True)
class _Part:
    """Places named together: "left lower", "RUL", "right lung"."""

    side: str | None  # as said, or as a zone word implies it
    zones: tuple[str, ...]
    side_first: bool
    whole: bool  # says "lung" and names no zone
    said: bool  # the side was said, not implied

    @property
    def complete(self) -> bool:
        return self.side is not None and bool(self.zones)


def impossible(side: str, zone: str) -> BadRequest:
    """What is said where a place does not exist."""
    return BadRequest(
        f"The prompt asks for the {side} {zone}, which does not exist in the patient.",
        code="contradictory_prompt",
        hint="Left and right are the patient's; the middle lobe is right, the lingula and the "
        "retrocardiac region are left.",
    )


def pairs(pre: Sequence[Mark], post: Sequence[Mark], name: str) -> list[Place]:
    """The places that the words before and after a finding name; one pair of None without any."""
    before = [p for s in segments(pre) if (p := _part(s, name))]
    behind = [(s.joint, p) for s in segments(post) if (p := _part(s, name))]
    if before and behind and not behind[0][0]:
        last, first = before[-1], behind[0][1]
        if last.side and first.side and last.side != first.side and not _narrows(first, last):
            raise _unclear(name)
        if not (last.zones and first.zones and first.said):
            before[-1:] = [_together(last, first)]
            behind = behind[1:]
    parts = [*before, *(p for _, p in behind)]
    return _tidy(_paired(parts, name)) or [(None, None)]


def _unclear(name: str) -> BadRequest:
    return BadRequest(
        f"It is unclear which side goes with which zone of {name}.",
        code="ambiguous_prompt",
        hint="Name side and zone together, one after the other: "
        "'left lower lobe and right upper lobe opacities'.",
    )


def _part(segment: Segment, name: str) -> _Part | None:
    sides, zones = segment.of("side"), segment.of("zone")
    if not sides and not zones:
        return None
    values = list(dict.fromkeys(m.value for m in sides))
    if len(values) > 1:
        if zones or not any(m.value in COMPARED for m in segment.of("prepositions")):
            raise _unclear(name)
        values = ["both"]  # "left greater than right"
    side = values[0] if values else None
    for zone, implied in (m.value for m in zones):
        side = _with_implied(side, zone, implied)
    named = [m for m in segment.marks if m.kind in ("side", "zone")]
    whole = not zones and any(m.value in _WHOLE for m in segment.of("anatomy"))
    kept = tuple(m.value[0] for m in zones)
    return _Part(side, kept, named[0].kind == "side", whole, bool(sides))


def _with_implied(side: str | None, zone: str, implied: str | None) -> str | None:
    """A zone word may bring its side (RUL, lingula, "bases"); a stated other side contradicts."""
    if side is None or implied is None:
        return side or implied
    if implied == "both":
        return side
    if side not in (implied, "both"):
        raise impossible(side, f"{'middle lobe' if implied == 'right' else 'lingula'} ({zone})")
    return implied


def _narrows(a: _Part, b: _Part) -> bool:
    """ "Bilateral effusions, left greater than right" names both sides twice."""
    return "both" in (a.side, b.side) and a.side == b.side


def _together(a: _Part, b: _Part) -> _Part:
    """ "Left opacity in the lower lobe": two halves of one part."""
    return _Part(
        a.side or b.side, (*a.zones, *b.zones), a.side is not None, a.whole or b.whole,
        a.said or b.said,
    )  # fmt: skip


def _paired(parts: list[_Part], name: str) -> list[Place]:
    sides = [p.side for p in parts if p.side]
    if not any(p.zones for p in parts):
        return [(_merged(sides, parts, name), None)] if parts else []
    said = {p.side for p in parts if p.said}
    if len(set(sides)) <= 1:
        if not said and any(not p.side for p in parts):
            return [(p.side, zone) for p in parts for zone in p.zones]
        if not parts[0].side and any(p.complete and p.side_first for p in parts[1:]):
            raise _unclear(name)  # "upper and right lower"
        side = sides[0] if sides else None
        return [(side, zone) for p in parts for zone in p.zones]
    parts = _filled(parts, name)
    out: list[Place] = []
    for part in parts:
        out += [(part.side, zone) for zone in part.zones] or [(part.side, None)]
    return out


def _merged(sides: Sequence[str], parts: Sequence[_Part], name: str) -> str | None:
    """Sides without zones: left and right are both; "both" beside one of them is unclear."""
    if not sides:
        return None
    if len(set(sides)) == 1:
        return sides[0]
    if "both" in sides:
        raise _unclear(name)
    return "both"


def _filled(parts: list[_Part], name: str) -> list[_Part]:
    """Several sides: each part with a side and a zone (or the whole lung)."""
    bare = [k for k, p in enumerate(parts) if p.side and not p.zones and not p.whole]
    zones = [k for k, p in enumerate(parts) if not p.side]
    if bare:
        return _zones_shared(parts, bare, zones, name)
    for k in zones:
        if k and parts[k - 1].side and parts[k - 1].side_first:
            parts[k] = replace(parts[k], side=parts[k - 1].side, side_first=True)
        elif not _behind(parts, k):
            raise _unclear(name)
        else:
            parts[k] = replace(parts[k], side=parts[_behind(parts, k)].side)
    _refuse_overlap(parts, name)
    return parts


def _behind(parts: Sequence[_Part], k: int) -> int:
    """The next part with a zone and then a side ("upper and lower left"); 0 if there is none."""
    for j in range(k + 1, len(parts)):
        if parts[j].complete:
            return 0 if parts[j].side_first else j
    return 0


def _zones_shared(parts: list[_Part], bare: list[int], zones: list[int], name: str) -> list[_Part]:
    """ "Left and right lower (and upper)"; "lower lobes, left and right"."""
    full = [k for k, p in enumerate(parts) if p.complete]
    sides = [p.side for p in parts if p.side]
    if len(set(sides)) != len(sides) or "both" in sides or any(p.whole for p in parts):
        raise _unclear(name)
    ahead = bare == list(range(len(bare))) and full == [len(bare)] and parts[full[0]].side_first
    behind = bare[0] != 0 and bare == list(range(bare[0], len(parts)))
    if ahead:
        shared = [z for p in parts[len(bare) :] for z in p.zones]
    elif behind and len(full) + len(zones) == 1 and not (full and parts[full[0]].side_first):
        shared = list(parts[0].zones)
    else:
        raise _unclear(name)
    return [replace(p, zones=tuple(shared)) for p in parts if p.side]


def _refuse_overlap(parts: Sequence[_Part], name: str) -> None:
    """ "Both lungs and the left lower lobe": one place lies inside the other."""
    for k, a in enumerate(parts):
        for b in parts[k + 1 :]:
            meet = a.side == b.side or "both" in (a.side, b.side)
            zones = set(a.zones) & set(b.zones)
            inside = a.whole or b.whole or bool(zones)
            if meet and inside and a.side != b.side:
                raise _unclear(name)


def _tidy(found: Sequence[Place]) -> list[Place]:
    """Left and right of one zone become both; a zone inside a finer one named too is dropped."""
    by_zone: dict[str | None, list[str]] = {}
    for side, zone in found:
        by_zone.setdefault(zone, []).extend([side] if side else [])
    merged = {zone: _one_side(sides) for zone, sides in by_zone.items()}
    for fine, coarse in _FINER.items():
        if fine in merged and coarse in merged:
            inner, outer = merged[fine], merged[coarse]
            if inner is None or outer in (None, inner):
                merged[fine] = inner or outer
                del merged[coarse]
    return [(side, zone) for zone, side in merged.items()]


def _one_side(sides: Sequence[str]) -> str | None:
    if not sides:
        return None
    return sides[0] if len(set(sides)) == 1 else "both"
