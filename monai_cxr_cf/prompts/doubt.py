# SPDX-License-Identifier: Apache-2.0
"""A prompt in, a question back where its form leaves open what is meant.

These checks look at form alone: signs that are no words, words that make a sentence a question or
a comparison, sides of the picture, findings that stand side by side. A prompt that passes them is
one that the grammar of ``contrast``, ``scope`` and ``place`` was made for. Prompts only; reports
are read by ``clean``, which leaves out what it cannot read.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.pairs import COMPARED
from monai_cxr_cf.prompts.scan import EXCEPTION, Item, Mark
from monai_cxr_cf.prompts.segments import NEGATIONS, Segment, segments
from monai_cxr_cf.prompts.words import hints

_STRANGE = re.compile(
    r"[^\w\s.,;:/&+'\"\u2018\u2019\u201c\u201d()\[\]!\-\u2010\u2011\u2013\u2014\u0300-\u036f]"
)
_SIGNED = re.compile(
    r"\(\s*[-–—+]|[-–—+]\s*\)|(?<!\S)[-–—+](?=\w)|[-–—+]\s*$|[-–—]{2}|\+\s*/|/\s*[-–—]|!\s*\w"
    r"|\bno\s*(?:[:–—]|-\s)|\w[-–—]less\b",
    re.IGNORECASE,
)
_DASH = re.compile(r"[-–—]")
_ZERO = re.compile(r"(?<![\w.,])0+(?:[.,]0+)?(?![\w.,]*\d)")
_BETWEEN = frozenset({"anatomy", "articles", "fillers", "prepositions", "seen"})
_DEGREES = frozenset({"decrease", "worsen"})
_COMPARATIVES = frozenset({"less", "lesser", "more", "greater"})
_MOSTLY = frozenset({"mostly", "mainly", "predominantly", "approximately", "about", "early"})
_SMALL = 0.5  # the largest degree that "more" would make less of
_LIST = frozenset({"and", "or"})
_NAME_ONE = "Name the one that the image should show."
_HINT = "Say it in words: 'left effusion', 'no effusion', 'larger effusion'."


def refuse_signs(text: str) -> None:
    """BadRequest for question marks, plus and minus signs, arrows, percents and zeros."""
    if "?" in text:
        raise _ambiguous("The prompt asks a question.", hints()["question"])
    for pattern in (_STRANGE, _SIGNED, _ZERO):
        if found := pattern.search(text):
            sign = found.group().strip()[:5]
            raise _ambiguous(f"The sign {sign!r} can be read in more than one way.", _HINT)


def refuse_words(text: str, labelled: Sequence[Mark]) -> None:
    """BadRequest for words of doubt, and for sides of the picture."""
    for mark in labelled:
        if mark.kind == "doubt":
            word = text[mark.start : mark.end]
            raise _ambiguous(f"{word!r} leaves open what to change.", hints()[mark.value])
    _refuse_pairs(text, labelled)
    for k, mark in enumerate(labelled):
        if mark.kind == "side" and (_picture(labelled[k + 1 :]) or _picture(labelled[:k][::-1])):
            raise _ambiguous(
                "The prompt names a side of the picture; left and right are the patient's.",
                "The left of a frontal image is the patient's right: write 'right effusion'.",
            )


def _refuse_pairs(text: str, labelled: Sequence[Mark]) -> None:
    """Two words side by side that leave the degree or the finding open."""
    for a, b in pairwise([m for m in labelled if m.kind != "articles"]):
        if a.value == "from" and b.kind in ("severity", "side", "zone"):
            raise _ambiguous("'From' names what is left behind.", hints()["comparison"])
        if a.value == "to" and b.kind == "severity" and not _range(labelled, a):
            raise _ambiguous("The prompt names a change and a degree.", hints()["comparison"])
        if a.kind == "finding" and b.value == "like":
            raise _ambiguous(f"'{a.value[0]}-like' names two findings, or one.", _NAME_ONE)
        if a.kind == "finding" and "+" in text and _DASH.search(text[a.end : b.start]):
            raise _ambiguous("Beside a '+', a dash can be a minus.", _HINT)
        if (
            b.kind == "severity"
            and b.value <= _SMALL
            and a.value in _DEGREES
            and (text[a.start : a.end].casefold() in _COMPARATIVES)
        ):
            raise _ambiguous("'Less mild' and 'more mild' turn round.", hints()["comparison"])
        if "gone" in (a.value, b.value) and (a.value in _MOSTLY or b.value in _MOSTLY):
            raise _ambiguous("The prompt says that something is partly gone.", hints()["extent"])
        if a.value in COMPARED and not (b.kind == "side" or text[b.start].isdigit()):
            raise _ambiguous("The prompt compares a degree.", hints()["comparison"])


def refuse_uneven(items: Sequence[Item]) -> None:
    """ "Left and large right effusion": a degree that stands with a later place is that place's.

    One before the first place of a list holds for all: "large left and right effusions".
    """
    for item in items:
        pre, post = segments(item.pre), segments(item.post)
        placed = [p for p in (*pre, *post) if p.kinds & {"side", "zone"} and not _compares(p)]
        if not any(p.joint and _elsewhere(p, placed[0]) for p in placed[1:]):
            continue
        own = [k for k, p in enumerate(placed) if p.of("severity")]
        listed = all(p in pre for p in placed) and any(p.joint & _LIST for p in placed[1:])
        if own and not (own == [0] and listed):
            raise _ambiguous(
                f"It is unclear for which places of {item.mark.value[0]} the degree holds.",
                "Name the finding for each: 'left effusion and large right effusion'.",
            )


def _compares(part: Segment) -> bool:
    return any(m.value in COMPARED for m in part.of("prepositions"))


def _elsewhere(part: Segment, first: Segment) -> bool:
    zoned = bool(part.of("zone") and first.of("zone"))
    return zoned or bool(part.sides and first.sides and part.sides != first.sides)


def _range(labelled: Sequence[Mark], to: Mark) -> bool:
    """Is it the "to" of "small to moderate"? A degree stands before it."""
    before = [m for m in labelled if m.end <= to.start]
    return bool(before) and before[-1].kind == "severity"


def _picture(following: Sequence[Mark]) -> bool:
    """Does the picture's noun stand next to a side, with nothing but small words between?"""
    for mark in following:
        if mark.kind == "image":
            return True
        small = mark.kind in _BETWEEN and mark.value not in (":", "to", "with")
        if not small:
            return False
    return False


