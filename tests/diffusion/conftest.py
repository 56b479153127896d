# SPDX-License-Identifier: Apache-2.0
"""A real tiny backbone and an edit task on it, for every test of the sampler."""

from dataclasses import replace

import numpy as np
import pytest

from monai_cxr_cf.diffusion.model.tiny import tiny_backbone
from monai_cxr_cf.diffusion.task import EditTask, Target, Words

SIDE = 128


@pytest.fixture(scope="session")
def tiny():
    """UNet, VAE, text encoder and trained tokenizer of SD v1.5's classes; random weights."""
    return tiny_backbone(side=SIDE)


@pytest.fixture(scope="session")
def task(tiny) -> EditTask:
    """Add an effusion at the base of the patient's left lung (right side of the image)."""
    return make_task(tiny.tokenizer)


def make_task(tokenizer, *, prompt="moderate left pleural effusion", phrase="pleural effusion"):
    """An edit task with two lungs, a heart and one region; K_path by character offsets."""
    image = np.random.default_rng(0).random((SIDE, SIDE)).astype(np.float32) * 0.2 + 0.4
    organs = {
        "right_lung": box(10, 100, 12, 52),
        "left_lung": box(10, 100, 76, 116),
        "heart": box(60, 104, 52, 86),
    }
    region = box(72, 100, 80, 112)
    encoded = tokenizer(
        prompt, padding="max_length", max_length=77, truncation=True, return_offsets_mapping=True
    )
    start = prompt.index(phrase)
    spans = encoded["offset_mapping"]
    tokens = tuple(
        i for i, (a, b) in enumerate(spans) if a < start + len(phrase) and b > start and b > a
    )
    specials = tuple(i for i, (a, b) in enumerate(spans) if a == b and i > 0)
    return EditTask(
        image=image,
        organs=organs,
        prompt=prompt,
        targets=(Target(name=phrase, tokens=tokens, region=region),),
        kappa=np.maximum(region, box(68, 104, 76, 116) * 0.5).astype(np.float32),
        special_tokens=specials,
    )


def two_findings(tokenizer, task) -> tuple[EditTask, Target]:
    """The task with a second finding, a mass mirrored, each with a text of its own; its target."""
    other = make_task(tokenizer, prompt="right effusion", phrase="effusion")
    (target,), (second,) = task.targets, other.targets
    mirror = target.region[:, ::-1].copy()
    words = Words(task.prompt, target.tokens, {}, task.special_tokens)
    more = Words(other.prompt, second.tokens, {}, other.special_tokens)
    own = {"name": "mass", "region": mirror, "words": more}
    both = (replace(target, words=words), replace(target, **own))
    kappa = (task.kappa + task.kappa[:, ::-1]).clip(0, 1)
    return replace(task, targets=both, kappa=kappa), replace(second, **own)


def box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """A plane that is 1 in rows top..bottom and columns left..right."""
    plane = np.zeros((SIDE, SIDE), np.float32)
    plane[top:bottom, left:right] = 1
    return plane
