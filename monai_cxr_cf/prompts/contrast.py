# SPDX-License-Identifier: Apache-2.0
"""Items in, the same items with contrasts taken apart: "no left but a right effusion" becomes two.

Where some parts of one finding's words are negated and others are not, the negation belongs to its
part alone. Two forms are read: parts that differ in their side (one is removed, the other added)
and parts that differ in their degree (the negated one says nothing). Every other form is refused.
"""

from collections.abc import Sequence
from itertools import pairwise

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.scan import CONTRAST, Item, Mark
from monai_cxr_cf.prompts.segments import NEGATIONS, Segment, flat, segments

_SIDES = frozenset({"left", "right"})


def unclear(name: str) -> BadRequest:
    """What is said where a negation may belong to one part of the words or to all."""
    return BadRequest(
        f"It is unclear which words about {name} the negation belongs to.",
        code="ambiguous_prompt",
        hint="Name the finding each time: 'no left effusion, but a right effusion'.",
    )


def apart(items: Sequence[Item]) -> list[Item]:
    """Every item, in order; one with a contrast gives one or two without."""
    out: list[Item] = []
    for item in items:
        out += _apart(item) if item.mark.kind == "finding" else [item]
    return out


def _apart(item: Item) -> list[Item]:
    pre = [s for s in segments(item.pre) if s.weighty]
    post = [s for s in segments(item.post) if s.weighty]
    _refuse_bare(item)
    _refuse_split_change(item, pre, post)
    if _each(pre) and not post:
        return _split(item, pre)
    if len([s for s in (*pre, *post) if s.of("severity") and not s.verbs]) > 1:
        raise BadRequest(
            f"The prompt names two degrees of {item.mark.value[0]}.",
            code="ambiguous_prompt",
            hint="Give each its own finding: 'small left effusion and large right effusion'.",
        )
    if _shared(pre):
        item.pre = flat([_without_verbs(s) if k else s for k, s in enumerate(pre)])
    elif any(s.negative for s in pre) and not all(s.negative for s in pre) and not _listed(pre):
        return _pre_contrast(item, pre)
    negative = _negated(item, pre, post)
    later = [s for s in post if s.joint]
    if any(s.negative for s in later):
        if negative:
            raise unclear(item.mark.value[0])
        return _post_contrast(item, pre, post)
    if negative and any(not s.verbs and "or" not in s.joint for s in later):
        raise unclear(item.mark.value[0])  # "no effusion on the left, right"
    return [item]


def _negated(item: Item, pre: Sequence[Segment], post: Sequence[Segment]) -> bool:
    near = [s for s in (*pre, *(p for p in post if not p.joint)) if s.negative]
    return bool(near) or item.mark.value[1] == "negate"


def _refuse_bare(item: Item) -> None:
    """ "No, effusion": an answer, or a negation?"""
    for part, after in pairwise(segments(item.pre)):
        last = part.marks[-1]
        if last.kind == "operator" and last.value in NEGATIONS and "comma" in after.joint:
            raise unclear(item.mark.value[0])


def _refuse_split_change(item: Item, pre: list[Segment], post: list[Segment]) -> None:
    """ "New left and resolved right effusion": a change that only one of several places has.

    A change before the first place holds for all of them: "decreasing left and right effusions".
    """
    placed = [s for s in (*pre, *post) if s.kinds & {"side", "zone"}]
    changed = [bool(set(s.verbs) - NEGATIONS - {"add"}) for s in placed]
    if len(placed) < 2 or not any(changed):
        return
    first = pre[:1] == placed[:1] and changed[0] and not any(changed[1:])
    new = any(
        m.value in ("new", "newly", "now") or m.kind == "seen" for s in placed for m in s.marks
    )
    if not first or new or any(s.negative for s in placed):
        raise BadRequest(
            f"It is unclear which place of {item.mark.value[0]} is to change.",
            code="ambiguous_prompt",
            hint="Name the finding for each: 'no left effusion, but a right effusion'.",
        )


def _shared(pre: Sequence[Segment]) -> bool:
    """ "Neither left nor right", "no left and no right": one negation in each part."""
    return len(pre) > 1 and all(s.negative and len(s.verbs) == 1 for s in pre)


def _each(pre: Sequence[Segment]) -> bool:
    """ "Small left and large right": a degree and a side of its own in each part."""
    sides = [s.sides for s in pre]
    own = all(len(side) == 1 for side in sides) and len({*map(frozenset, sides)}) == len(pre)
    zones = {bool(s.of("zone")) for s in pre}
    return len(pre) > 1 and own and len(zones) == 1 and all(
        s.of("severity") and not s.verbs and "or" not in s.joint for s in pre
    )  # fmt: skip


def _split(item: Item, pre: Sequence[Segment]) -> list[Item]:
    joiners = [item.joiner, *[frozenset({"and"})] * (len(pre) - 1)]
    return [Item(item.mark, j, list(s.marks)) for j, s in zip(joiners, pre, strict=True)]


def _listed(pre: Sequence[Segment]) -> bool:
    """ "No left or right": the first negation holds for the whole list."""
    rest = pre[1:]
    return pre[0].negative and all("or" in s.joint and not s.verbs for s in rest)


def _without_verbs(part: Segment) -> Segment:
    return Segment(part.joint, tuple(m for m in part.marks if m.kind != "operator"))


def _pre_contrast(item: Item, pre: list[Segment]) -> list[Item]:
    """Parts before the finding, some negated, some not."""
    for a, b in pairwise(pre):
        if a.negative and not b.negative and not (b.joint & CONTRAST):
            raise unclear(item.mark.value[0])  # "no left and right effusion"
    no = [s for s in pre if s.negative]
    yes = [s for s in pre if not s.negative]
    if all(len(s.verbs) == 1 for s in no):
        if all(s.kinds == {"side"} for s in no) and all("side" in s.kinds for s in yes):
            return _two(item, yes, no, item.post)
        if all(s.kinds == {"severity"} for s in no) and all("severity" in s.kinds for s in yes):
            return [_restated(item, yes, item.post)]
    raise unclear(item.mark.value[0])


def _post_contrast(item: Item, pre: list[Segment], post: list[Segment]) -> list[Item]:
    """ "Right effusion, not left": the finding, then parts that are negated."""
    no = [s for s in post if s.negative and s.joint]
    yes = [s for s in post if s not in no]
    if not all(s.kinds == {"side"} and len(s.verbs) == 1 for s in no):
        raise unclear(item.mark.value[0])
    return _two(item, pre, no, flat(yes))


def _two(
    item: Item, yes: Sequence[Segment], no: Sequence[Segment], post: Sequence[Mark]
) -> list[Item]:
    """The finding on the stated sides and, as an item of its own, its absence on the others."""
    stated = {s for part in (*yes, *segments(post)) for s in part.sides}
    absent = {s for part in no for s in part.sides}
    if not stated or not (stated | absent) <= _SIDES or stated & absent:
        raise unclear(item.mark.value[0])
    first = _restated(item, yes, post)
    verbs = [m for m in no[0].marks if m.kind == "operator"][:1]
    sides = [m for part in no for m in part.marks if m.kind == "side"]
    second = Item(item.mark, frozenset({"boundary"}), [*verbs, *sides], [], contrast=True)
    return [first, second]


def _restated(item: Item, yes: Sequence[Segment], post: Sequence[Mark]) -> Item:
    parts = [Segment(s.joint - CONTRAST, s.marks) if k else Segment(frozenset(), s.marks)
             for k, s in enumerate(yes)]  # fmt: skip
    return Item(item.mark, item.joiner, flat(parts), list(post), contrast=True)
