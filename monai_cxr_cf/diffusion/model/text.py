# SPDX-License-Identifier: Apache-2.0
"""A prompt in, its text-encoder states out: what the UNet's cross-attention reads."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.recall import recalled
from monai_cxr_cf.diffusion.task import PROMPT_TOKENS, EditTask
from monai_cxr_cf.errors import BadRequest


def encode_text(backbone: Backbone, text: str) -> Tensor:
    """c(y): (1, L, C) last hidden states in the UNet's dtype; text beyond L tokens is cut."""
    encoded = _tokens(backbone, text)
    ids = torch.tensor([encoded["input_ids"]], device=backbone.device)

    def states() -> Tensor:
        with torch.no_grad():
            found: Tensor = backbone.text_encoder(ids).last_hidden_state
        return found

    return recalled(backbone, "text", (ids,), states).to(backbone.dtype)


def said_in(backbone: Backbone, text: str, other: str, positions: Sequence[int]) -> tuple[int, ...]:
    """Positions in a text of the pieces that stand at some positions of another text."""
    there = _tokens(backbone, other)["input_ids"]
    wanted = {there[k] for k in positions}
    here = _tokens(backbone, text)["input_ids"]
    return tuple(k for k, piece in enumerate(here) if piece in wanted)


def end_of(backbone: Backbone, text: str) -> int:
    """Position of the end token that closes a text; padding follows it."""
    ids = _tokens(backbone, text)["input_ids"]
    return _end(backbone, backbone.tokenizer.convert_ids_to_tokens(ids))


def _end(backbone: Backbone, pieces: list[str]) -> int:
    end = backbone.tokenizer.eos_token or backbone.tokenizer.sep_token
    return next((k for k, p in enumerate(pieces) if k and p == end), backbone.positions - 1)


def token_table(
    backbone: Backbone, task: EditTask, findings: Sequence[str]
) -> list[dict[str, Any]]:
    """Every token of the target prompt that is no padding: position, piece, span, set.

    Sets: the finding's name (K_path), ``organ:<name>`` (K_anat), ``special``, or empty. A negative
    prompt follows with ``prompt: negative``, then, with ``prompt: own``, each text that a finding
    has of its own; ``finding`` says whose, as ``findings`` calls the targets.
    """
    rows = []
    for where, text in (("prompt", task.prompt), ("negative", task.negative_prompt)):
        sets = {k: f"organ:{v}" for k, v in task.organ_tokens.items()} if where == "prompt" else {}
        sets |= {k: t.name for t in task.targets if t.where == where for k in t.tokens}
        rows += _table(backbone, text, sets, prompt=where) if text or where == "prompt" else []
    for name, target in zip(findings, task.targets, strict=True):
        own = target.words
        if own is not None:
            sets = {k: f"organ:{v}" for k, v in own.organ_tokens.items()}
            sets |= dict.fromkeys(own.tokens, target.name)
            rows += _table(backbone, own.text, sets, prompt="own", finding=name)
    return rows


def _table(
    backbone: Backbone, text: str, named: Mapping[int, str], **about: str
) -> list[dict[str, Any]]:
    encoded = _tokens(backbone, text)
    pieces = backbone.tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    end = _end(backbone, pieces)
    sets = {0: "special", end: "special", **named}
    spans = encoded["offset_mapping"]
    return [
        {
            **about,
            "position": k,
            "piece": pieces[k],
            "span": list(spans[k]),
            "set": sets.get(k, ""),
        }
        for k in range(end + 1)
    ]


def check_words(backbone: Backbone, task: EditTask, *, dense: bool | None = None) -> None:
    """BadRequest for a word beyond the positions, or a law that counts in CLIP's on another.

    ``dense``: whether our laws run, with the dense gate; None for another method.
    """
    several = dense is not None and bool(task.texts or dense)
    if several and backbone.positions != PROMPT_TOKENS:
        raise BadRequest(
            f"'{backbone.name}' reads {backbone.positions} tokens; findings with texts of their "
            f"own and the dense gate count in CLIP's {PROMPT_TOKENS}.",
            hint="Set tokens.regional_prompt=false, or another gate.mode.",
        )
    for target in task.targets:
        own = () if target.words is None else target.words.tokens
        if max((*target.tokens, *own), default=0) >= backbone.positions:
            raise BadRequest(
                f"A word of '{target.name}' lies beyond the {backbone.positions} tokens of the "
                "prompt.",
                hint="Shorten the prompt.",
            )


def _tokens(backbone: Backbone, text: str) -> Any:
    return backbone.tokenizer(
        text,
        padding="max_length",
        max_length=backbone.positions,
        truncation=True,
        return_offsets_mapping=True,
    )
