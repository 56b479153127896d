# SPDX-License-Identifier: Apache-2.0
"""Meanings drawn at random and put into words in many ways: each is read as drawn, or refused."""

import random
from dataclasses import dataclass

import pytest

from tests.fuzz import examples
from tests.prompts.test_meanings import read

FINDINGS = {
    "effusion": "pleural effusion", "pneumothorax": "pneumothorax", "edema": "pulmonary edema",
    "consolidation": "consolidation", "nodule": "nodule", "opacities": "lung opacity",
    "atelectasis": "atelectasis",
}  # fmt: skip
DEGREES = {"": "-", "small": "0.25", "moderate": "0.5", "large": "0.9"}
SIDES = {"": "-", "left": "left", "right": "right", "bilateral": "both"}
ZONES = {"": "-", "upper lobe": "upper", "lower lobe": "lower", "apical": "apical"}
# direction -> surfaces; {d} degree, {p} side and zone, {f} finding, {on} " in the left lower lobe"
SURFACES = {
    "add": ("{d} {p} {f}", "a {d} {p} {f}", "{d} {f}{on}", "{p} {f}, {d}", "{p} {d} {f}",
            "there is a {d} {p} {f}", "{d} {f}{on} is seen", "{p} {f} is {d}"),
    "remove": ("no {p} {f}", "no {f}{on}", "without {p} {f}", "{p} {f} is not seen",
               "{p} {f} has resolved", "{f} is not seen{on}", "no evidence of {p} {f}",
               "resolved {p} {f}", "remove the {p} {f}", "{p} {f} is no longer present",
               "{p} {f}: none", "absence of {p} {f}"),
    "worse": ("worsening {p} {f}", "{p} {f} is worse", "increased {f}{on}", "larger {p} {f}",
              "increase in {p} {f}", "{p} {f} has worsened"),
    "better": ("improved {p} {f}", "{p} {f} has improved", "decreased {f}{on}", "less {p} {f}",
               "smaller {p} {f}", "improvement in {p} {f}"),
    "stays": ("{p} {f} has not resolved", "no resolution of {p} {f}", "unchanged {p} {f}",
              "{p} {f} is not gone", "do not remove the {p} {f}", "no change in {p} {f}",
              "no worsening of {p} {f}", "{p} {f} is not absent", "no {p} {f} has resolved"),
}  # fmt: skip
JOINTS = ("; ", ". ", ", but ", " but ", "\n", " and ", ", ", " with ", " or ", " without ")
CLEAR = JOINTS[:5]  # those that end every reach


@dataclass(frozen=True)
class Meant:
    """One statement: its words, and the entry it stands for (None: nothing may be read)."""

    words: str
    entry: str | None


def statement(rng: random.Random, finding: str) -> Meant:
    """A random meaning of one finding in random words."""
    direction = rng.choice(list(SURFACES))
    side, zone = rng.choice(list(SIDES)), rng.choice(list(ZONES))
    degree = rng.choice(list(DEGREES)) if direction == "add" else ""
    place = " ".join(word for word in (side, zone) if word)
    lobe = zone if zone.endswith("lobe") else f"{zone} lung".strip()
    on = f" in the {side} {lobe}" if side in ("left", "right") else f" in the {lobe}" * bool(zone)
    if "{on}" not in (surface := rng.choice(SURFACES[direction])):
        on = ""
    elif side == "bilateral":
        side, on = "", on.replace("bilateral ", "")
    text = surface.format(d=degree, p=place, f=finding, on=on)
    if direction == "stays":
        return Meant(" ".join(text.split()), None)
    severity = "0.5" if direction == "better" else DEGREES[degree]
    cells = (FINDINGS[finding], SIDES[side], ZONES[zone], direction, severity)
    return Meant(" ".join(text.replace(" ,", ",").split()).strip(" ,"), "/".join(cells))


def degree_lost(text: str) -> bool:
    """ "Effusion, " and "effusion is" without their degree are no sentences."""
    return text.endswith((" is", ","))


@pytest.mark.parametrize("part", range(4))
def test_what_is_meant_is_what_is_read_or_nothing(part: int) -> None:
    rng = random.Random(part)
    read_rightly = asked = 0
    for _ in range(examples(250)):
        chosen = rng.sample(list(FINDINGS), rng.choice((1, 1, 2, 3)))
        parts = [statement(rng, finding) for finding in chosen]
        if any(degree_lost(p.words) for p in parts):
            continue
        text, clear = parts[0].words, True
        for one in parts[1:]:
            joint = rng.choice(JOINTS)
            clear = clear and joint in CLEAR
            text += joint + one.words
        found = read(text)
        asked += clear and all(p.entry for p in parts)
        if found is None:
            continue
        if any(p.entry is None for p in parts) and clear:
            raise AssertionError(f"{text!r} was read as {found}")
        if clear:
            assert found == {p.entry for p in parts}, text
            read_rightly += 1
        else:
            check_no_reversal(text, found, parts)
    assert read_rightly > asked / 2


def check_no_reversal(text: str, found: set[str], parts: list[Meant]) -> None:
    """A reach over "and" or a comma may be longer than drawn, but nothing is turned round.

    The first finding is read as drawn, but for a place that its neighbour may lend it.
    """
    first, *rest = parts
    assert first.entry is not None, text
    drawn = first.entry.split("/")
    read_first = [e.split("/") for e in found if e.startswith(f"{drawn[0]}/")]
    assert [c[3:] for c in read_first] == [drawn[3:]], text
    assert all(a in ("-", b) for a, b in zip(drawn[1:3], read_first[0][1:3], strict=True)), text
    for one in rest:
        if one.entry is None:
            continue
        finding, side, *_ = one.entry.split("/")
        there = [entry.split("/") for entry in found if entry.startswith(f"{finding}/")]
        assert there, text
        assert all(side in ("-", "both", cells[1]) or cells[1] == side for cells in there), text
        removed = {cells[3] == "remove" for cells in there}
        if one.entry.split("/")[3] == "remove":
            assert removed == {True}, text