def refuse_forms(items: Sequence[Item]) -> None:
    """BadRequest for findings side by side, lost exceptions and leftovers of a sentence."""
    for k, item in enumerate(items):
        if k and not item.joiner:
            _refuse_adjacent(items[k - 1], item)
        _refuse_exception(items, k)
        _refuse_two_senses(items, k)
        _refuse_leftover(item)
        _refuse_between(item)
        _refuse_new(item)
        _refuse_header(items, k)
        if item.mark.kind == "generic":
            _refuse_everything(items, item)


def _refuse_adjacent(left: Item, right: Item) -> None:
    """Two findings without a word that joins them."""
    between = [*left.post, *right.pre]
    if any(m.kind == "operator" and m.forward for m in right.pre):
        return
    if any(m.value == ":" for m in between) and left.mark.kind == "generic":
        return
    plain = left.mark.kind == right.mark.kind == "finding"
    if plain and not left.own("operator", "unchanged") and not [
        m for m in between if m.kind in ("operator", "side", "zone", "severity", "prepositions")
    ]:  # fmt: skip
        return
    raise _ambiguous(
        "Two statements stand side by side without a word that joins them.",
        "Put a semicolon, 'and', 'with' or 'but' between them.",
    )


def _refuse_exception(items: Sequence[Item], k: int) -> None:
    """ "Except" may follow a normal image only, and a finding must follow it."""
    item = items[k]
    before = items[:k]
    if EXCEPTION & item.joiner and (
        item.mark.kind != "finding"
        or any(b.mark.kind == "finding" or _wishes(b) for b in before)
        or item.own("operator")
    ):
        raise _exception()
    leading = [m for m in segments(item.pre) if m.joint & EXCEPTION] if k == 0 else []
    if leading or any(part.joint & EXCEPTION for part in segments(item.post)):
        raise _exception()


