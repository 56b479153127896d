# SPDX-License-Identifier: Apache-2.0
"""A native radiograph in, organs on its own grid out, by either shipped network.

The image is padded to a square, never stretched; landmarks become polygons at native size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from monai_cxr_cf.anatomy.hybridgnet import SIDE, HybridGNet
from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.anatomy.polygon import fill_polygon, organs_from_landmarks
from monai_cxr_cf.anatomy.unet import OrganUNet
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.grid import ModelGrid

KINDS = ("hybridgnet", "unet")
WEIGHTS = {"hybridgnet": "model.pt", "unet": "segmenter/unet.safetensors"}


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Organs of one radiograph and what drew them."""

    organs: Organs  # on the native grid
    landmarks: NDArray[np.float32] | None  # (120, 2) x, y in native pixels; None from the U-Net
    agreement: float  # 0..1: how far the network agrees with itself; low means unsure
    name: str  # hybridgnet or unet
    sha256: str  # of the weights file
    licence: str


@dataclass(frozen=True)
class Square:
    """What a network says about one padded square of side ``SIDE``."""

    labels: NDArray[np.uint8]  # (SIDE, SIDE)
    landmarks: NDArray[np.float32] | None  # (120, 2) x, y in square pixels
    agreement: float


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A loaded network; calling it segments one radiograph."""

    network: nn.Module
    name: str
    sha256: str
    licence: str

    def __call__(
        self,
        pixels: NDArray[np.float32],
        valid: NDArray[np.bool_] | None = None,
        *,
        aspect: float = 1.0,
    ) -> Segmentation:
        """Organs of one radiograph.

        Args:
            pixels: H x W float32, 0..1, bright = dense.
            valid: H x W bool, False where the detector recorded nothing; None = all valid.
            aspect: row spacing over column spacing.
        """
        height, width = pixels.shape
        grid = ModelGrid((height, width), SIDE, aspect)
        square = self.square(grid.to_model(pixels if valid is None else pixels * valid))
        if square.landmarks is None:
            labels, points = grid.labels_to_native(square.labels), None
        else:
            points = grid.points_to_native(square.landmarks)
            labels = _rasterise(points, height, width)
        organs = Organs.from_labels(labels).clean()
        return Segmentation(organs, points, square.agreement, self.name, self.sha256, self.licence)

    def agreement_mirrored(
        self, pixels: NDArray[np.float32], valid: NDArray[np.bool_], *, aspect: float = 1.0
    ) -> float:
        """How far the network agrees with itself on the mirrored picture; arguments as above."""
        height, width = pixels.shape
        grid = ModelGrid((height, width), SIDE, aspect)
        return self.square(grid.to_model(pixels * valid)[:, ::-1]).agreement

    def square(self, image: NDArray[np.float32]) -> Square:
        """Labels of one padded square: image (SIDE, SIDE) float32, 0..1."""
        x = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None]
        with torch.inference_mode():
            if isinstance(self.network, HybridGNet):
                return _from_landmarks(*self.network.inspect(x))
            return _from_scores(self.network(x))


def load_segmenter(kind: str, models: Path) -> Segmenter:
    """A shipped segmenter, ready to call.

    Args:
        kind: hybridgnet (the default everywhere) or unet.
        models: folder with model.pt and segmenter/.

    Raises:
        BadRequest: an unknown kind.
        ComponentMissing: its weights are not there, or are of another architecture.
    """
    if kind not in KINDS:
        raise BadRequest(f'There is no segmenter "{kind}".', hint=f"Choose {' or '.join(KINDS)}.")
    path, card = Path(models) / WEIGHTS[kind], Path(models) / "segmenter" / "config.json"
    for needed in (path, card):
        if not needed.is_file():
            raise ComponentMissing(
                f"The segmenter file {needed.name} is not in the models folder.",
                hint="Reinstall the package, or run `cxr-cf train segmentation`.",
            )
    config = json.loads(card.read_text(encoding="utf-8"))
    network = _BUILDERS[kind](path, config[kind])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Segmenter(network.eval(), kind, digest, config["licence"])


def _load_hybridgnet(path: Path, config: dict[str, int]) -> nn.Module:
    network = HybridGNet(config["width"])
    return _filled(network, torch.load(path, map_location="cpu", weights_only=True))


def _load_unet(path: Path, config: dict[str, list[int]]) -> nn.Module:
    from safetensors.torch import load_file

    return _filled(OrganUNet(tuple(config["channels"])), load_file(path))


_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "hybridgnet": _load_hybridgnet,
    "unet": _load_unet,
}


def _filled(network: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ComponentMissing(
            "The segmenter's weights do not fit its architecture.",
            hint="Replace the models folder by that of the same release.",
        ) from error
    return network


def _from_landmarks(points: Tensor, probability: Tensor) -> Square:
    """The agreement is the lowest organ Dice of the polygons with the auxiliary head."""
    coarse = organs_from_landmarks(points, probability.shape[2], probability.shape[3])[:, 1:]
    both = 2 * (coarse * probability).sum((2, 3))
    total = (coarse.square() + probability.square()).sum((2, 3))
    labels = organs_from_landmarks(points, SIDE, SIDE).argmax(1)[0].byte().numpy()
    agreement = float((both / total.clamp(min=1e-6)).min())
    return Square(labels, points[0].numpy() * SIDE, agreement)


def _from_scores(scores: Tensor) -> Square:
    """The agreement is the lowest mean probability inside an organ, times its largest piece."""
    labels = scores.argmax(1)[0].byte().numpy()
    cleaned = Organs.from_labels(labels).clean()
    shares = []
    for value, mask in enumerate(cleaned.as_dict().values(), 1):
        inside = scores[0, value].numpy()[mask]
        kept = mask.sum() / max(1, mask.sum(), (labels == value).sum())
        shares.append(float(inside.mean() * kept) if inside.size else 0.0)
    return Square(cleaned.labels(), None, min(shares))


def _rasterise(points: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
    """(120, 2) native pixels -> H x W labels."""
    fractions = torch.from_numpy(points)[None] / torch.tensor([width, height])
    labels = np.zeros((height, width), np.uint8)
    # As organs_from_landmarks, an organ at a time; the heart last, as it wins.
    for value, part in ((2, slice(44, 94)), (1, slice(44)), (3, slice(94, None))):
        labels[fill_polygon(fractions[:, part], height, width)[0].numpy()] = value
    return labels
