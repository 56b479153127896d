# SPDX-License-Identifier: Apache-2.0
"""A sentence of a report in, what it says of this film out; and which words of it are hedged.

Clauses that speak of another time or of a wish (history, reason of the film, conditions) go; words
for "as before" become one word. Then each hedge ("possible", "cannot be excluded") gets its reach:
the findings that follow it in its clause, or, where none follows, those before it.
"""

import re

_CHANGE_WORDS = (
    "significant|substantial|relevant|appreciable|interval|obvious|definite|definitive|major|"
    "overall|large|considerable|gross|new|important|other|acute|notable|marked|measurable|"
    "short[- ]term|further|evidence of|real|clear|convincing|great|much|any|a|the|in"
)
_AS_BEFORE = (
    re.compile(
        rf"\b(?:no|without|little|minimal)\b(?:\s+(?:{_CHANGE_WORDS}|or))*\s+"
        r"(?:changes?|resolution|clearing|improvement)\b(?:\s+(?:in|of|to|regarding)\b)?", re.I
    ),
    re.compile(
        r"\b(?:has|have|is|are|was|were)?\s*not\s+(?:\w+ly\s+)?changed\b(?:\s+in\b)?", re.I
    ),
)  # fmt: skip
_AGAIN = re.compile(
    r"\b(?:again(?: (?:seen|noted|demonstrated))?|still|continues? to be|remains?|remaining|"
    r"persistently|stably|once more)\b",
    re.IGNORECASE,
)
_WISH = re.compile(
    r"\b(?:if(?! any\b| present\b)|whether|unless|in case of|"
    r"should (?=\w+ persist)|"
    r"when clinically|as clinically)\b.*$",
    re.IGNORECASE,
)
_CONDITION_FIRST = re.compile(
    r"^\W*(?:if(?! any\b)|should|in case of|unless|when)\b", re.IGNORECASE
)
_STOP = (
    r"(?=\s*(?:[,;.]|$|\b(?:is|are|was|were|has|have|which|that|with|without|no|none|there|but|"
    r"shows?|demonstrates?|reveals?|and no)\b))"
)
_PURPOSE = re.compile(
    r"\b(?:in place|placed|inserted|obtained|performed|done|tubes?|catheters?|drains?|pigtail|here|"
    r"sent|taken|films?|evaluat\w*|assess\w*|look\w*|check\w*|correlat\w*|search\w*|monitor\w*|"
    r"sensitiv\w*|limit\w*|treat\w*|scheduled|admitted|referred|surgery|workup|work-up) for\b"
    rf".*?{_STOP}|(?<!not )(?<!cannot )(?<!can't )(?<!difficult )(?<!difficult to )"
    r"\b(?:evaluate|assess|exclude|rule out|r/o|to evaluate|to assess|to exclude)\b"
    rf".*?{_STOP}",
    re.IGNORECASE,
)
_PAST = re.compile(
    r"\b(?:status[- ]post|s/p|after|following|prior|drainage of|evacuation of|treatment of|"
    r"treated for|history of|h/o|diagnosed with|resection of)\b(?!\s+(?:film|exam|study|x))"
    rf".*?{_STOP}",
    re.IGNORECASE,
)
# "Is no longer large" and "has failed to clear" speak of a finding that is there.
_DEGREE_ONLY = re.compile(
    r"\b(?:is|are|was|were|remains?) (?:no longer|not(?: any longer)?) (?:as |so |that |very )?"
    r"(?:large|big|small|tiny|mild|moderate|severe|massive|extensive|sizable|marked|prominent)\b"
    r"(?=\s*(?:[,;.]|$|\b(?:but|and|than|as|any)\b))",
    re.IGNORECASE,
)
_FAILED = re.compile(
    r"\b(?:(?:has|have) )?fail(?:s|ed|ing|ure)?\b([^.;]*?)"
    r"\bto (?:resolve|clear|improve|regress|disappear|respond)\b",
    re.IGNORECASE,
)
_SIGNS = (
    (
        re.compile(r"\bfail(?:s|ed|ing)? to (?:show|demonstrate|reveal|identify)\b", re.I),
        " shows no ",
    ),
    (re.compile(r"\(\s*(?:-|\u2013|\u2212|neg(?:ative)?)\s*\)", re.IGNORECASE), " is absent"),
    (re.compile(r"\(\s*(?:\+|pos(?:itive)?)\s*\)", re.IGNORECASE), " is present"),
)
_WORSE_THERE = re.compile(
    r",?\s*\b(?:worse|worst|greater|greatest|larger|most|(?:more|most) \w+) (?:on|in|at) "
    r"(?:the )?(?:left|right|bases?|upper|mid|lower)\b[^,.;]*",
    re.IGNORECASE,
)
_THEN = (
    re.compile(
        r"\bcompar\w+ (?:to|with)\b[^,.]*?\b(?:(?:show|demonstrat|reveal|document|describ)ing|"
        r"(?:which|that) (?:show|demonstrat|reveal|document|describ|had)\w*)\b[^,.]*,?",
        re.IGNORECASE,
    ),
    re.compile(r",?\s*\b(?:which|that) (?:was|were|had)\b[^,.]*,?", re.IGNORECASE),
    re.compile(
        r"\b(?:on|in)? ?(?:the )?(?:prior|previous|earlier|old|last|comparison) "
        r"(?:study|film|exam\w*|radiograph|cxr|x-?ray|image|ct)s? "
        r"(?:which |that )?(?:show|demonstrat|reveal|had|there w)\w*.*$",
        re.IGNORECASE,
    ),
)
_RETRACTED = re.compile(
    r"^\W*(?:it|this|these|those|they|none|neither)\b[^.]*"
    r"\b(?:resolved|gone|no longer|cleared|disappeared|(?:none|neither) (?:is|are|was) \w+)\b",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:possibl[ey]|possibility|probabl[ey]|likely|likelihood|unlikely|may|might|could|"
    r"questionabl[ey]|question|suspect(?:ed)?|suspicion|suspicious|concern(?:ing|s)?|worrisome|"
    r"suggest(?:s|ed|ing|ive)?|potential(?:ly)?|perhaps|presum(?:ed|ably)|equivocal|doubtful|"
    r"versus|vs|differential|considered|raises?|uncertain|indeterminate|if any|if present|"
    r"nipple|skin ?folds?|artifacts?|artefacts?|summation|"
    r"(?:can ?not|can't|could not|not|difficult to) (?:be )?(?:entirely |completely |fully )?"
    r"(?:exclude[d]?|ruled out|rule out)|"
    r"not (?:well|fully|clearly|optimally|adequately|definitely|completely) \w+)\b|\?",
    re.IGNORECASE,
)
_BOTH = ("versus", "vs", "differential", "nipple", "artifact", "artefact", "summation")
# Hedges that a "no" before them takes away with the finding: "no consolidation to suggest ...".
_NEGATABLE = ("suggest", "suspic", "concern", "worrisome", "questionabl")
_CLAUSE = re.compile(r",|;|\bbut\b|\bhowever\b|\balthough\b|\bwhile\b|\bwhereas\b", re.IGNORECASE)
_NEW_CLAUSE = re.compile(
    r"^\s*(?:and |or )?(?:a|an|the|there|no|without|stable|unchanged|moderate|mild|severe|small|"
    r"large|trace|bilateral|left|right|which|with)\b|\b(?:is|are|has|have|was|were)\b",
    re.IGNORECASE,
)


