# SPDX-License-Identifier: Apache-2.0
"""Prompts of the table, mutated at random: never a crash, and never a reversal without a word.

Two relations hold whatever the words mean: exchanging left and right exchanges the sides, and a
negation put before a prompt negates its first finding. Each may be refused instead.
"""

import random
import re
import time

import pytest

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.compose import ParsedPrompt
from monai_cxr_cf.prompts.findings import VOCABULARY
from monai_cxr_cf.prompts.parse import parse_prompt
from monai_cxr_cf.prompts.scan import marks
from monai_cxr_cf.prompts.words import lexicon, normalise, split
from tests.fuzz import examples
from tests.prompts.test_meanings import rows

PROMPTS = [row["prompt"] for row in rows()]
WORDS = sorted({" ".join(k) for k in lexicon()} | set(VOCABULARY))
JOINTS = (" and ", ", ", "; ", " but ", " or ", " with ", " without ", ". ", "\n", " ")
NEGATIONS = ("no ", "no evidence of ", "without ", "absence of ", "there is no ", "not ")
OTHER_SIDE = {"left": "right", "lt": "rt", "l": "r", "lul": "rul", "lll": "rll"}
OTHER_SIDE |= {b: a for a, b in OTHER_SIDE.items()}
ONE_SIDED = re.compile(r"\b(middle lobe|rml|lingula|lingular|retrocardiac|behind)\b", re.IGNORECASE)
SECONDS = 2.0  # for one prompt; the slowest takes some milliseconds


def mutated(rng: random.Random) -> str:
    """A prompt of the table after one to three changes."""
    text = rng.choice(PROMPTS)
    for _ in range(rng.randint(1, 3)):
        words = text.split(" ")
        at = rng.randrange(len(words))
        change = rng.randrange(6)
        if change == 0:
            del words[at]
        elif change == 1:
            words.insert(at, rng.choice(WORDS))
        elif change == 2:
            other = rng.randrange(len(words))
            words[at], words[other] = words[other], words[at]
        elif change == 3:
            words[at] = rng.choice(WORDS)
        elif change == 4:
            words = [text + rng.choice(JOINTS) + rng.choice(PROMPTS)]
        else:
            letter = rng.randrange(len(words[at]) + 1)
            words[at] = words[at][:letter] + rng.choice(" ,.;:-+/?()é0\u0301") + words[at][letter:]
        text = " ".join(words)
    return text


def parsed(text: str) -> ParsedPrompt | None:
    """What is read, or None; anything but a refusal with words is a failure."""
    begun = time.process_time()
    found, refusal = None, None
    try:
        found = parse_prompt(text)
    except BadRequest as error:
        refusal = error
    assert time.process_time() - begun < SECONDS, text
    if refusal is not None:
        assert refusal.message, text
        return None
    assert found is not None, text
    assert found.findings, text
    for edit in found.findings:
        assert text[slice(*edit.span)] == edit.phrase != "", text
    return found


def exchanged(text: str) -> str:
    """Left for right and right for left, also in short forms and under stray accents."""
    out, at = "", 0
    for word in split(text):
        out += text[at : word.start] + OTHER_SIDE.get(word.norm, text[word.start : word.end])
        at = word.end
    return out + text[at:]


def sided(found: ParsedPrompt, *, other: bool = False) -> set[tuple[object, ...]]:
    """What is asked, with the sides as they are or exchanged."""
    turn = {"left": "right", "right": "left"} if other else {}
    return {
        (e.finding, e.direction, turn.get(str(e.side), e.side), e.zone, e.severity)
        for e in found.findings
    }


def check_sides(text: str) -> int:
    """1 if both prompts are read, and then as mirror images."""
    if ONE_SIDED.search(normalise(text)):
        return 0
    here, there = parsed(text), parsed(exchanged(text))
    if here is None or there is None:
        return 0
    assert sided(here) == sided(there, other=True), text
    return 1


def check_negation(text: str, negation: str) -> int:
    """1 if both prompts are read: the first finding is then negated, or was and no longer is."""
    here = parsed(text)
    if here is None:
        return 0
    before = marks(text[: here.findings[0].span[0]])
    if any(m.kind in ("boundary", "generic") for m in before):
        return 0  # the negation belongs to another sentence
    there = parsed(negation + text)
    if there is None:
        return 0
    first = here.findings[0]
    after = [e for e in there.findings if e.span[0] == first.span[0] + len(negation)]
    assert after, text
    added = [e for e in after if e.direction != "remove"]
    assert not added or first.direction == "remove", negation + text
    assert added or first.direction != "remove" or here.findings[0].severity is None, text
    return 1


@pytest.mark.parametrize("part", range(4))
def test_mutated_prompts_are_read_or_refused_and_keep_their_sides(part: int) -> None:
    rng = random.Random(part)
    read = [mutated(rng) for _ in range(examples(250))]
    mirrored = sum(check_sides(text) for text in read)
    assert mirrored > len(read) / 50  # the relation was put to the test


@pytest.mark.parametrize("negation", NEGATIONS)
def test_a_negation_before_a_prompt_negates_its_first_finding(negation: str) -> None:
    rng = random.Random(len(negation))
    texts = [*PROMPTS, *(mutated(rng) for _ in range(examples(100)))]
    assert sum(check_negation(text, negation) for text in texts) > 3


@pytest.mark.parametrize("text", PROMPTS)
def test_every_prompt_of_the_table_has_its_mirror_image(text: str) -> None:
    check_sides(text)
