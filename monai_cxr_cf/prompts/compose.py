# SPDX-License-Identifier: Apache-2.0
"""Findings in, words out: the prompts the engine runs on, and the description in DICOM.

Every text that carries findings carries their character spans too, so that token positions can be
found in exactly the text that is encoded.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from monai_cxr_cf.prompts.findings import get, lookup
from monai_cxr_cf.request import FindingEdit

NORMAL = "no acute cardiopulmonary process"  # target text of a removal (docs/method.md 4)
_ZONE_WORDS = {
    "upper": "upper lung",
    "mid": "mid lung",
    "lower": "lower lung",
    "lateral_rim": "lateral",
    "cardiac_silhouette": "",
    "lung": "",
}
_SIDE_WORDS = {"left": "left", "right": "right", "both": "bilateral", None: ""}


@dataclass(frozen=True)
class ParsedPrompt:
    """What a prompt asks for."""

    findings: tuple[FindingEdit, ...]  # in reading order; spans are positions in ``text``
    text: str  # as written
    mode: str  # add (or change), remove, mixed
    notes: tuple[str, ...] = ()  # what was read into the words or not used; for the report
    restated: bool = False  # the words hold a contrast ("not mild but severe"): not for an encoder

    @property
    def added(self) -> tuple[FindingEdit, ...]:
        """Findings to add or to make worse."""
        return tuple(f for f in self.findings if f.direction != "remove")

    @property
    def removed(self) -> tuple[FindingEdit, ...]:
        """Findings to remove, wholly or in part."""
        return tuple(f for f in self.findings if f.direction == "remove")


@dataclass(frozen=True)
class SpannedText:
    """A prompt for the engine; the spans of ``findings`` are positions in ``text``."""

    text: str
    findings: tuple[FindingEdit, ...] = ()


def severity_word(severity: float | None) -> str:
    """The word for a severity in 0..1; "" where none was said."""
    if severity is None or severity <= 0:
        return ""
    return "mild" if severity < 0.375 else "moderate" if severity < 0.7 else "severe"


def mode_of(findings: Iterable[FindingEdit]) -> str:
    """add, remove or mixed; "change" counts as add."""
    removals = {f.direction == "remove" for f in findings}
    return "mixed" if len(removals) > 1 else "remove" if True in removals else "add"


def prompt_from_findings(findings: Iterable[FindingEdit]) -> SpannedText:
    """A short text that states the findings, with new spans: "moderate left pleural effusion".

    Directions are not put into words: text encoders do not understand negation. The user's own
    phrase is kept where it names the finding by itself ("infiltrates"), else the canonical name.
    BadRequest if a name is unknown.
    """
    text = ""
    out = []
    for finding in findings:
        text += " and " if text else ""
        known = lookup(finding.phrase)
        own = known is not None and known.name == finding.finding
        phrase = finding.phrase.strip() if own else get(finding.finding).name
        words = _before(phrase, finding)
        text += f"{words} " if words else ""
        out.append(replace(finding, phrase=phrase, span=(len(text), len(text) + len(phrase))))
        text += phrase
    return SpannedText(text, tuple(out))


def _before(phrase: str, finding: FindingEdit) -> str:
    """Severity, side and zone words; "lower lung" before "lung opacity" gives up its "lung"."""
    words = _modifiers(finding)
    return words.removesuffix(" lung") if phrase.casefold().startswith("lung") else words


def _modifiers(finding: FindingEdit) -> str:
    zone = _ZONE_WORDS.get(finding.zone or "lung", finding.zone or "")
    severity = None if finding.direction == "remove" else finding.severity
    parts = (severity_word(severity), _SIDE_WORDS[finding.side], zone)
    return " ".join(part for part in parts if part)


def target_prompt(parsed: ParsedPrompt) -> SpannedText:
    """The text to steer towards.

    Additions only: the words as written. Removals only: ``NORMAL``. Mixed, or with a contrast: the
    added findings in words of ours, because a negated word still pulls its finding in.
    """
    if parsed.mode == "add" and not parsed.restated:
        return SpannedText(parsed.text, parsed.findings)
    if parsed.mode == "remove":
        return SpannedText(NORMAL)
    return prompt_from_findings(parsed.added)


def removal_prompt(parsed: ParsedPrompt) -> SpannedText:
    """The text to steer away from (negative prompt): the removed findings; "" if there are none."""
    return prompt_from_findings(parsed.removed)


def describe(findings: Iterable[FindingEdit]) -> str:
    """Words for DICOM, report and captions: "add moderate left pleural effusion; remove ...".

    Canonical names only, never the user's own words, so no patient data can slip in.
    """
    return "; ".join(_sentence(finding) for finding in findings)


def _sentence(finding: FindingEdit) -> str:
    partial = finding.direction == "remove" and finding.severity is not None
    verb = {"add": "add", "remove": "reduce" if partial else "remove", "change": "worsen"}
    words = _before(finding.finding, finding)
    parts = (verb[finding.direction], words, finding.finding)
    return " ".join(part for part in parts if part)
