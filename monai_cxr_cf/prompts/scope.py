# SPDX-License-Identifier: Apache-2.0
"""Items in, what should happen to each: negation and change words with their reach over lists.

Second part of the parser. "No effusion or pneumothorax" negates both; "no effusion, moderate
cardiomegaly" only the first; "remove the effusion and the nodule" removes both. Two negations of
one finding, and a reach that can be read both ways, are refused, not guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.scan import Item
from monai_cxr_cf.prompts.segments import NEGATIONS, segments

DIRECTION = {"not": "remove", "negate": "remove", "without": "remove", "instead": "remove",
             "gone": "remove", "remove": "remove", "decrease": "remove", "worsen": "change",
             "stays": "stays"}  # fmt: skip
_PLURAL_VERBS = ("have", "are", "were")
_SINGULAR_VERBS = ("has", "is", "was")
_DEGREES = ("decrease", "worsen")
_ATTACHED = frozenset({"with", "as"})  # "with", and "representing", "suspicious for"
_ABSENT = (*NEGATIONS, "gone")
# Changes that such a negation may deny instead of the finding: "remove A without B".
_DENIABLE = {
    "without": frozenset({"remove"}),
    "not": frozenset({"remove", "gone", "add", *_DEGREES}),
    "instead": frozenset({"remove", "gone", "add", *_DEGREES}),
}
PARTIAL = 0.5  # share removed when a prompt only says "improved"


@dataclass(frozen=True)
class Action:
    """What happens to one item: direction and how strongly (None: not said)."""

    direction: str  # add, remove, change, stays
    severity: float | None


def actions(items: Sequence[Item], *, strict: bool = True) -> list[Action]:
    """One action per item, in order; BadRequest for prompts that can be read both ways.

    ``strict=False`` (reports): an unclear reach ends instead of being refused.
    """
    verbs: list[str | None] = []
    active: str | None = None
    for k, item in enumerate(items):
        own = [m.value for m in item.pre if m.kind == "operator"]
        inherited = active is not None and _reaches(items, k, active, own, strict=strict)
        if strict:
            _refuse_reach_of_not(item)
            _refuse_change_of_place(item)
            _refuse_lost_wish(items, k)
        if own:
            listed = active in NEGATIONS and "or" in item.joiner and not set(own) & NEGATIONS
            chain = [active, *own] if listed and inherited else own
        else:
            chain = [active] if inherited else []
        active = _one([v for v in chain if v], item)
        after = _after(item)
        verbs.append(_one([v for v in (active, _meant(item), *after) if v], item))
        if after:
            _spread_back(items, verbs, k, strict=strict)
        if strict and verbs[k] not in _ABSENT:
            _refuse_or(item)
    return [_action(item, verb) for item, verb in zip(items, verbs, strict=True)]


def _meant(item: Item) -> str | None:
    if item.mark.kind != "finding" or item.mark.value[1] == "plain":
        return None
    return str(item.mark.value[1])


def _after(item: Item) -> list[str]:
    return [m.value for m in item.post if m.kind == "operator"]


def _one(verbs: Sequence[str], item: Item) -> str | None:
    """The one operator that several of one finding come to; BadRequest if they are at odds.

    "Add" and "show" only introduce another one; "not resolved" says that the finding stays; every
    other negation of an operator, and two negations, can be read in more than one way.
    """
    said = list(verbs)
    if "show" in said and not NEGATIONS & set(said[: said.index("show")]):
        said.remove("show")
    if said[:1] == ["add"] and (len(said) == 1 or set(said[1:]) == {"worsen"}):
        said = said[1:] or said
    if len(said) <= 1:
        return said[0] if said else None
    if set(said) in ({"decrease"}, {"worsen"}):
        return said[0]
    if set(said[1:]) == {"gone"} and said[0] in NEGATIONS:
        return "stays"
    name = item.mark.value[0] if item.mark.kind == "finding" else "what it names"
    raise BadRequest(
        f"The prompt says two things at once of {name}: {_words(said)}.",
        code="ambiguous_prompt",
        hint="Say one thing per finding: 'no X', 'worse X' or 'improved X'.",
    )


def _words(verbs: Sequence[str]) -> str:
    names = {"negate": "no", "gone": "resolved", "decrease": "less", "worsen": "more"}
    return " and ".join(f"'{names.get(v, v)}'" for v in verbs)


def _unclear(message: str) -> BadRequest:
    return BadRequest(
        message,
        code="ambiguous_prompt",
        hint="Write 'no X or Y' for both, or 'no X, but Y' for the first only.",
    )


def _reaches(
    items: Sequence[Item], k: int, active: str, own: Sequence[str], *, strict: bool
) -> bool:
    """Does the operator of an earlier item still hold for item ``k``?"""
    item = items[k]
    if "boundary" in item.joiner or active in ("add", "show", "stays"):
        return False
    if own:
        return "or" in item.joiner
    if strict:
        return _reaches_strictly(items, k, active)
    if active in ("remove", "gone") and items[k - 1].mark.kind == "look_alikes":
        return False  # "removal of the chest tube, small pneumothorax"
    if "or" in item.joiner or active == "remove":
        return True
    if item.joiner & _ATTACHED:
        return "as" in item.joiner and active in NEGATIONS  # "no opacity suggesting pneumonia"
    if _or_ahead(items, k):
        return True
    return not any(m.kind in ("severity", "articles", "side", "zone") for m in item.pre)


def _reaches_strictly(items: Sequence[Item], k: int, active: str) -> bool:
    item = items[k]
    kinds = {m.kind for m in item.pre}
    if not item.joiner or (item.joiner & _ATTACHED and active != "worsen"):
        raise _unclear("It is unclear how far the first word of the list reaches.")
    if item.joiner & _ATTACHED:
        return False
    if "or" in item.joiner and active not in _ABSENT:
        raise BadRequest(
            "'Or' leaves open which finding should change.",
            code="ambiguous_prompt",
            hint="Write 'and' for both, or name one.",
        )
    if "or" in item.joiner or (active in _ABSENT and _or_ahead(items, k)):
        return True
    if active == "remove":
        if "comma" in item.joiner and "and" not in item.joiner and kinds & {"severity", "articles"}:
            raise _unclear("It is unclear whether 'remove' holds for the rest of the list too.")
        return True
    if kinds & {"severity", "articles"}:
        return False
    if kinds & {"side", "zone"} or active in _ABSENT:
        raise _unclear("It is unclear whether the first word of the list holds for the rest too.")
    return True


def _refuse_or(item: Item) -> None:
    """ "Left or right effusion" leaves open which; only an absence may be of either."""
    for part in (*segments(item.pre), *segments(item.post)):
        if "or" in part.joint and part.weighty and item.mark.kind == "finding":
            raise BadRequest(
                f"'Or' leaves open where or how much {item.mark.value[0]} there should be.",
                code="ambiguous_prompt",
                hint="Write 'and' for both, or name one.",
            )


def _or_ahead(items: Sequence[Item], k: int) -> bool:
    """True if the list that item ``k`` stands in ends with "or"."""
    for item in items[k + 1 :]:
        if "boundary" in item.joiner or any(m.kind == "operator" for m in item.pre):
            return False
        if "or" in item.joiner:
            return True
    return False


def _refuse_reach_of_not(item: Item) -> None:
    """ "Not" denies what stands next to it: "effusion is not large" does not deny the effusion."""
    if item.contrast:
        return
    for marks, before in ((item.pre, True), (item.post, False)):
        for k, mark in enumerate(marks):
            if mark.kind != "operator" or mark.value not in NEGATIONS:
                continue
            if before and any(m.kind == "severity" for m in marks[:k]):
                raise _unclear("A degree stands before a negation: 'mild no effusion'.")
            if mark.forward and before:
                continue
            rest = [m.kind for m in marks[k + 1 :] if m.kind not in ("fillers", "articles")]
            weak = {"severity", "descriptors"} | ({"side", "zone"} if before else set())
            near = before or not rest or rest[0] in ("seen", "operator")
            lost = mark.value in ("without", "instead")  # "pneumothorax without tension"
            reach = weak & set(rest) and (mark.value == "not" or not before)
            if lost or reach or (mark.value == "not" and not near):
                raise _unclear("It is unclear what 'not' denies: the finding, or a word about it.")


def _refuse_change_of_place(item: Item) -> None:
    """ "Edema, worse on the right" compares two sides, or two times."""
    for part in segments(item.post):
        change = [k for k, m in enumerate(part.marks) if m.value in _DEGREES]
        if change and any(m.kind in ("side", "zone") for m in part.marks[change[0] :]):
            raise BadRequest(
                "It is unclear whether two sides are compared, or one is to change.",
                code="ambiguous_prompt",
                hint="Put side and change before the finding: 'worsening right edema'.",
            )


def _refuse_lost_wish(items: Sequence[Item], k: int) -> None:
    """ "Remove the nodule but not the effusion": "not" may deny the finding or the removal."""
    verbs = [m.value for m in items[k].pre if m.kind == "operator"]
    if _ends_with_not(items[k]) and any(_changes(i) for i in items):
        raise _unclear("It is unclear what the 'not' after a finding denies.")
    if not verbs or not set(verbs) <= NEGATIONS or items[k].contrast:
        return
    sentence = []
    for a, b in pairwise(reversed(items[: k + 1])):
        if a.joiner & {".", ";", "\n"}:
            break
        sentence.append(b)
    wishes = {m.value for i in sentence for m in i.own("operator")}
    if wishes & _DENIABLE.get(verbs[0], frozenset()):
        raise _unclear("It is unclear whether the negation denies a finding or the change itself.")


def _ends_with_not(item: Item) -> bool:
    """ "Edema worse, effusion not": nothing of its own stands after the "not"."""
    operators = [k for k, m in enumerate(item.post) if m.kind == "operator"]
    if not operators or item.post[operators[-1]].value != "not":
        return False
    return not any(m.kind in ("seen", "articles") for m in item.post[operators[-1] :])


def _changes(item: Item) -> bool:
    return any(m.value not in NEGATIONS for m in item.own("operator"))


def _spread_back(items: Sequence[Item], verbs: list[str | None], k: int, *, strict: bool) -> None:
    """ "Effusion and edema have resolved": the verb holds for the whole group before it."""
    copulas = {m.value for m in items[k].post if m.kind == "prepositions"}
    if copulas & set(_PLURAL_VERBS):
        while k > 0 and items[k].joiner & {"and", "comma", "or"} and verbs[k - 1] is None:
            if "boundary" in items[k].joiner or items[k - 1].post:
                return
            verbs[k - 1] = verbs[k]
            k -= 1
        return
    listed = (
        k > 0 and items[k].joiner & {"and", "comma", "or"} and "boundary" not in items[k].joiner
    )
    alone = copulas & set(_SINGULAR_VERBS) and "comma" in items[k].joiner
    if strict and listed and not (alone or items[k - 1].post) and verbs[k - 1] is None:
        raise _unclear("It is unclear whether the last word holds for the whole list.")


def _action(item: Item, verb: str | None) -> Action:
    direction = DIRECTION.get(verb or "add", "add")
    stated = _mean([*item.mark.inner, *(m.value for m in item.own("severity"))])
    degree = _degree(item)
    if direction in ("add", "stays"):
        return Action(direction, stated)
    if direction == "change":
        return Action("change", degree if degree is not None else stated)
    if verb == "decrease":
        if degree is None and _meant(item) == "decrease":
            degree = stated  # "slightly smaller heart"
        return Action("remove", PARTIAL if degree is None else degree)
    return Action("remove", degree if degree is not None and degree < 1 else None)


def _degree(item: Item) -> float | None:
    """The severity word that stands right before an operator: "slightly improved"."""
    for marks in (item.pre, item.post):
        for a, b in pairwise(marks):
            if a.kind == "severity" and b.kind == "operator" and b.value not in NEGATIONS:
                return float(a.value)
    return None


def _mean(values: Sequence[float]) -> float | None:
    """ "Small to moderate" lies between the two."""
    return round(sum(values) / len(values), 3) if values else None
