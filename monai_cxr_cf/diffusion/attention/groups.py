# SPDX-License-Identifier: Apache-2.0
"""Positions of a prompt in, the groups of tokens that a census tells apart out.

Every position belongs to one of ``GROUPS``; ``TAIL`` is what stands behind the words, taken
together: a causal text encoder writes the whole prompt into it.
"""

from collections.abc import Collection, Mapping

from monai_cxr_cf.diffusion.task import PROMPT_TOKENS

GROUPS = ("bos", "finding", "modifier", "organ", "other", "eos", "padding")
TAIL = "eos+padding"
MEASURED = (*GROUPS, TAIL)
WORDS = {
    "bos": "start token",
    "finding": "the finding's words",
    "modifier": "side, zone, severity",
    "organ": "organ names",
    "other": "other words",
    "eos": "end token",
    "padding": "padding",
    TAIL: "end and padding together",
}
Groups = Mapping[str, tuple[int, ...]]


def token_groups(
    *,
    eos: int,
    finding: Collection[int],
    organ: Collection[int] = (),
    modifier: Collection[int] = (),
    length: int = PROMPT_TOKENS,
) -> dict[str, tuple[int, ...]]:
    """Group -> ascending positions, in the order of ``GROUPS``; a finding goes before an organ.

    Args:
        eos: position of the end token; what follows it is padding.
        finding: K_path, of all findings.
        organ: K_anat.
        modifier: words for side, zone and severity.
        length: positions of the encoded prompt.
    """
    named = {0: "bos", eos: "eos"} | dict.fromkeys(range(eos + 1, length), "padding")
    for name, positions in (("finding", finding), ("organ", organ), ("modifier", modifier)):
        for k in positions:
            named.setdefault(k, name)
    found: dict[str, tuple[int, ...]] = dict.fromkeys(GROUPS, ())
    for k in range(length):
        found[named.get(k, "other")] += (k,)
    return found


def tail(groups: Groups) -> tuple[int, ...]:
    """End and padding positions together."""
    return (*groups["eos"], *groups["padding"])
