# SPDX-License-Identifier: Apache-2.0
"""Radiology wording in; a CLIP tokenizer (own BPE) and a small CLIP text encoder out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
POSITIONS = 77
_SPLIT = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)

# Radiology wording, spaces between.
WORDS = Path(str(resources.files("monai_cxr_cf") / "training" / "recipes" / "words.txt"))


def train_tokenizer(captions: Iterable[str], out: Path, *, size: int = 2048) -> CLIPTokenizer:
    """A CLIP byte-pair tokenizer whose merges come from ``captions`` and the radiology word list.

    Lower-cased, words end in ``</w>``, character offsets known, padded to 77 with the end token.
    Written to ``out`` as vocab.json, merges.txt, tokenizer.json and configuration.
    """
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END))
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_regex(), behavior="removed", invert=True),  # type: ignore[no-untyped-call]
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(alphabet) - 2,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    bpe.train_from_iterator([*captions, *[WORDS.read_text(encoding="utf-8")] * 20], trainer)
    merges = _merges(bpe)
    pieces = alphabet + [letter + "</w>" for letter in alphabet] + [a + b for a, b in merges]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys([*pieces, START, END]))}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=POSITIONS)
    tokenizer.save_pretrained(out)
    return tokenizer


def _regex():  # type: ignore[no-untyped-def]
    from tokenizers import Regex

    return Regex(_SPLIT)


def _merges(bpe: Tokenizer) -> list[tuple[str, str]]:

    return [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]


def build_text_encoder(
    tokenizer: CLIPTokenizer, *, width: int = 256, layers: int = 4, heads: int = 4
) -> CLIPTextModel:
    """An untrained CLIP text encoder with 77 positions for the tokenizer's vocabulary."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=POSITIONS,
            projection_dim=width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def caption_corpus(count: int = 4000) -> list[str]:
    """Captions as the training words them, for the tokenizer's merges."""
    import numpy as np

    from monai_cxr_cf.training.generator.captions import NORMAL, PHRASES, SEVERITY_WORDS, ZONE_WORDS

    rng = np.random.default_rng(0)
    severities = [word for words in SEVERITY_WORDS.values() for word in words]
    zones = [word for words in ZONE_WORDS.values() for word in words]
    phrases = [phrase for options in PHRASES.values() for phrase in options]
    texts = list(NORMAL)
    for _ in range(count):
        filled = str(rng.choice(phrases)).translate(str.maketrans("", "", "[]"))
        words = [str(rng.choice(options)) for options in (severities, ["left", "right"], zones)]
        texts.append(filled.format(v=words[0], s=words[1], z=words[2]))
    return texts
