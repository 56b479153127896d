# SPDX-License-Identifier: Apache-2.0
"""Findings in, words out: the prompts the engine runs on, and the description in DICOM.

Every text that carries findings carries their character spans too, so that token positions can be
found in exactly the text that is encoded.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from monai_cxr_cf.prompts.findings import get, lookup
from monai_cxr_cf.request import FindingEdit

NORMAL = "no acute cardiopulmonary process"
# What takes a removed finding's place, by what shows the finding (docs/method.md 4).
HEALTHY = {"density": "clear lungs", "heart": "normal heart size"}
_ZONE_WORDS = {
    "upper": "upper lung",
    "mid": "mid lung",
    "lower": "lower lung",
    "lateral_rim": "lateral",
    "cardiac_silhouette": "",
    "lung": "",
    "inner_lung": "",
    "pleural_base": "",
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


def target_prompt(parsed: ParsedPrompt, *, healthy: bool = True) -> SpannedText:
    """The text to steer towards, with a span per finding of ``parsed`` that it speaks of.

    Additions only: the words as written. Else words of ours, because a negated word still pulls its
    finding in: the added findings, then what healthy organs are called for the removed ones.

    Args:
        healthy: False leaves removed findings to ``removal_prompt``; with removals only the text
            is ``NORMAL``.
    """
    if parsed.mode == "add" and not parsed.restated:
        return SpannedText(parsed.text, parsed.findings)
    if healthy:
        return _joined(parsed)
    return prompt_from_findings(parsed.added) if parsed.added else SpannedText(NORMAL)


def removal_prompt(parsed: ParsedPrompt) -> SpannedText:
    """The text to steer away from (negative prompt): the removed findings; "" if there are none."""
    return prompt_from_findings(parsed.removed)


def text_of(finding: FindingEdit) -> SpannedText:
    """One finding's own text: what it is called, or, to be removed, what a healthy organ is."""
    if finding.direction != "remove":
        return prompt_from_findings([finding])
    text = HEALTHY[get(finding.finding).measure]
    return SpannedText(text, (replace(finding, phrase=text, span=(0, len(text))),))


def source_prompt(parsed: ParsedPrompt) -> str:
    """The opposite of what is asked, as words for the source: findings that are to go, and healthy
    organs where some are to come ("pleural effusion, normal heart size").

    Healthy lungs are not claimed beside a finding that the lungs show.
    """
    gone = [prompt_from_findings([finding]).text for finding in parsed.removed]
    shown = {get(finding.finding).measure for finding in parsed.removed}
    healthy = {get(finding.finding).measure for finding in parsed.added} - shown
    return ", ".join([*gone, *(HEALTHY[measure] for measure in HEALTHY if measure in healthy)])


def instruction(parsed: ParsedPrompt) -> str:
    """What is asked as an order, in the words that instruction-trained editors know.

    "Add the finding of moderate left pleural effusion and remove the finding of cardiomegaly".
    """
    orders = (("add", parsed.added), ("remove", parsed.removed))
    parts = [
        f"{verb} the finding of {prompt_from_findings(findings).text}"
        for verb, findings in orders
        if findings
    ]
    text = " and ".join(parts)
    return text[:1].upper() + text[1:]


def _joined(parsed: ParsedPrompt) -> SpannedText:
    """The own texts of all findings in one, added ones first.

    Healthy words are said once, and hold for every finding that they are said of.
    """
    starts: dict[str, int] = {}
    text, found = "", {}
    for finding in (*parsed.added, *parsed.removed):
        own = text_of(finding)
        if own.text not in starts:
            text += ", " if text else ""
            starts[own.text] = len(text)
            text += own.text
        (placed,) = own.findings
        start = starts[own.text]
        a, b = placed.span or (0, len(own.text))
        found[id(finding)] = replace(placed, span=(start + a, start + b))
    return SpannedText(text, tuple(found[id(finding)] for finding in parsed.findings))


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
