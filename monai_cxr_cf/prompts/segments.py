# SPDX-License-Identifier: Apache-2.0
"""The words on one side of a finding in, its coordinated parts out: "left lower and right upper".

A part begins at a comma, a conjunction or a boundary. What a part may mean depends on which words
stand in it together, so the parser looks at parts, never at a bag of words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from monai_cxr_cf.prompts.scan import Mark

NEGATIONS = frozenset({"not", "negate", "without", "instead"})
_WEIGHTY = frozenset({"operator", "side", "zone", "severity", "unchanged"})


@dataclass(frozen=True)
class Segment:
    """Marks between two joints; ``joint`` holds the separators and boundaries before them."""

    joint: frozenset[str]
    marks: tuple[Mark, ...]

    def of(self, kind: str) -> list[Mark]:
        """Its marks of one kind."""
        return [m for m in self.marks if m.kind == kind]

    @property
    def weighty(self) -> bool:
        """True if it says where, how much or what should happen."""
        return any(m.kind in _WEIGHTY for m in self.marks)

    @property
    def verbs(self) -> list[str]:
        """Its operators in order; "show" only introduces what follows."""
        return [m.value for m in self.of("operator") if m.value != "show"]

    @property
    def negative(self) -> bool:
        """True if it holds a plain negation and no other operator."""
        return bool(self.verbs) and set(self.verbs) <= NEGATIONS

    @property
    def kinds(self) -> set[str]:
        """The kinds of its weighty marks but the operators."""
        return {m.kind for m in self.marks if m.kind in _WEIGHTY} - {"operator"}

    @property
    def sides(self) -> set[str]:
        """Sides that it names."""
        return {m.value for m in self.of("side")}


def segments(marks: Sequence[Mark]) -> list[Segment]:
    """Parts in order; the first one has an empty joint unless the marks begin with one."""
    out: list[Segment] = []
    joint: set[str] = set()
    inner: list[Mark] = []
    for mark in marks:
        if mark.kind not in ("separator", "boundary"):
            inner.append(mark)
            continue
        if inner:
            out.append(Segment(frozenset(joint), tuple(inner)))
            joint, inner = set(), []
        joint.add(mark.value)
    if inner:
        out.append(Segment(frozenset(joint), tuple(inner)))
    return out


def flat(parts: Sequence[Segment]) -> list[Mark]:
    """The marks of several parts, with a mark for each joint again."""
    out: list[Mark] = []
    for part in parts:
        if not part.marks:
            continue
        first = part.marks[0]
        out += [Mark("separator", joint, first.start, first.start) for joint in sorted(part.joint)]
        out += part.marks
    return out