def _exception() -> BadRequest:
    return _ambiguous(
        "It is unclear what the exception is taken from.",
        "Name each finding and place that should change, and leave the others out.",
    )


def _wishes(item: Item) -> bool:
    return any(m.value not in NEGATIONS for m in item.own("operator"))


def _refuse_leftover(item: Item) -> None:
    """A sentence of its own without a finding: "Left effusion. Large." """
    loose = {".", ";", "\n"}
    parts = segments(item.pre)
    after = [*parts[1:], *segments(item.post)]
    if item.mark.kind == "finding" and any(p.weighty and p.joint & loose for p in after):
        raise _leftover()
    trailing = item.pre and item.pre[-1].kind in ("separator", "boundary")
    if trailing and any(part.weighty for part in parts):
        raise _leftover()
    ends = [p for p, q in pairwise(parts) if q.joint & loose]
    if any(p.weighty for p in ends):
        raise _leftover()


def _refuse_between(item: Item) -> None:
    """ "Opacity, large, bilateral effusion": "large" may belong to either finding."""
    parts = segments(item.pre)
    if len(parts) < 2 or "comma" not in item.joiner or not parts[0].kinds or parts[0].verbs:
        return
    if any(p.joint & {"with", "as"} or not p.kinds or p.kinds - parts[0].kinds for p in parts[1:]):
        raise _ambiguous(
            "It is unclear which finding a word between two commas belongs to.",
            "Put it right before its finding, or a semicolon between the findings.",
        )


def _leftover() -> BadRequest:
    return _ambiguous(
        "A sentence of the prompt names a place, a degree or a change, but no finding.",
        "Put it before its finding: 'large left effusion'.",
    )


def _refuse_two_senses(items: Sequence[Item], k: int) -> None:
    """ "Effusion-free", "no effusion left" (over?), "both effusion and nodule"."""
    item = items[k]
    near = next((part.marks for part in segments(item.post) if not part.joint), ())
    free = any(m.value == "free" for m in near)
    left = bool(near) and near[0].value == "left" and NEGATIONS & {m.value for m in item.pre}
    word = item.pre[-1] if item.pre else None
    pair = word is not None and word.value == "both" and word.end - word.start == len("both")
    if free or left or (pair and any("and" in i.joiner for i in items[k + 1 : k + 2])):
        raise _ambiguous(
            "A word of the prompt has two senses here: 'free', 'left' or 'both'.",
            "Write 'no effusion', 'no left effusion', or 'an effusion and a nodule'.",
        )


def _refuse_new(item: Item) -> None:
    """ "No new effusion" says nothing of an old one."""
    words = [m.value for m in item.pre if m.kind in ("articles", "operator", "descriptors")]
    if NEGATIONS & set(words) and {"new", "newly", "developing"} & set(words):
        raise _ambiguous(
            f"'No new {item.mark.value[0]}' leaves open what becomes of an old one.",
            "Write 'no X' to remove it, or leave it out.",
        )


def _refuse_header(items: Sequence[Item], k: int) -> None:
    """ "Left lung: edema, effusion": does the place before the colon hold for the whole list?"""
    colon = next((m.start for m in items[k].pre if m.value == ":"), 0)
    place = any(m.kind in ("side", "zone") and m.start < colon for m in items[k].pre)
    for item in items[k + 1 :] if place else ():
        if "boundary" in item.joiner or item.own("side", "zone"):
            return
        if item.mark.kind == "finding" and "comma" in item.joiner:
            raise _ambiguous(
                "It is unclear whether the place before the colon holds for the whole list.",
                "Name the place with each finding: 'left edema; left effusion'.",
            )


def _refuse_everything(items: Sequence[Item], item: Item) -> None:
    """ "Remove everything and add an effusion" names nothing that could be removed."""
    if _wishes(item) and any(i.mark.kind == "finding" for i in items):
        raise _ambiguous(
            "The prompt asks to change something that it does not name.",
            "Name each finding: 'remove the effusion and the nodule'.",
        )


def _ambiguous(message: str, hint: str) -> BadRequest:
    return BadRequest(message, code="ambiguous_prompt", hint=hint)
