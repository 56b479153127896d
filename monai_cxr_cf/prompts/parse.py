# SPDX-License-Identifier: Apache-2.0
"""A prompt in, the findings it asks for out: which, where, how much, and in what direction.

"moderate left pleural effusion", "bibasilar opacities and a right apical pneumothorax", "no
cardiomegaly". The grammar is small and strict: a word it does not know is refused with the nearest
known findings, never dropped. Used by the pipeline, the command line and report cleaning.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.compose import (
    ParsedPrompt,
    mode_of,
    prompt_from_findings,
)
from monai_cxr_cf.prompts.contrast import apart
from monai_cxr_cf.prompts.doubt import refuse_forms, refuse_signs, refuse_uneven, refuse_words
from monai_cxr_cf.prompts.findings import VOCABULARY, get, nearest
from monai_cxr_cf.prompts.place import checked_place, placed
from monai_cxr_cf.prompts.scan import NORMAL_WORDS, Item, Mark, itemise, marks
from monai_cxr_cf.prompts.scope import Action, actions
from monai_cxr_cf.request import FindingEdit

MAX_CHARS = 1000
MAX_FINDINGS = 8


@lru_cache(maxsize=256)
def parse_prompt(text: str) -> ParsedPrompt:
    """What a prompt asks for; kept, so that one edit parses its words once.

    Side and zone are the patient's. A severity is the level to reach (mild .25, moderate .5,
    large or severe .9, massive 1) or None; for a removal it is the share to remove ("improved"
    .5), None for all. A phrase with several places gives one entry per place, with the same span.

    Raises:
        BadRequest: nothing written, no finding named, an unknown word or finding (answered with
            the nearest known ones), a prompt that contradicts itself or can be read two ways.
    """
    _check_size(text)
    labelled = marks(text)
    refuse_words(text, labelled)
    _refuse_unknown(text, labelled)
    refuse_signs(text)
    items = itemise(labelled)
    _refuse_empty(items)
    refuse_forms(items)
    items = apart(items)
    refuse_uneven(items)
    todo = actions(items)
    _refuse_unchanged(items, todo)
    _refuse_unnamed(items, todo)
    _refuse_alternatives(items, todo)
    notes = [*_general(items, todo), *_numbers(text, labelled)]
    found: list[FindingEdit] = []
    for k, (item, action) in enumerate(zip(items, todo, strict=True)):
        if item.mark.kind == "finding":
            found += edits(text, item.mark, action, placed(items, k, notes))
    findings = _without_repeats(found, notes)
    _refuse_contradiction(findings)
    if len(findings) > MAX_FINDINGS:
        raise BadRequest(
            f"The prompt asks for {len(findings)} findings or places; the limit is {MAX_FINDINGS}.",
            hint="Split it into several requests.",
        )
    restated = any(item.contrast for item in items)
    return ParsedPrompt(findings, text, mode_of(findings), tuple(dict.fromkeys(notes)), restated)


def parsed_from_findings(findings: Sequence[FindingEdit]) -> ParsedPrompt:
    """Findings given as data instead of words, checked the same way and put into words.

    Names may be synonyms. The text states added and removed findings alike and has fresh spans;
    ``target_prompt`` and ``removal_prompt`` take their own part of it.

    Raises:
        BadRequest: unknown finding, zone or direction, severity outside 0..1, contradiction.
    """
    notes: list[str] = []
    checked = [checked_place(replace(f, finding=get(f.finding).name), notes) for f in findings]
    if not checked:
        raise BadRequest("The request names no finding.", code="no_finding")
    kept = _without_repeats(checked, notes)
    _refuse_contradiction(kept)
    composed = prompt_from_findings(kept)
    return ParsedPrompt(composed.findings, composed.text, mode_of(kept), tuple(notes))


def edits(
    text: str, mark: Mark, action: Action, where: Sequence[tuple[str | None, str | None]]
) -> list[FindingEdit]:
    """One ``FindingEdit`` per place of a finding."""
    return [
        FindingEdit(
            finding=mark.value[0],
            direction=action.direction,
            side=side,
            zone=zone,
            severity=action.severity,
            phrase=text[mark.start : mark.end],
            span=(mark.start, mark.end),
        )
        for side, zone in where
    ]


def _check_size(text: str) -> None:
    if not text.strip():
        raise BadRequest(
            "The prompt is empty.",
            code="empty_prompt",
            hint='Name a finding, for example "moderate left pleural effusion".',
        )
    if len(text) > MAX_CHARS:
        raise BadRequest(
            f"The prompt has {len(text)} characters; the limit is {MAX_CHARS}.",
            hint="Give the findings, not the whole report.",
        )


def _refuse_unknown(text: str, labelled: Sequence[Mark]) -> None:
    """An unknown word may be a finding: say which word and what is near it."""
    for k, mark in enumerate(labelled):
        if mark.kind not in ("unknown", "look_alikes"):
            continue
        query = text[mark.start : mark.end]
        after = labelled[k + 1] if k + 1 < len(labelled) else None
        context = f"{query} {text[after.start : after.end]}" if after is not None else query
        best = nearest(context if after is not None and after.kind == "finding" else query)
        what = "not in the vocabulary" if mark.kind == "look_alikes" else "not understood"
        raise BadRequest(
            f"{query[:60]!r} is {what}; the nearest known findings are {', '.join(best)}.",
            code="unknown_finding",
            hint="Use a known finding with side, zone and severity words, or leave the word out.",
        )


def _refuse_empty(items: Sequence[Item]) -> None:
    if any(item.mark.kind == "finding" for item in items):
        return
    if items:
        raise BadRequest(
            "The prompt describes a normal radiograph but names no finding to remove.",
            code="no_finding",
            hint='Name what should go, for example "no cardiomegaly".',
        )
    raise BadRequest(
        "The prompt names no finding.",
        code="no_finding",
        hint=f"Known findings: {', '.join(VOCABULARY)}.",
    )


def _refuse_unchanged(items: Sequence[Item], todo: Sequence[Action]) -> None:
    for item, action in zip(items, todo, strict=True):
        stays = action.direction == "stays" or item.own("unchanged")
        if item.mark.kind == "finding" and stays:
            raise BadRequest(
                f"The prompt says that {item.mark.value[0]} stays as it is: nothing to edit.",
                code="nothing_to_edit",
                hint="Leave it out, or say what should change.",
            )


def _refuse_unnamed(items: Sequence[Item], todo: Sequence[Action]) -> None:
    """ "Everything but the effusion", "effusion and other findings": what else is meant?

    A general word for something wrong must be denied ("no abnormality"), or be told in the words
    that follow it: "findings: left effusion", "findings suggestive of edema", "everything clear".
    """
    for k, (item, action) in enumerate(zip(items, todo, strict=True)):
        calm = item.mark.kind != "generic" or item.mark.value in NORMAL_WORDS
        after = items[k + 1] if k + 1 < len(items) else None
        told = after is not None and (not after.joiner or "as" in after.joiner)
        if not calm and not told and action.direction != "remove":
            raise BadRequest(
                f"The prompt speaks of {item.mark.value!r} without saying what it is.",
                code="ambiguous_prompt",
                hint="Name each finding, or write 'no X'; leave the general word out.",
            )


def _general(items: Sequence[Item], todo: Sequence[Action]) -> list[str]:
    """Notes on general words beside findings ("lungs clear", "no acute process"): not used."""
    return [
        f"{item.mark.value!r} names no finding; nothing was changed for it"
        for item, action in zip(items, todo, strict=True)
        if item.mark.kind == "generic"
        and (item.mark.value in NORMAL_WORDS or action.direction == "remove")
    ]


def _refuse_alternatives(items: Sequence[Item], todo: Sequence[Action]) -> None:
    for k in range(1, len(items)):
        both = items[k - 1].mark.kind == items[k].mark.kind == "finding"
        absent = todo[k - 1].direction == todo[k].direction == "remove"
        if both and not absent and "or" in items[k].joiner:
            raise BadRequest(
                f"'{items[k - 1].mark.value[0]} or {items[k].mark.value[0]}' leaves open which.",
                code="ambiguous_prompt",
                hint="Write 'and' for both, or name one.",
            )


def _numbers(text: str, labelled: Sequence[Mark]) -> list[str]:
    """Numbers that nothing was read from; not "1)" and "2." before the parts of a list."""
    found = [m for m in labelled if m.kind == "fillers" and text[m.start].isdigit()]
    return [
        f"the number {text[m.start : m.end]} was not used"
        for m in found
        if not re.match(r"[.):]\s", text[m.end :])
    ]


def _without_repeats(found: Sequence[FindingEdit], notes: list[str]) -> tuple[FindingEdit, ...]:
    """The same finding at the same place counts once."""
    kept: dict[tuple[object, ...], FindingEdit] = {}
    for edit in found:
        key = (edit.finding, edit.direction, edit.side, edit.zone)
        if key in kept:
            notes.append(f"{edit.finding} is named twice for one place; the first counts")
        kept.setdefault(key, edit)
    return tuple(kept.values())


def _refuse_contradiction(findings: Sequence[FindingEdit]) -> None:
    for a in findings:
        for b in findings:
            one = (a.direction == "remove") != (b.direction == "remove")
            if one and a.finding == b.finding and _overlap(a, b):
                raise BadRequest(
                    f"The prompt both adds and removes {a.finding} at the same place.",
                    code="contradictory_prompt",
                    hint="Give the two a different side or zone, or drop one.",
                )


def _overlap(a: FindingEdit, b: FindingEdit) -> bool:
    sides = a.side == b.side or None in (a.side, b.side) or "both" in (a.side, b.side)
    return sides and (a.zone == b.zone or None in (a.zone, b.zone))
