# SPDX-License-Identifier: Apache-2.0
"""What a census asks: findings or prompts in, texts with the groups of their tokens out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from monai_cxr_cf.diffusion.attention.groups import token_groups
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.findings import get
from monai_cxr_cf.prompts.parse import parse_prompt
from monai_cxr_cf.prompts.tokens import token_table
from monai_cxr_cf.request import FindingEdit

# Of each finding one prompt as users type it, one as reports put it, with an organ's name.
PROMPTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "cardiomegaly": ("moderate cardiomegaly", "the heart is severely enlarged"),
        "pleural effusion": (
            "moderate left pleural effusion",
            "there is a large right pleural effusion in the right lung",
        ),
        "consolidation": (
            "left lower lobe consolidation",
            "there is dense consolidation in the right lower lung",
        ),
        "pulmonary edema": (
            "moderate pulmonary edema",
            "there is mild pulmonary edema in both lungs",
        ),
    }
)


@dataclass(frozen=True)
class Asked:
    """One prompt of a census."""

    finding: str  # canonical; several are joined by " and "
    text: str
    edits: tuple[FindingEdit, ...]

    def groups(self, tokenizer: Any) -> dict[str, tuple[int, ...]]:
        """Group -> positions of its tokens."""
        table = token_table(tokenizer, self.text, self.edits)
        return token_groups(
            eos=table.eos,
            finding={k for tokens in table.finding_tokens for k in tokens},
            organ=table.anatomy_tokens,
            modifier=table.modifier_tokens,
            length=len(table.ids),
        )


def asked_for(findings: Sequence[str] = (), prompts: Sequence[str] = ()) -> tuple[Asked, ...]:
    """The prompts of some findings (all of ``PROMPTS`` by default), or the user's own instead.

    Raises:
        BadRequest: an unknown finding, one without prompts, or a prompt that does not only add.
    """
    if prompts:
        return tuple(dict.fromkeys(_asked(text) for text in prompts))
    names = [get(name).name for name in findings] or list(PROMPTS)
    for name in names:
        if name not in PROMPTS:
            raise BadRequest(
                f"The census has no prompts for '{name}'; it has some for {', '.join(PROMPTS)}.",
                hint=f'Say them yourself: --prompts "left {name}".',
            )
    return tuple(_asked(text) for name in dict.fromkeys(names) for text in PROMPTS[name])


def _asked(text: str) -> Asked:
    parsed = parse_prompt(text)
    if parsed.mode != "add":
        raise BadRequest(
            "A prompt of the census removes a finding; expected one that only adds.",
            hint='For example "moderate left pleural effusion".',
        )
    names = dict.fromkeys(edit.finding for edit in parsed.findings)
    return Asked(" and ".join(names), text, parsed.findings)
