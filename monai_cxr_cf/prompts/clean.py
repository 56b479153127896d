# SPDX-License-Identifier: Apache-2.0
"""A radiology report in, a short prompt out, for training captions and evaluation data.

Small and rule-based: it keeps the findings of the vocabulary with side, zone and severity and
drops everything else. Each mention is present, hedged, absent or of no use ("if", "history of").
It misses findings outside the vocabulary, and hints, irony and rare sentence forms; check a sample
by eye before relying on it. ``data.cleaner`` lets a language model write the prompt, with these
rules as its check.
"""

import re
from dataclasses import dataclass, field, replace

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.compose import NORMAL, prompt_from_findings
from monai_cxr_cf.prompts.contrast import apart
from monai_cxr_cf.prompts.hedges import hedged, of_this_film, retracts
from monai_cxr_cf.prompts.parse import edits
from monai_cxr_cf.prompts.place import places
from monai_cxr_cf.prompts.scan import ANCHORS, Item, Mark, itemise, marks
from monai_cxr_cf.prompts.scope import Action, actions
from monai_cxr_cf.prompts.sections import sentences
from monai_cxr_cf.request import FindingEdit

# Words that mark a sentence as not about the image, unless it names the image itself.
_NOT_IMAGE = re.compile(
    r"year[- ]old|\bhistory\b|\bh/o\b|\bpresent(?:s|ed|ing) (?:with|to)\b|symptom|fever|cough|"
    r"dyspn|treat(?:ed|ment)|courtesy|credit|recommend|follow[- ]?up|laborator|admitted|diagnos",
    re.IGNORECASE,
)
_IMAGE = re.compile(r"radiograph|x-?ray|\bfilm|\bcxr\b", re.IGNORECASE)
_MAX_FINDINGS = 4
_NORMAL_WORDS = ("normal", "clear", "unremarkable", "within normal limits", "healthy")
UNCERTAIN = ("drop", "present")


@dataclass
class Reading:
    """What a report says of its film, mention by mention."""

    present: list[FindingEdit] = field(default_factory=list)
    hedged: list[FindingEdit] = field(default_factory=list)
    absent: list[FindingEdit] = field(default_factory=list)
    normal: bool = False  # calls the image, or a part of it, normal or free of something


def clean_report(text: str, *, max_findings: int = _MAX_FINDINGS, uncertain: str = "drop") -> str:
    """A short prompt with the findings a report states as present, in lower case.

    Returns ``NORMAL`` when it only excludes findings or calls the image normal, and "" when it
    says nothing about the image that the vocabulary knows. Change words ("improved") leave the
    finding present; "resolved" removes it. Hedged findings ("possible", "cannot be excluded") are
    dropped, or kept with ``uncertain="present"``.
    """
    reading = read_report(text)
    stated = reading.present + (reading.hedged if uncertain == "present" else [])
    kept = _most_specific(stated)[:max_findings]
    if kept:
        return prompt_from_findings(kept).text.lower()
    return NORMAL if reading.normal and not reading.hedged else ""


def mentioned(text: str) -> set[str]:
    """Findings named in what is said of this film, even where the rest is not understood."""
    about = [of_this_film(s) for s in sentences(text) if _of_image(s)]
    return {m.value[0] for s in about for m in marks(s) if m.kind == "finding"}


def _of_image(sentence: str) -> bool:
    return bool(_IMAGE.search(sentence)) or not _NOT_IMAGE.search(sentence)


def read_report(text: str) -> Reading:
    """Every mention of a finding of the vocabulary, by class."""
    reading = Reading()
    last: list[FindingEdit] = []
    for sentence in sentences(text):
        if retracts(sentence) and last:
            reading.present = [e for e in reading.present if e not in last]
            reading.absent += last
            reading.normal, last = True, []
        elif _of_image(sentence):
            before = len(reading.present)
            _add_statements(of_this_film(sentence), reading)
            last = reading.present[before:]
    return reading


def _add_statements(sentence: str, reading: Reading) -> None:
    """What one sentence states, added to the reading; nothing if it contradicts itself."""
    labelled = marks(sentence)
    strange = any(m.kind in ("unknown", "doubt") for m in labelled)
    about_chest = not strange or any(m.kind == "anatomy" for m in labelled)
    try:
        items = apart(itemise(_strangers_apart(labelled)))
        todo = actions(items, strict=False)
        where = [places(items, k, []) if i.mark.kind == "finding" else []
                 for k, i in enumerate(items)]  # fmt: skip
    except BadRequest:  # contradicts itself: says nothing we could use
        return
    absent = [a.direction == "remove" and a.severity is None for a in todo]
    doubts = hedged(sentence, [(i.mark.start, i.mark.end) for i in items], absent)
    for k, (item, action, spots) in enumerate(zip(items, todo, where, strict=True)):
        gone = absent[k]
        if item.mark.kind == "generic":
            free = about_chest and (gone or item.mark.value in _NORMAL_WORDS)
            reading.normal = reading.normal or (free and not doubts[k])
        elif item.mark.kind == "finding":
            found = _found(sentence, item, action, spots)
            if doubts[k] or (not gone and _alternative(items, todo, k)):
                reading.hedged += found
            elif gone:
                reading.absent += found
                reading.normal = True
            else:
                reading.present += found


def _found(
    sentence: str, item: Item, action: Action, spots: list[tuple[str | None, str | None]]
) -> list[FindingEdit]:
    severity = _now(item) if action.direction == "remove" else action.severity
    found = edits(sentence, item.mark, action, spots)
    return [replace(e, direction="add", severity=severity) for e in found]


def _now(item: Item) -> float | None:
    """ "Has decreased and is now small": the degree of today."""
    now = [k for k, m in enumerate(item.post) if m.value == "now"]
    later = item.post[now[-1] :] if now else []
    return next((float(m.value) for m in later if m.kind == "severity"), None)


def _alternative(items: list[Item], todo: list[Action], k: int) -> bool:
    """ "Atelectasis or consolidation": one of the two, not both."""
    for at in (k, k + 1):
        if 0 < at < len(items) and "or" in items[at].joiner:
            pair = items[at - 1 : at + 1]
            if all(i.mark.kind == "finding" for i in pair) and todo[at - 1].direction != "remove":
                return True
    return False


def _strangers_apart(labelled: list[Mark]) -> list[Mark]:
    """A list entry made of unknown words only is something else with places of its own.

    "Right effusion, bilateral adhesions": without this, "bilateral" would go to the effusion.
    """
    out = list(labelled)
    start = 0
    for stop in range(len(labelled) + 1):
        if stop < len(labelled) and labelled[stop].kind not in ("separator", "boundary"):
            continue
        strange = [k for k in range(start, stop) if labelled[k].kind in ("unknown", "doubt")]
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
