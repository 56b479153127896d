# SPDX-License-Identifier: Apache-2.0
"""A prompt in, its text-encoder states out: what the UNet's cross-attention reads."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.recall import recalled
from monai_cxr_cf.diffusion.task import PROMPT_TOKENS, EditTask


def encode_text(backbone: Backbone, text: str) -> Tensor:
    """c(y): (1, 77, C) last hidden states in the UNet's dtype; text beyond 77 tokens is cut."""
    encoded = _tokens(backbone.tokenizer, text)
    ids = torch.tensor([encoded["input_ids"]], device=backbone.device)

    def states() -> Tensor:
        with torch.no_grad():
            found: Tensor = backbone.text_encoder(ids).last_hidden_state
        return found

    return recalled(backbone, "text", (ids,), states).to(backbone.dtype)


def said_in(backbone: Backbone, text: str, other: str, positions: Sequence[int]) -> tuple[int, ...]:
    """Positions in a text of the pieces that stand at some positions of another text."""
    there = _tokens(backbone.tokenizer, other)["input_ids"]
    wanted = {there[k] for k in positions}
    here = _tokens(backbone.tokenizer, text)["input_ids"]
    return tuple(k for k, piece in enumerate(here) if piece in wanted)


def end_of(backbone: Backbone, text: str) -> int:
    """Position of the end token that closes a text; padding follows it."""
    ids = _tokens(backbone.tokenizer, text)["input_ids"]
    return _end(backbone, backbone.tokenizer.convert_ids_to_tokens(ids))


def _end(backbone: Backbone, pieces: list[str]) -> int:
    return next((k for k, p in enumerate(pieces) if k and p == backbone.tokenizer.eos_token), 76)


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
    encoded = _tokens(backbone.tokenizer, text)
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


def _tokens(tokenizer: Any, text: str) -> Any:
    return tokenizer(
        text,
        padding="max_length",
        max_length=PROMPT_TOKENS,
        truncation=True,
        return_offsets_mapping=True,
    )
