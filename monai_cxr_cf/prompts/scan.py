# SPDX-License-Identifier: Apache-2.0
"""Words in, marked phrases and items out: every word of a prompt gets a kind, findings get theirs.

First half of the parser. ``marks`` labels the text by longest match against the vocabulary and the
lexicon; ``itemise`` gives each finding the words that belong to it. No decision is taken here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

from monai_cxr_cf.prompts.findings import PHRASES
from monai_cxr_cf.prompts.words import Label, Phrase, Word, lexicon, split

_GAP = frozenset({"the", "a", "an", "is", "are", "was", "were", "appears", "appear", "looks"})
ANCHORS = frozenset({"finding", "generic", "look_alikes"})
CONTRAST = frozenset({"but", "however", "yet", "although", "whereas", "while"})
EXCEPTION = frozenset(
    {"except", "except for", "apart from", "aside from", "save for", "excepting", "otherwise"}
)
# General words that call the image, or a part of it, normal; the others name something wrong.
NORMAL_WORDS = frozenset(
    {"normal", "clear", "unremarkable", "within normal limits", "healthy", "no finding"}
    | {"well expanded", "well aerated"}
)


@dataclass(frozen=True)
class Mark:
    """A labelled piece of the text. For a finding, ``value`` is (name, how it is meant)."""

    kind: str
    value: Any
    start: int
    end: int
    inner: tuple[float, ...] = ()  # severities inside a finding phrase: "heart is mildly enlarged"
    forward: bool = False  # an operator that acts only on what follows


@dataclass
class Item:
    """One finding (or generic statement) with the words before and after it that are its own."""

    mark: Mark
    joiner: frozenset[str] = frozenset()  # how it hangs on the item before: and, or, comma, ...
    pre: list[Mark] = field(default_factory=list)
    post: list[Mark] = field(default_factory=list)
    contrast: bool = False  # its words were told apart from negated ones: "not mild but severe"

    def own(self, *kinds: str) -> list[Mark]:
        """Its marks of some kinds, in reading order."""
        return [m for m in (*self.pre, *self.post) if m.kind in kinds]


@cache
def _by_first_word() -> Mapping[str, tuple[Phrase, ...]]:
    """All phrases by their first word, longest first."""
    table: dict[str, list[Phrase]] = {}
    for words in {*PHRASES, *lexicon()}:
        table.setdefault(words[0], []).append(words)
    return {k: tuple(sorted(v, key=len, reverse=True)) for k, v in table.items()}


def _match(words: Sequence[Word], i: int, wanted: Phrase) -> list[int] | None:
    """Positions of ``wanted`` from ``i`` on, with articles, verbs and severities let in between."""
    gaps = _GAP if wanted in PHRASES else frozenset({"the"})
    found = [i]
    j = i + 1
    for word in wanted[1:]:
        while j < len(words) and words[j].norm != word and _may_skip(words[j], gaps):
            j += 1
        if j >= len(words) or words[j].norm != word:
            return None
        found.append(j)
        j += 1
    return found


def _may_skip(word: Word, gaps: frozenset[str]) -> bool:
    return word.norm in gaps or (gaps is _GAP and _severity(word) is not None)


def _severity(word: Word) -> float | None:
    labels = lexicon().get((word.norm,), ())
    return next((label.value for label in labels if label.kind == "severity"), None)


def marks(text: str) -> list[Mark]:
    """The whole text as labelled pieces, in order; a word without a meaning has kind "unknown"."""
    words = split(text)
    out: list[Mark] = []
    i = 0
    while i < len(words):
        at = next(
            (
                (wanted, found)
                for wanted in _by_first_word().get(words[i].norm, ())
                if (found := _match(words, i, wanted)) is not None
            ),
            None,
        )
        if at is None:
            kind = "fillers" if words[i].norm[0].isdigit() else "unknown"
            out.append(Mark(kind, words[i].norm, words[i].start, words[i].end))
            i += 1
        elif at[0] in PHRASES:
            out.append(_finding(words, at[0], at[1]))
            i = at[1][-1] + 1
        else:
            for label in lexicon()[at[0]]:
                out.append(_plain(label, words[i], words[at[1][-1]]))
            i = at[1][-1] + 1
    return out


def _plain(label: Label, first: Word, last: Word) -> Mark:
    kind = label.kind if label.kind != "boundaries" else "boundary"
    return Mark(kind, label.value, first.start, last.end, forward=label.forward)


def _finding(words: Sequence[Word], wanted: Phrase, found: list[int]) -> Mark:
    """The span is the longest run without a severity inside, so that place words stay out."""
    runs: list[list[int]] = [[found[0]]]
    inner: list[float] = []
    for a, b in pairwise(found):
        between = [s for w in words[a + 1 : b] if (s := _severity(w)) is not None]
        inner.extend(between)
        if between:
            runs.append([b])
        else:
            runs[-1].append(b)
    run = max(runs, key=lambda r: words[r[-1]].end - words[r[0]].start)
    value = PHRASES[wanted]
    return Mark("finding", value, words[run[0]].start, words[run[-1]].end, tuple(inner))


def itemise(sequence: Sequence[Mark]) -> list[Item]:
    """Findings and generic statements with their own words around them."""
    places = [k for k, m in enumerate(sequence) if m.kind in ANCHORS]
    items = [Item(sequence[k]) for k in places]
    if not items:
        return []
    items[0].pre = list(sequence[: places[0]])
    items[-1].post = list(sequence[places[-1] + 1 :])
    for left, right, a, b in zip(items, items[1:], places, places[1:], strict=False):
        left.post, right.joiner, right.pre = _divide(list(sequence[a + 1 : b]))
    return items


def _divide(gap: list[Mark]) -> tuple[list[Mark], frozenset[str], list[Mark]]:
    """Words between two findings: those of the first, the joiner, those of the second.

    A boundary (full stop, "but") divides; else a word that only looks forward ("without"); else
    the last comma; else the last "and" or "with", unless the gap begins with it; without any, a
    leading preposition keeps the words on the left.
    """
    for k, mark in enumerate(gap):
        if mark.kind == "boundary":
            return gap[:k], frozenset({"boundary", mark.value}), gap[k + 1 :]
    for k, mark in enumerate(gap):
        if mark.forward:
            return _cut(gap, k, k)
    joints = [k for k, m in enumerate(gap) if m.kind == "separator"]
    if not joints:
        left = bool(gap) and gap[0].kind == "prepositions"
        return (gap, frozenset(), []) if left else ([], frozenset(), gap)
    commas = [k for k in joints if gap[k].value == "comma"]
    cut = commas[-1] if commas else joints[-1]
    if gap[0].kind == "separator" and not (commas and _looks_back(gap, cut)):
        cut = 0
    return _cut(gap, cut, cut + 1)


def _looks_back(gap: list[Mark], cut: int) -> bool:
    """Do list entries after a comma describe the finding before it?

    "Effusions, left greater than right, and ..." and "effusion, moderate, and ..." do; "effusion,
    left lower and upper lobe ..." does not.
    """
    middle = [m.kind for m in gap[:cut] if m.kind != "separator"]
    if any(kind in ("operator", "prepositions", "unchanged") for kind in middle):
        return True
    joined = cut + 1 < len(gap) and gap[cut + 1].kind == "separator"
    return joined and set(middle) <= {"severity", "descriptors", "articles"}


def _cut(gap: list[Mark], start: int, stop: int) -> tuple[list[Mark], frozenset[str], list[Mark]]:
    """The gap divided at ``start:stop``, widened over the separators around it."""
    while start > 0 and gap[start - 1].kind == "separator":
        start -= 1
    while stop < len(gap) and gap[stop].kind == "separator":
        stop += 1
    return gap[:start], frozenset(m.value for m in gap[start:stop]), gap[stop:]
