# SPDX-License-Identifier: Apache-2.0
"""Saliency maps by Captum, where it is installed: integrated gradients of a score."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.audit.adapters.classifier import Classifier
from monai_cxr_cf.errors import BadRequest, ComponentMissing

Array = NDArray[np.float32]


def mapper(classifier: Classifier) -> Callable[[Array, int], Array]:
    """A function of an H x W image and a label; its map lies on the image's pixels.

    BadRequest for a classifier without a torch module, ComponentMissing without Captum.
    """
    network, declared = classifier.network, classifier.declared
    if network is None:
        raise BadRequest("--saliency captum needs a torch module; expected a MONAI bundle.")
    try:
        from captum.attr import IntegratedGradients
    except ModuleNotFoundError as error:
        words = "--saliency captum needs the package captum."
        raise ComponentMissing(words, hint="python -m pip install captum") from error
    import torch

    def forward(batch: Any) -> Any:
        found = network(batch)
        return found[0] if isinstance(found, list | tuple) else found

    def mapped(image: Array, label: int) -> Array:
        batch = torch.from_numpy(declared.prepare([image]))
        found = IntegratedGradients(forward).attribute(batch, target=label)
        field = found.detach().abs().sum(1)[0].numpy().astype(np.float32)
        return declared.returned(field, (image.shape[0], image.shape[1]))

    return mapped
