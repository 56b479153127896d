# SPDX-License-Identifier: Apache-2.0
"""A radiology report in, a short prompt out, for training captions and evaluation data.

Small and rule-based: it keeps the findings of the vocabulary with side, zone and severity and
drops everything else. It misses findings outside the vocabulary, and hints, irony and rare
sentence forms; check a sample by eye before relying on it. No language model is involved.
"""

import re
from dataclasses import replace

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.compose import NORMAL, prompt_from_findings
from monai_cxr_cf.prompts.parse import edits
from monai_cxr_cf.prompts.place import places
from monai_cxr_cf.prompts.scan import ANCHORS, Mark, itemise, marks
from monai_cxr_cf.prompts.scope import actions
from monai_cxr_cf.request import FindingEdit

_HEADING = re.compile(r"(?:^|(?<=[\n.;]))[ \t]*([A-Z][A-Za-z ]{2,24}|[A-Z ]{3,25})[ \t]*:")
_IMAGING_SECTIONS = ("finding", "impression", "imp", "conclusion", "chest", "lung", "pleura",
                     "heart", "imaging notes", "interpretation")  # fmt: skip
_OTHER_SECTIONS = ("history", "indication", "comparison", "technique", "exam", "examination",
                   "clinical", "reason", "recommendation", "discussion", "presentation", "view",
                   "notification", "wet read")  # fmt: skip
_SENTENCE = re.compile(r"(?<=[^\d\s]\.)\s+|(?<=\d\.)\s+(?=[A-Z])|;\s*(?:\d+\.)?|\n\s*\n")
# Words that mark a sentence as not about the image, unless it names the image itself.
_NOT_IMAGE = re.compile(
    r"year[- ]old|\bhistory\b|\bh/o\b|\bpresent(?:s|ed|ing) (?:with|to)\b|symptom|fever|cough|"
    r"dyspn|treat(?:ed|ment)|courtesy|credit|recommend|follow[- ]?up|laborator|admitted|diagnos",
    re.IGNORECASE,
)
_IMAGE = re.compile(r"radiograph|x-?ray|\bfilm|\bcxr\b", re.IGNORECASE)
_HEDGE = re.compile(
    r"(?:can ?not|could not|not) (?:be )?(?:entirely )?excluded?|rule out|\br/o\b|\?", re.IGNORECASE
)
_MAX_FINDINGS = 4
_NORMAL_WORDS = ("normal", "clear", "unremarkable", "within normal limits", "healthy")


def clean_report(text: str, *, max_findings: int = _MAX_FINDINGS) -> str:
    """A short prompt with the findings a report states as present.

    Returns ``NORMAL`` when it only excludes findings or calls the image normal, and "" when it
    says nothing about the image that the vocabulary knows. Change words ("improved") leave the
    finding present; "resolved" removes it. Hedged sentences ("cannot be excluded") are dropped.
    """
    present: list[FindingEdit] = []
    excluded = False
    for sentence in _sentences(_sections(text)):
        found, says_normal = _statements(sentence)
        present += found
        excluded = excluded or says_normal
    kept = _most_specific(present)[:max_findings]
    if kept:
        return prompt_from_findings(kept).text
    return NORMAL if excluded else ""


def _sections(text: str) -> str:
    """Imaging sections of a report with headings; all of a text without."""
    pieces = _HEADING.split(text)
    out = [pieces[0]]
    for heading, body in zip(pieces[1::2], pieces[2::2], strict=True):
        name = heading.strip().casefold()
        if name.startswith(_IMAGING_SECTIONS) or not name.startswith(_OTHER_SECTIONS):
            out.append(body)
    return "\n\n".join(out)


def _sentences(text: str) -> list[str]:
    """Sentences about the image."""
    parts = [" ".join(part.replace("___", " ").split()) for part in _SENTENCE.split(text)]
    return [
        part
        for part in parts
        if part and not _HEDGE.search(part) and (_IMAGE.search(part) or not _NOT_IMAGE.search(part))
    ]


def _statements(sentence: str) -> tuple[list[FindingEdit], bool]:
    """Findings a sentence states as present, and whether it calls anything absent or normal."""
    labelled = marks(sentence)
    items = itemise(_strangers_apart(labelled))
    about_chest = all(m.kind != "unknown" for m in labelled) or any(
        m.kind == "anatomy" for m in labelled
    )
    try:
        todo = actions(items, strict=False)
        where = [places(items, k, []) if i.mark.kind == "finding" else []
                 for k, i in enumerate(items)]  # fmt: skip
    except BadRequest:  # contradicts itself: says nothing we could use
        return [], False
    present: list[FindingEdit] = []
    normal = False
    for item, action, spots in zip(items, todo, where, strict=True):
        partly = action.direction == "remove" and action.severity is not None
        gone = action.direction == "remove" and not partly
        if item.mark.kind == "generic":
            normal = normal or (about_chest and (gone or item.mark.value in _NORMAL_WORDS))
        elif item.mark.kind == "finding":
            normal = normal or gone
        if item.mark.kind == "finding" and not gone:
            severity = None if partly else action.severity
            found = edits(sentence, item.mark, action, spots)
            present += [replace(e, direction="add", severity=severity) for e in found]
    return present, normal


def _strangers_apart(labelled: list[Mark]) -> list[Mark]:
    """A list entry made of unknown words only is something else with places of its own.

    "Right effusion, bilateral adhesions": without this, "bilateral" would go to the effusion.
    """
    out = list(labelled)
    start = 0
    for stop in range(len(labelled) + 1):
        if stop < len(labelled) and labelled[stop].kind not in ("separator", "boundary"):
            continue
        strange = [k for k in range(start, stop) if labelled[k].kind == "unknown"]
        if strange and not any(m.kind in ANCHORS for m in labelled[start:stop]):
            out[strange[-1]] = replace(labelled[strange[-1]], kind="look_alikes")
        start = stop + 1
    return out


def _most_specific(present: list[FindingEdit]) -> list[FindingEdit]:
    """One entry per finding and place; one without a place gives way to one with a place."""
    placed = {e.finding for e in present if e.side or e.zone}
    kept: dict[tuple[str, str | None, str | None], FindingEdit] = {}
    for edit in present:
        if edit.side or edit.zone or edit.finding not in placed:
            kept.setdefault((edit.finding, edit.side, edit.zone), edit)
    return list(kept.values())
