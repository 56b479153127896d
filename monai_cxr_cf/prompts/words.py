# SPDX-License-Identifier: Apache-2.0
"""Text in, words with character offsets out; and the lexicon of every word that is no finding.

The lowest layer of ``prompts``: words are compared without case, accents and hyphens, while their
offsets stay those of the original text. Standard library only.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

# A letter may carry combining marks (decomposed accents); the marks belong to the word. The stop
# of "vs." ends no sentence.
_WORD = re.compile(
    r"(?:[^\W\d_][\u0300-\u036f]*)+|\d+(?:\.\d+)?|(?<!\bvs)[.]|[,;:/&+\n]|[^\s\w.]|_"
)
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ß": "ss"})


@dataclass(frozen=True)
class Word:
    """One word, number or sign; ``text[start:end]`` is how it was written."""

    norm: str  # case-folded, without accents
    start: int
    end: int


@dataclass(frozen=True)
class Label:
    """What a phrase means: its kind and a value of that kind."""

    kind: str
    value: Any = None
    forward: bool = False  # an operator that acts only on what follows: "without", "remove"


Phrase = tuple[str, ...]


def normalise(text: str) -> str:
    """Case-folded, without accents and ligatures."""
    folded = unicodedata.normalize("NFKD", text.casefold().translate(_LIGATURES))
    return "".join(c for c in folded if not unicodedata.combining(c))


def split(text: str) -> list[Word]:
    """All words, numbers and signs of a text in order; hyphens and brackets separate and vanish."""
    found = (Word(normalise(m.group()), *m.span()) for m in _WORD.finditer(text))
    return [w for w in found if w.norm and (w.norm[0].isalnum() or w.norm in ".,;:/&+\n")]


def phrase(text: str) -> Phrase:
    """A phrase as the tuple of its normalised words."""
    return tuple(w.norm for w in split(text))


def load(name: str) -> dict[str, Any]:
    """A JSON data file that lies beside this module."""
    text = (resources.files("monai_cxr_cf") / "prompts" / name).read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


@cache
def lexicon() -> Mapping[Phrase, tuple[Label, ...]]:
    """Every phrase of ``words.json`` with its labels (``bibasilar``: a side and a zone)."""
    data = load("words.json")
    table: dict[Phrase, tuple[Label, ...]] = {}

    def add(key: str, label: Label) -> None:
        words = phrase(key)
        table[words] = (*table.get(words, ()), label)

    for key, side in data["sides"].items():
        add(key, Label("side", side))
    for key, (zone, side) in data["zones"].items():
        add(key, Label("zone", (zone, side)))
    for kind, group in (("severity", data["severities"]), ("separator", data["separators"])):
        for key, value in group.items():
            add(key, Label(kind, value))
    for key, verb in data["operators"].items():  # after the separators: "nor" joins, then negates
        add(key, Label("operator", verb.rstrip(">"), forward=verb.endswith(">")))
    for kind in _PLAIN:
        _add_plain(table, kind, data[kind])
    for kind, doubt in data["doubts"].items():
        for key in doubt["words"]:
            table[phrase(key)] = (Label("doubt", kind),)
    return MappingProxyType(table)


_PLAIN = ("unchanged", "boundaries", "generic", "look_alikes", "prepositions", "articles",
          "anatomy", "seen", "image", "fillers", "descriptors")  # fmt: skip


@cache
def hints() -> Mapping[str, str]:
    """What to ask for each kind of unclear word ("which side", "question", ...)."""
    return MappingProxyType({k: v["hint"] for k, v in load("words.json")["doubts"].items()})


def _add_plain(table: dict[Phrase, tuple[Label, ...]], kind: str, keys: Iterable[str]) -> None:
    """A list of phrases of one kind; a phrase that already has a meaning keeps it."""
    for key in keys:
        table.setdefault(phrase(key), (Label(kind, key),))
