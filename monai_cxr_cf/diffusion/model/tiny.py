# SPDX-License-Identifier: Apache-2.0
"""A real but tiny backbone at random weights: the same classes as SD v1.5, for tests and checks.

128 px by default: latent 16x16, attention at 16, 8 and 4, mid block at 2; odd head widths.
"""

from collections.abc import Iterable
from typing import Any

import torch

from monai_cxr_cf.diffusion.model.backbone import Backbone, assemble
from monai_cxr_cf.diffusion.model.checkpoints import Parts
from monai_cxr_cf.diffusion.model.single_file import SD1_SCHEDULER

WORDS = (
    "moderate left pleural effusion, cardiomegaly and right apical pneumothorax; no acute "
    "cardiopulmonary process. mild severe lung heart consolidation atelectasis edema pneumonia"
)


def tiny_backbone(
    *,
    side: int = 128,
    seed: int = 0,
    tokenizer: Any = None,
    prediction_type: str = "epsilon",
    channels: int = 4,
) -> Backbone:
    """Random weights from ``seed``; ``channels`` go into the UNet.

    The tokenizer is trained on a few words if none is given.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel

    tokenizer = tokenizer or tiny_tokenizer([WORDS])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=side // 8,
            in_channels=channels,
            block_out_channels=(12, 20, 28, 28),
            layers_per_block=1,
            attention_head_dim=4,  # SD v1 reads this as the number of heads: widths 3, 5, 7
            cross_attention_dim=24,
            norm_num_groups=4,
        )
        vae = AutoencoderKL(
            sample_size=side,
            block_out_channels=(4, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            norm_num_groups=4,
        )
        text_encoder = _text_encoder(tokenizer)
    config = {**SD1_SCHEDULER, "prediction_type": prediction_type}
    return assemble(Parts(unet, vae, text_encoder, tokenizer, config), name="tiny")


def _text_encoder(tokenizer: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=24,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def tiny_tokenizer(texts: Iterable[str], *, vocab_size: int = 700) -> Any:
    """A CLIP tokenizer (byte-level BPE, offsets, 77 positions) trained on ``texts``."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    alphabet = sorted(ByteLevel.alphabet())
    vocab = ["<|startoftext|>", "<|endoftext|>", *alphabet, *(f"{c}</w>" for c in alphabet)]
    base = CLIPTokenizer(vocab={piece: i for i, piece in enumerate(vocab)}, merges=[])
    trained = base.train_new_from_iterator(
        list(texts), vocab_size, initial_alphabet=alphabet, show_progress=False
    )
    trained.model_max_length = 77
    return trained
