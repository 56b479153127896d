# SPDX-License-Identifier: Apache-2.0
"""A tiny backbone and draws that no version of torch changes, for results that are stored.

Weights come from numpy's frozen generator, keyed by their names, and so does all noise.
"""

import base64
import json
from functools import cache
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import numpy as np
import torch

from monai_cxr_cf.diffusion.cost.meter import Meter
from monai_cxr_cf.diffusion.model.tiny import tiny_backbone
from monai_cxr_cf.diffusion.task import EditTask, Target
from monai_cxr_cf.methods.frame.bench import Bench

SIDE, CELLS = 64, 8
STORED = Path(__file__).with_name("stored.json")
SHARP = ("attn2.to_q.weight", "attn2.to_k.weight")


@cache
def fixed_backbone(channels: int = 4):
    """Random weights of fixed values; attention to words is sharpened so that they matter."""
    made = tiny_backbone(side=SIDE, tokenizer=_letters(), channels=channels)
    for part in (made.unet, made.vae, made.text_encoder):
        for name, weight in part.named_parameters():
            weight.data = torch.from_numpy(_values(name, tuple(weight.shape)))
    return made


def _letters():
    """A CLIP tokenizer of single letters: training one breaks ties by chance."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    alphabet = sorted(ByteLevel.alphabet())
    vocab = ["<|startoftext|>", "<|endoftext|>", *alphabet, *(f"{c}</w>" for c in alphabet)]
    made = CLIPTokenizer(vocab={piece: i for i, piece in enumerate(vocab)}, merges=[])
    made.model_max_length = 77
    return made


def _values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) < 2:
        return np.full(shape, float("norm" in name and name.endswith("weight")), np.float32)
    drawn = np.random.RandomState(crc32(name.encode())).standard_normal(shape)
    scale = (6 if name.endswith(SHARP) else 1) / np.sqrt(3 * np.prod(shape[1:]))
    return (drawn * scale).astype(np.float32)


def digest() -> str:
    """sha256 of all weights and the vocabulary: another value means another tiny model."""
    made, found = fixed_backbone(), sha256()
    for part in (made.unet, made.vae, made.text_encoder):
        for name, weight in sorted(part.state_dict().items()):
            found.update(name.encode() + weight.numpy().tobytes())
    found.update(json.dumps(sorted(made.tokenizer.get_vocab().items())).encode())
    return found.hexdigest()


def draws(count: int) -> list[torch.Tensor]:
    """Unit noise (1, 4, 8, 8), always the same."""
    drawn = np.random.RandomState(7).standard_normal((count, 1, 4, CELLS, CELLS))
    return list(torch.from_numpy(drawn.astype(np.float32)))


def fixed_task(**changes) -> EditTask:
    """A picture, its region and words."""
    plane = np.random.RandomState(5).random_sample((SIDE, SIDE)).astype(np.float32)
    region = np.zeros((SIDE, SIDE), np.float32)
    region[20:52, 12:44] = 1
    plain = {"prompt": "moderate left pleural effusion", "source_prompt": "normal heart"}
    target = Target("pleural effusion", (1,), region)
    return EditTask(plane, {}, targets=(target,), kappa=region, **{**plain, **changes})


class Replayed:
    """Stored noise in the place of a seed's."""

    def __init__(self, tensors: list[torch.Tensor]) -> None:
        self.left = list(tensors)

    def draw(self) -> torch.Tensor:
        """The next one."""
        return self.left.pop(0)


def fixed_bench(task: EditTask, noise: list[torch.Tensor], channels: int = 4, **scheduler) -> Bench:
    """What an editor is called with, its noise replayed."""
    made = fixed_backbone(channels)
    found = Bench(made, task, seeds=(1,), meter=Meter(made))
    if scheduler:
        found.schedule = type(found.schedule)({**made.scheduler_config, **scheduler})
    found.noise = Replayed(noise)
    return found


def packed(array) -> list:
    """The largest value of an array, and the array in steps of it as text."""
    top = float(np.abs(array).max())
    return [top, base64.b85encode(np.int16(np.round(array / top * 32767)).tobytes()).decode()]


def stored(name: str) -> torch.Tensor:
    """What the peer gave, (1, 4, 8, 8)."""
    told = json.loads(STORED.read_text(encoding="utf-8"))["results"][name]
    flat = np.frombuffer(base64.b85decode(told[1]), np.int16)
    return torch.tensor(flat * told[0] / 32767).float().view(1, 4, CELLS, CELLS)
