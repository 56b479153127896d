# SPDX-License-Identifier: Apache-2.0
"""Text encoders that a backbone may have: CLIP's, and a BERT such as RadEdit's (BioViL-T).

A BERT is often saved as a masked-language model with heads: the keys that begin with ``bert.`` are
read, by transformers' own class, and no code of the folder is run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_cxr_cf.diffusion.task import PROMPT_TOKENS

CLIP = ("clip_text_model", "clip")
BERT = ("bert", "cxr-bert")
BERT_POSITIONS = 128  # of which RadEdit's UNet has read; padding is attended
HEADS = ("cls.", "cls_", "pooler.")  # what a BERT is saved with beside its layers
NAMES = ("model_type", "auto_map", "architectures")  # of classes and code


def wrong_text(text: Mapping[str, Any]) -> dict[str, bool]:
    """What is wrong with a text encoder's configuration, by its words."""
    kind, bert = text.get("model_type", CLIP[0]), is_bert(text)
    positions = int(text.get("max_position_embeddings", 512 if bert else PROMPT_TOKENS))
    fits = positions >= BERT_POSITIONS if bert else positions == PROMPT_TOKENS
    return {
        f"{positions} text positions": not fits,
        f"a text encoder of the kind {kind}": kind not in (*CLIP, *BERT),
    }


def is_bert(text: Mapping[str, Any]) -> bool:
    """Whether a configuration is that of a BERT."""
    return text.get("model_type") in BERT


def bert_of(config: Mapping[str, Any], weights: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The layers of a BERT, and the keys that are missing, unexpected or of another shape."""
    from transformers import BertConfig, BertModel

    plain = {k: v for k, v in config.items() if k not in NAMES}
    model = BertModel(BertConfig(**plain), add_pooling_layer=False)
    inside = {k.removeprefix("bert."): v for k, v in weights.items() if k.startswith("bert.")}
    given = {k: v for k, v in (inside or weights).items() if not k.startswith(HEADS)}
    expected = model.state_dict()
    fitting = {k: v for k, v in given.items() if k in expected and v.shape == expected[k].shape}
    info = {
        "missing_keys": [k for k in expected if k not in given],
        "unexpected_keys": [k for k in given if k not in expected],
        "mismatched_keys": [k for k in given if k in expected and k not in fitting],
    }
    model.load_state_dict(fitting, strict=False)
    return model, info


def tokenizer_of(folder: Path, *, bert: bool) -> Any:
    """The tokenizer in ``folder``, cut to the positions of its kind."""
    from transformers import BertTokenizer, CLIPTokenizer

    if not bert:
        return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    words = BertTokenizer.from_pretrained(str(folder), local_files_only=True)
    words.model_max_length = min(BERT_POSITIONS, int(words.model_max_length))
    return words
