# SPDX-License-Identifier: Apache-2.0
"""What MONAI's engines need to train the landmark network: items, augmentation, loss, one module.

``train.json`` of the bundle names these; images, augmentation and losses are those of
``cxr-cf train segmentation``. It is meant for verification and fine-tuning: the shipped weights
come from that command, which also balances the collections and averages the weights.
"""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms.transform import MapTransform, Randomizable
from torch import Tensor, nn

from monai_cxr_cf.anatomy.hybridgnet import CONTOURS, HybridGNet
from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.training.segmentation.augment import Augmentation
from monai_cxr_cf.training.segmentation.data import in_training, load_rows
from monai_cxr_cf.training.segmentation.steps import Batch, augmented, landmark_outputs, losses_of

TARGETS = ("label", "known", "landmarks", "marked", "distance", "theta")
Item = dict[str, Any]


def segmentation_items(
    dataset_dir: str | Path, *, split: str = "training", side: int = 256
) -> list[Item]:
    """Every radiograph with organ masks of one split, padded to a square.

    Args:
        dataset_dir: folder with index.csv.
        split: ``training``, or ``validation``: the radiographs that training never sees.
        side: side of the square in pixels, a multiple of 32.

    Returns:
        One item each: ``image`` (1, S, S) float32 0..1; ``label`` (1, S, S) uint8, 1 right lung,
        2 left lung, 3 heart; ``known`` (3,) organs that are drawn; ``landmarks`` (120, 2) and
        ``marked`` (120,); ``distance`` (2, S, S) pixels to each lung's outline; ``theta`` (2, 3).

    Raises:
        UnreadableInput: no index, or no radiograph in this split.
    """
    folder, wanted = Path(dataset_dir), split == "training"
    rows = [r for r in read_index(folder) if r.organ_mask and in_training(r) == wanted]
    if not rows:
        raise UnreadableInput(
            f"The data folder holds no {split} radiograph with organ masks.",
            hint="See data/folder.py for the columns of index.csv.",
        )
    found = load_rows(folder, rows, side)
    identity = np.eye(2, 3, dtype=np.float32)
    return [
        {
            "image": found.images[i][None].astype(np.float32) / 255.0,
            "label": found.labels[i][None],
            "known": found.known[i].astype(np.float32),
            "landmarks": found.landmarks[i],
            "marked": np.repeat(found.marked[i], CONTOURS).astype(np.float32),
            "distance": found.distance[i].astype(np.float32),
            "theta": identity,
        }
        for i in range(len(rows))
    ]


class AugmentRadiographd(Randomizable, MapTransform):
    """Random pose, exposure and artefacts of one radiograph with its labels and landmarks.

    Args:
        keys: the picture, (1, S, S) in 0..1; the other keys are those of ``segmentation_items``.
        augmentation: strength of every change; None = that of the shipped training.
    """

    def __init__(self, keys: KeysCollection, augmentation: Augmentation | None = None) -> None:
        MapTransform.__init__(self, keys)
        self.augmentation = augmentation or Augmentation()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item, warped and re-exposed; ``theta`` tells how."""
        item = dict(data)
        for key in self.key_iterator(item):
            seed = int(self.R.randint(2**31 - 1))
            single = {name: torch.as_tensor(item[name])[None] for name in TARGETS}
            raw = _batch(torch.as_tensor(item[key])[None], single)
            one = augmented(raw, self.augmentation, torch.Generator().manual_seed(seed))
            item[key], item["label"] = one.images[0], one.labels.byte()
            item["landmarks"], item["theta"] = one.landmarks[0], one.theta[0]
        return item


class LandmarkTraining(nn.Module):
    """The landmark network as a training sees it: picture -> the outputs that losses look at.

    Its own ``forward`` rasterises masks, which no gradient passes; and a gradient is shared
    between processes only through the ``forward`` of what DistributedDataParallel wraps.

    Args:
        network: the network; it is trained in place.
    """

    def __init__(self, network: HybridGNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 1, S, S) -> see ``steps.landmark_outputs``; latents are drawn."""
        return landmark_outputs(self.network, images)


class LandmarkLoss(nn.Module):
    """Weighted sum of ``steps.losses_of``; the weights are those of the recipe.

    Args:
        kl_weight: of the bottleneck's divergence.
        dense_weight: of the auxiliary organ scores.
        outline_weight: of the distance to drawn outlines.
    """

    def __init__(
        self, kl_weight: float = 1e-4, dense_weight: float = 400.0, outline_weight: float = 0.5
    ) -> None:
        super().__init__()
        self.weights = {"kl": kl_weight, "dense": dense_weight, "outline": outline_weight}

    def forward(self, outputs: dict[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Outputs of ``LandmarkTraining`` and targets of ``prepare_batch`` -> scalar."""
        losses = losses_of(outputs, _batch(targets["image"], targets))
        weighted = [self.weights.get(name, 1.0) * loss for name, loss in losses.items()]
        return torch.stack(weighted).sum()


def prepare_batch(
    batchdata: Mapping[str, Any],
    device: str | torch.device | None = None,
    non_blocking: bool = False,
) -> tuple[Tensor, dict[str, Tensor]]:
    """A collated batch -> pictures and targets on the device, as MONAI's trainer wants them."""
    moved = {
        name: torch.as_tensor(batchdata[name]).to(device, non_blocking=non_blocking)
        for name in ("image", *TARGETS)
    }
    return moved["image"], moved


def _batch(images: Tensor, targets: Mapping[str, Tensor]) -> Batch:
    return Batch(
        images=images,
        labels=targets["label"][:, 0].long(),
        known=targets["known"],
        landmarks=targets["landmarks"],
        marked=targets["marked"],
        distance=targets["distance"],
        theta=targets["theta"],
    )