def of_this_film(sentence: str) -> str:
    """The sentence without other times and wishes; "" if nothing is left."""
    if _CONDITION_FIRST.match(sentence):
        return ""
    text = _FAILED.sub(r" unchanged \1", _DEGREE_ONLY.sub(" unchanged", sentence))
    for pattern, words in _SIGNS:
        text = pattern.sub(words, text)
    for pattern in _AS_BEFORE:
        text = pattern.sub(" unchanged ", text)
    for pattern in (*_THEN, _WORSE_THERE, _PURPOSE, _PAST, _WISH, _AGAIN):
        text = pattern.sub(" ", text)
    return " ".join(text.split())


def retracts(sentence: str) -> bool:
    """ "It has resolved": takes back what the sentence before it stated."""
    return bool(_RETRACTED.search(sentence))


def hedged(sentence: str, spans: list[tuple[int, int]], absent: list[bool]) -> list[bool]:
    """For each finding (its place in the sentence, and whether it is negated): is there a doubt?"""
    doubtful = [False] * len(spans)
    for start, stop in _clauses(sentence):
        inside = [k for k, (a, _) in enumerate(spans) if start <= a < stop]
        for hedge in _HEDGE.finditer(sentence, start, stop):
            word = hedge.group().casefold()
            after = [k for k in inside if spans[k][0] >= hedge.start()]
            for k in inside if word.startswith(_BOTH) or not after else after:
                doubtful[k] |= not (absent[k] and word.startswith(_NEGATABLE))
    return doubtful


def _clauses(sentence: str) -> list[tuple[int, int]]:
    """Clauses as places; a list goes on over its commas unless a new statement begins."""
    cuts = [0]
    for found in _CLAUSE.finditer(sentence):
        rest = _CLAUSE.split(sentence[found.end() :], maxsplit=1)[0]
        if not found.group().startswith(",") or _NEW_CLAUSE.search(rest):
            cuts.append(found.start())
    return list(zip(cuts, [*cuts[1:], len(sentence)], strict=True))
