# SPDX-License-Identifier: Apache-2.0
"""Items in, what should happen to each: negation and change words with their reach over lists.

Second part of the parser. "No effusion or pneumothorax" negates both; "no effusion, moderate
cardiomegaly" only the first; "remove the effusion and the nodule" removes both. What could be
read both ways is refused, not guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.scan import Item

DIRECTION = {"negate": "remove", "remove": "remove", "decrease": "remove", "worsen": "change"}
_PLURAL_VERBS = ("have", "are", "were")
PARTIAL = 0.5  # share removed when a prompt only says "improved"


@dataclass(frozen=True)
class Action:
    """What happens to one item: direction and how strongly (None: not said)."""

    direction: str  # add, remove, change
    severity: float | None


def actions(items: Sequence[Item], *, strict: bool = True) -> list[Action]:
    """One action per item, in order; BadRequest for prompts that can be read both ways.

    ``strict=False`` (reports): an unclear reach ends instead of being refused.
    """
    verbs: list[str | None] = []
    active: str | None = None
    for k, item in enumerate(items):
        said = _combine([m.value for m in item.pre if m.kind == "operator"])
        if said is not None:
            active = said
        elif active is not None and not _reaches(items, k, active, strict=strict):
            active = None
        verbs.append(_combine([active, _meant(item), *_after(item)]))
        if any(m.value in _PLURAL_VERBS for m in item.post) and _after(item):
            _spread_back(items, verbs, k)
    return [_action(item, verb) for item, verb in zip(items, verbs, strict=True)]


def _meant(item: Item) -> str | None:
    if item.mark.kind != "finding" or item.mark.value[1] == "plain":
        return None
    return str(item.mark.value[1])


def _after(item: Item) -> list[str]:
    return [m.value for m in item.post if m.kind == "operator"]


def _combine(verbs: Sequence[str | None]) -> str | None:
    """One operator of several; "add" gives way, "not" makes another one unclear."""
    said = {v for v in verbs if v is not None}
    if len(said) > 1:
        said.discard("add")
    if said == {"negate", "remove"}:
        return "remove"
    if len(said) > 1:
        raise BadRequest(
            f"The prompt asks for {' and '.join(sorted(said))} of one finding at once.",
            code="ambiguous_prompt",
            hint="Say one thing per finding: 'no X', 'worse X' or 'improved X'.",
        )
    return said.pop() if said else None


def _reaches(items: Sequence[Item], k: int, active: str, *, strict: bool) -> bool:
    """Does the operator of an earlier item still hold for item ``k``?"""
    item = items[k]
    if "boundary" in item.joiner:
        return False
    if "or" in item.joiner or active == "remove":
        return True
    if "with" in item.joiner:
        return False
    if _or_ahead(items, k):
        return True
    if any(m.kind in ("severity", "articles") for m in item.pre):
        return False
    if any(m.kind in ("side", "zone") for m in item.pre):
        if active == "add" or not strict:
            return False
        raise BadRequest(
            "It is unclear whether the first word of the list holds for its later findings too.",
            code="ambiguous_prompt",
            hint="Write 'no X or Y' for both, or 'no X, but Y' for the first only.",
        )
    return True


def _or_ahead(items: Sequence[Item], k: int) -> bool:
    """True if the list that item ``k`` stands in ends with "or"."""
    for item in items[k + 1 :]:
        if "boundary" in item.joiner or any(m.kind == "operator" for m in item.pre):
            return False
        if "or" in item.joiner:
            return True
    return False


def _spread_back(items: Sequence[Item], verbs: list[str | None], k: int) -> None:
    """ "Effusion and edema have resolved": the verb holds for the whole group before it."""
    while k > 0 and items[k].joiner & {"and", "comma", "or"} and verbs[k - 1] is None:
        if "boundary" in items[k].joiner or items[k - 1].post:
            return
        verbs[k - 1] = verbs[k]
        k -= 1


def _action(item: Item, verb: str | None) -> Action:
    direction = DIRECTION.get(verb or "add", "add")
    stated = _mean([*item.mark.inner, *(m.value for m in item.own("severity"))])
    degree = _degree(item)
    if direction == "add":
        return Action("add", stated)
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
            if a.kind == "severity" and b.kind == "operator":
                return float(a.value)
    return None


def _mean(values: Sequence[float]) -> float | None:
    """ "Small to moderate" lies between the two."""
    return round(sum(values) / len(values), 3) if values else None
