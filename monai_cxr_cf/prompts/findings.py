# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of findings: names, codes, phrases, default regions and company they keep.

Read from ``findings.json``; used by the parser, the region builder, the validity checks, the DICOM
writers (codes) and the interfaces. Importing it loads no third-party package.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from types import MappingProxyType
from typing import Any

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.words import Phrase, load, phrase

ZONES = (
    "upper", "mid", "lower", "apical", "costophrenic", "perihilar", "retrocardiac",
    "cardiac_silhouette", "lateral_rim", "lung", "inner_lung", "pleural_base",
)  # fmt: skip
Term = tuple[str, str | None]  # (zone, side): side is left, right, both, or None on the midline


@dataclass(frozen=True)
class Code:
    """A coded concept: value, DICOM coding scheme designator, meaning."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Finding:
    """One finding the project can add or remove."""

    name: str  # canonical, e.g. "pleural effusion"
    radlex: Code | None  # None where no concept is known for certain
    snomed: Code | None
    dcm: Code | None
    synonyms: tuple[str, ...]  # plurals and spelling variants included
    worse_as: tuple[str, ...]  # phrases that name it and mean more of it ("larger heart")
    better_as: tuple[str, ...]  # less of it
    absent_as: tuple[str, ...]  # none of it ("normal heart size")
    region: tuple[Term, ...]  # default region; side "named" = the request's side, else both
    zones: tuple[str, ...] | None  # zones it may be confined to; None: any
    sided: bool  # False: on the midline
    sign: int  # +1 denser or larger on the image, -1 more lucent
    measure: str  # what shows it: "density" of the region or size of the "heart"
    related: tuple[str, ...]  # findings that rise with it: no collateral damage
    organs: tuple[str, ...]  # outlines that may move: "lung" (of the side), "heart"
    covers: bool  # it may hide the lung borders that it touches (silhouette sign)
    both_ways: bool  # it has dense and lucent parts

    @property
    def code(self) -> Code | None:
        """The code for DICOM: SNOMED CT, else DICOM's own, else RadLex, else None."""
        return self.snomed or self.dcm or self.radlex

    def sense(self, direction: str) -> int:
        """+1 where to "add" or "remove" it makes the image denser or the heart larger, else -1."""
        return -self.sign if direction == "remove" else self.sign

    def way(self, direction: str) -> int:
        """The same; 0 for a finding of dense and lucent parts."""
        return 0 if self.both_ways else self.sense(direction)

    @property
    def phrases(self) -> tuple[str, ...]:
        """Canonical name and synonyms."""
        return (self.name, *self.synonyms)


def _code(scheme: str, pair: list[str] | None) -> Code | None:
    return Code(pair[0], scheme, pair[1]) if pair else None


def _finding(name: str, raw: Mapping[str, Any]) -> Finding:
    return Finding(
        name=name,
        radlex=_code("RADLEX", raw["radlex"]),
        snomed=_code("SCT", raw["snomed"]),
        dcm=_code("DCM", raw["dcm"]),
        synonyms=tuple(raw["synonyms"]),
        worse_as=tuple(raw["worse_as"]),
        better_as=tuple(raw["better_as"]),
        absent_as=tuple(raw["absent_as"]),
        region=tuple((zone, side) for zone, side in raw["region"]),
        zones=None if raw["zones"] is None else tuple(raw["zones"]),
        sided=raw["sided"],
        sign=raw["sign"],
        measure=raw["measure"],
        related=tuple(raw["related"]),
        organs=tuple(raw["organs"]),
        covers=raw["covers"],
        both_ways=raw.get("both_ways", False),
    )


VOCABULARY: Mapping[str, Finding] = MappingProxyType(
    {name: _finding(name, raw) for name, raw in load("findings.json")["findings"].items()}
)

# Every phrase of the vocabulary -> (canonical name, how it is meant).
PHRASES: Mapping[Phrase, tuple[str, str]] = MappingProxyType(
    {
        phrase(text): (finding.name, meant)
        for finding in VOCABULARY.values()
        for meant, texts in (
            ("plain", finding.phrases),
            ("worsen", finding.worse_as),
            ("decrease", finding.better_as),
            ("negate", finding.absent_as),
        )
        for text in texts
    }
)


def lookup(text: str) -> Finding | None:
    """The finding a bare phrase names ("Pleural Effusions", "oedema"), or None."""
    name, meant = PHRASES.get(phrase(text), ("", ""))
    return VOCABULARY[name] if meant == "plain" else None


def get(text: str) -> Finding:
    """Like ``lookup``; BadRequest with the nearest known findings if there is none."""
    found = lookup(text)
    if found is None:
        raise BadRequest(
            f"Unknown finding {text[:60]!r}; the nearest known are {', '.join(nearest(text))}.",
            code="unknown_finding",
            hint="See `cxr-cf info` for the vocabulary.",
        )
    return found


def nearest(text: str, n: int = 3) -> tuple[str, ...]:
    """The ``n`` canonical names whose phrases look most like ``text``, best first."""
    query = " ".join(phrase(text[:80]))
    best: dict[str, float] = {}
    for words, (name, _) in PHRASES.items():
        score = SequenceMatcher(None, query, " ".join(words)).ratio()
        best[name] = max(best.get(name, 0.0), score)
    return tuple(sorted(best, key=lambda name: (-best[name], name))[:n])


def region_terms(name: str, side: str | None = None, zone: str | None = None) -> tuple[Term, ...]:
    """Where a finding may appear, as (zone, side) terms whose union is the region.

    A named zone replaces the default region; a named side replaces "both". Midline zones (cardiac
    silhouette, retrocardiac) carry no side.
    """
    finding = get(name)
    if zone is not None:
        midline = zone in ("cardiac_silhouette", "retrocardiac")
        return ((zone, None if midline else side or "both"),)
    return tuple(
        (term, None if where is None else side or ("both" if where == "named" else where))
        for term, where in finding.region
    )


def organs_that_may_change(name: str, side: str | None = None) -> frozenset[str]:
    """Organ names (right_lung, left_lung, heart) whose outline may follow the finding."""
    kinds = get(name).organs
    lungs = {f"{s}_lung" for s in ("left", "right") if side in (s, "both", None)}
    return frozenset((lungs if "lung" in kinds else set()) | ({"heart"} & set(kinds)))
