# SPDX-License-Identifier: Apache-2.0
"""A text with finding spans and a tokenizer in, token positions out: K_path, K_anat, EOS and PAD.

Positions come from character offsets, never from word counts (a medical word has several pieces).
Used by the engine for the text it encodes; the tokenizer is passed in, so nothing heavy is loaded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.prompts.scan import marks
from monai_cxr_cf.prompts.words import lexicon, phrase, split
from monai_cxr_cf.request import FindingEdit

LENGTH, LONGEST = 77, 128  # positions of CLIP in Stable Diffusion v1, and of a BERT
MODIFIERS = ("side", "zone", "severity")  # kinds of words that say where and how much
Span = tuple[int, int]

# Words for organs (K_anat); "lungs" stands for both, a side word before it narrows it.
ANATOMY_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "lung": "lungs",
        "lungs": "lungs",
        "hemithorax": "lungs",
        "heart": "heart",
        "cardiac silhouette": "heart",
        "cardiac": "heart",
    }
)


@dataclass(frozen=True)
class TokenTable:
    """Which position of the encoded prompt stands for what; positions are 0 .. length - 1."""

    ids: tuple[int, ...]  # what the text encoder gets: BOS, pieces, EOS, PAD ...
    spans: tuple[Span, ...]  # characters of the original text; (0, 0) for specials
    finding_tokens: tuple[tuple[int, ...], ...]  # K_path, one tuple per finding, in their order
    anatomy_tokens: Mapping[int, str]  # K_anat: position -> right_lung, left_lung, lungs, heart
    eos: int  # position of the end token that closes the text
    pads: tuple[int, ...]
    truncated: str  # the end of the text that did not fit; "" if all did
    modifier_tokens: tuple[int, ...] = ()  # side, zone and severity words outside the sets above

    @property
    def special_tokens(self) -> tuple[int, ...]:
        """EOS and PAD positions: they carry the prompt without a place (docs/method.md 2.3)."""
        return (self.eos, *self.pads)


def token_table(
    tokenizer: Any,
    text: str,
    findings: Sequence[FindingEdit] = (),
    *,
    anatomy_words: Mapping[str, str] = ANATOMY_WORDS,
) -> TokenTable:
    """Token positions of findings and organ words in a prompt.

    Args:
        tokenizer: a transformers tokenizer with character offsets ("fast").
        text: exactly the text that is encoded.
        findings: entries whose ``span`` are positions in ``text``.
        anatomy_words: word or phrase -> organ.

    Raises:
        ComponentMissing: the tokenizer has no character offsets.
        BadRequest: a finding has no span or no token, or truncation would cut it.
    """
    ids, spans = _encode(tokenizer, text)
    length, bos, end, pad = _specials(tokenizer)
    kept = min(len(ids), length - 2)
    chosen = tuple(_tokens_of(finding, text, spans, kept) for finding in findings)
    path = {k for tokens in chosen for k in tokens}
    anatomy = _anatomy(text, spans[:kept], anatomy_words)
    modifiers = _modifiers(text, spans[:kept])
    n_pad = length - kept - 2
    full = [bos, *ids[:kept], end, *([pad] * n_pad)]
    return TokenTable(
        ids=tuple(full),
        spans=((0, 0), *spans[:kept], *([(0, 0)] * (n_pad + 1))),
        finding_tokens=chosen,
        anatomy_tokens={k: v for k, v in anatomy.items() if k not in path},
        eos=kept + 1,
        pads=tuple(range(kept + 2, length)),
        truncated=text[spans[kept][0] :] if kept < len(ids) else "",
        modifier_tokens=tuple(k for k in modifiers if k not in path and k not in anatomy),
    )


def _specials(tokenizer: Any) -> tuple[int, int, int, int]:
    """Positions of a prompt, and the ids of its first and end token and of padding."""
    first, end, most = tokenizer.bos_token_id, tokenizer.eos_token_id, LENGTH
    if first is None:  # a BERT begins with [CLS] and ends with [SEP]
        first, end, most = tokenizer.cls_token_id, tokenizer.sep_token_id, LONGEST
    pad = end if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return min(most, int(tokenizer.model_max_length)), first, end, pad


def _encode(tokenizer: Any, text: str) -> tuple[list[int], list[Span]]:
    """Piece ids and character spans without specials, not truncated."""
    if not getattr(tokenizer, "is_fast", False):
        raise ComponentMissing(
            f"The tokenizer {type(tokenizer).__name__} gives no character offsets, so finding "
            "words cannot be located.",
            hint="Load the backbone's tokenizer as a fast one (tokenizer.json, or vocab.json with "
            "merges.txt) with transformers' AutoTokenizer.",
        )
    encoded = tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
    )
    return list(encoded["input_ids"]), [(int(a), int(b)) for a, b in encoded["offset_mapping"]]


def _meets(a: Span, b: Span) -> bool:
    """True if two half-open character spans share a character; empty spans share none."""
    return max(a[0], b[0]) < min(a[1], b[1])


def _tokens_of(
    finding: FindingEdit, text: str, spans: Sequence[Span], kept: int
) -> tuple[int, ...]:
    """K_path of one finding: positions (BOS counted) of pieces that meet its span."""
    if finding.span is None or not 0 <= finding.span[0] < finding.span[1] <= len(text):
        raise BadRequest(
            f"The finding {finding.finding} has no place in the text to encode.",
            hint="Let prompt_from_findings write the text.",
        )
    found = [k for k, span in enumerate(spans) if _meets(span, finding.span)]
    if not found:
        raise BadRequest(f"The tokenizer has no piece for the words of {finding.finding}.")
    if found[-1] >= kept:
        raise BadRequest(
            f"The prompt has {len(spans)} tokens and {finding.finding} reaches past the "
            f"{kept} that fit.",
            code="prompt_too_long",
            hint="Shorten the prompt, or name the finding earlier.",
        )
    return tuple(k + 1 for k in found)


def _anatomy(text: str, spans: Sequence[Span], words: Mapping[str, str]) -> dict[int, str]:
    """Positions of organ words; the longest phrase wins, "left lung" means that lung."""
    found: dict[int, str] = {}
    sequence = split(text)
    phrases = sorted(((phrase(w), organ) for w, organ in words.items()), key=lambda p: -len(p[0]))
    for i in range(len(sequence)):
        here = next((p for p in phrases if _stands_at(sequence, i, p[0])), None)
        if here is None:
            continue
        side = sequence[i - 1].norm if i else ""
        organ = f"{side}_lung" if here[1] == "lungs" and side in ("left", "right") else here[1]
        span = (sequence[i].start, sequence[i + len(here[0]) - 1].end)
        for k, piece in enumerate(spans):
            if _meets(piece, span):
                found.setdefault(k + 1, organ)
    return found


def _modifiers(text: str, spans: Sequence[Span]) -> tuple[int, ...]:
    """Positions of words for side, zone and severity, whatever they belong to.

    A severity inside a finding's phrase ("heart is severely enlarged") has no mark of its own.
    """
    places = [(mark.start, mark.end) for mark in marks(text) if mark.kind in MODIFIERS]
    for word in split(text):
        if any(label.kind == "severity" for label in lexicon().get((word.norm,), ())):
            places.append((word.start, word.end))
    return tuple(k + 1 for k, piece in enumerate(spans) if any(_meets(piece, p) for p in places))


def _stands_at(sequence: Sequence[Any], i: int, words: tuple[str, ...]) -> bool:
    return tuple(w.norm for w in sequence[i : i + len(words)]) == words
