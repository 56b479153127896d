# SPDX-License-Identifier: Apache-2.0
"""Organs, region, sampler and composite: the four middle steps of ``pipeline`` as transforms.

Give every transform of one chain the same ``Networks``: what one loads the next one finds.
"""

import logging
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform
from torch import nn

from monai_cxr_cf import pipeline
from monai_cxr_cf.case import words
from monai_cxr_cf.diffusion.task import Progress
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.record import default_seed
from monai_cxr_cf.runs.run import Run, Stages
from monai_cxr_cf.transforms.items import REQUEST, Fields, Item, need, request_of
from monai_cxr_cf.transforms.segmenter import DEFAULT, adopted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _NoMasks:
    """The default segmenter and no masks of the user: segmenting without a request."""

    segmenter: str = DEFAULT
    masks: str | None = None
    roi: str | None = None


class SegmentOrgansd(MapTransform):
    """Radiograph -> named, checked organs on the native grid, as ``cxr-cf edit`` finds them.

    Leaves under ``key_organs`` a MetaTensor (1, H, W) uint8 (1 right lung, 2 left lung, 3 heart,
    the patient's sides), under ``key_scene`` the ``Scene`` and under ``key_masks`` facts about
    where the masks came from. The request's ``masks``, ``roi`` and ``segmenter`` hold.

    Args:
        keys: keys of pictures from ``LoadCXRDicomd``.
        networks: loaded networks to share; None loads the shipped ones.
        network: a segmentation network to use for ``hybridgnet``, e.g. the bundle's
            ``network_def``; None = the shipped one. Weights that are not the shipped ones are
            named in every output by their own hash.
        request: request of items that bring none; optional here.
        allow_missing_keys: skip an absent key.

    Raises:
        UnsupportedImage: the organs found are not those of a frontal chest.
        BadRequest: the user's masks do not fit.
    """

    def __init__(
        self,
        keys: KeysCollection,
        networks: Networks | None = None,
        network: nn.Module | None = None,
        request: Fields | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.networks = networks or Networks()
        self.network = network
        self.request = request

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with organs, scene and facts of each key."""
        item: Item = dict(data)  # type: ignore[arg-type]
        for key in self.key_iterator(item):
            radiograph = need(item, str(key), "radiograph")
            asked = item.get(REQUEST, self.request)
            choice = _NoMasks() if asked is None else request_of(item, str(key), self.request)
            if self.network is not None and choice.segmenter == DEFAULT:
                self.networks.use_segmenter(DEFAULT, adopted(self.network, self.networks))
            with _stages(item, key)("segment"):
                scene, facts = pipeline.segment(choice, radiograph, self.networks)
            item[f"{key}_scene"], item[f"{key}_masks"] = scene, facts
            item[f"{key}_organs"] = _native(scene.organs.labels())
        return item  # type: ignore[return-value]


class RegionFromRequestd(MapTransform):
    """Request and organs -> what changes, where, and which words say so.

    Leaves under ``key_case`` the ``Case``, under ``key_region`` a MetaTensor (1, H, W) bool and
    under ``key_weight`` (1, H, W) float32: 1 in the region, falling over the band, else exactly 0.

    Args:
        keys: keys of pictures that ``SegmentOrgansd`` has seen.
        networks: loaded networks to share; None loads the shipped ones.
        request: fields of ``request.schema.json`` for items that bring no ``request``.
        allow_missing_keys: skip an absent key.

    Raises:
        BadRequest: no request, unknown words, or a wrong setting.
        UnsupportedImage: a region that covers no pixel of the image.
    """

    def __init__(
        self,
        keys: KeysCollection,
        networks: Networks | None = None,
        request: Fields | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.networks = networks or Networks()
        self.request = request

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with case, region and weight of each key."""
        item: Item = dict(data)  # type: ignore[arg-type]
        for key in self.key_iterator(item):
            scene = need(item, str(key), "scene")
            request = request_of(item, str(key), self.request)
            with _stages(item, key)("region"):
                case = pipeline.locate(request, words(request), scene, self.networks)
            item[f"{key}_case"] = case
            item[f"{key}_region"] = _native(case.region)
            item[f"{key}_weight"] = _native(case.weight)
        return item  # type: ignore[return-value]


class EditCounterfactuald(MapTransform):
    """The request's method, and nothing else: a case in, one latent per seed out.

    Leaves the ``Samples`` under ``key_samples``. The gradient that the method needs is switched on
    inside, so an evaluator that runs under ``no_grad`` gives the same latents.

    Args:
        keys: keys of pictures that ``RegionFromRequestd`` has seen.
        networks: loaded networks to share; None loads the shipped ones. The request's ``backbone``
            is a name or a local folder; nothing is fetched from a hub.
        progress: called with ``{"stage", "step", "total"}`` after every step; may raise
            ``Cancelled``.
        allow_missing_keys: skip an absent key.

    Raises:
        ResourceExhausted: memory cannot hold the run.
    """

    def __init__(
        self,
        keys: KeysCollection,
        networks: Networks | None = None,
        progress: Progress | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.networks = networks or Networks()
        self.progress = progress or _tell

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with the samples of each key."""
        item: Item = dict(data)  # type: ignore[arg-type]
        for key in self.key_iterator(item):
            radiograph, case = need(item, str(key), "radiograph"), need(item, str(key), "case")
            request = request_of(item, str(key), None)
            seeds = request.seeds or (default_seed(radiograph, request),)
            with _stages(item, key)("sample"):
                item[f"{key}_samples"] = pipeline.sample(
                    request, case, self.networks, seeds=seeds, progress=self.progress
                )
        return item  # type: ignore[return-value]


class CompositeNatived(MapTransform):
    """Latents -> the change on the native grid: only inside region and band, elsewhere exactly 0.

    Leaves under ``key_change`` a MetaTensor (N, H, W) float32 in display units, one channel per
    member of the series (seeds, and levels within each), under ``key_pictures`` the same with
    stored values and labels, and under ``key_run`` the ``Run`` that the writers need.

    Args:
        keys: keys of pictures that ``EditCounterfactuald`` has seen.
        networks: the chain's loaded networks; None loads the shipped ones.
        allow_missing_keys: skip an absent key.
    """

    def __init__(
        self,
        keys: KeysCollection,
        networks: Networks | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.networks = networks or Networks()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with change, pictures and run of each key."""
        item: Item = dict(data)  # type: ignore[arg-type]
        for key in self.key_iterator(item):
            self._composite(item, str(key))
        return item  # type: ignore[return-value]

    def _composite(self, item: Item, key: str) -> None:
        radiograph, scene, case, samples = (
            need(item, key, name) for name in ("radiograph", "scene", "case", "samples")
        )
        request, stages = request_of(item, key, None), _stages(item, key)
        with stages("decode"):
            labels, shown = pipeline.decode(request, case, samples, self.networks)
        with stages("composite"):
            pictures = pipeline.compose(radiograph, case, shown, labels)
        item[f"{key}_run"] = Run(
            request, radiograph, scene, case, shown.trace, item[f"{key}_masks"],
            stages, samples.seeds, self.networks,
        )  # fmt: skip
        item[f"{key}_pictures"] = pictures
        changes = np.stack([picture.change for picture in pictures])
        item[f"{key}_change"] = MetaTensor(torch.from_numpy(changes))


def _native(plane: np.ndarray[Any, Any]) -> MetaTensor:
    return MetaTensor(torch.from_numpy(np.array(plane))[None])


def _stages(item: Item, key: Hashable) -> Stages:
    found: Stages = item.setdefault(f"{key}_stages", Stages())
    return found


def _tell(event: Mapping[str, Any]) -> None:
    log.info("sampling: step %s of %s", event["step"], event["total"])
