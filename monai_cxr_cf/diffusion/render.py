# SPDX-License-Identifier: Apache-2.0
"""From sampled latents to model images: the edit and its reference, on the whole model grid."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from monai_cxr_cf.diffusion.cost.meter import Meter, ratios
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.codec import Planes, decode, decode_source
from monai_cxr_cf.diffusion.sample import Samples
from monai_cxr_cf.diffusion.trace import with_decodes, with_recalled


@dataclass(frozen=True)
class Rendered:
    """Decoded images; Δ = ``edited`` - ``reference`` (docs/method.md 2.7).

    Attributes:
        edited: (N, S, S) float32 0..1, D(z0').
        reference: (S, S) float32 0..1, D(E(x)). Outside a sampled window both hold the image.
        trace: the trace of the samples with these decodings in its cost.
    """

    edited: Planes
    reference: Planes
    trace: dict[str, Any]


def render(
    backbone: Backbone, samples: Samples, image: Planes, *, z: Tensor | None = None
) -> Rendered:
    """Decode ``samples`` (or ``z`` in their place, e.g. a severity series) and the source latent.

    ``image``: the task's S x S model image, shown where nothing was sampled.
    """
    if samples.images is not None:  # compared with the picture itself: no autoencoder saw them
        return Rendered(samples.images, image, samples.trace)
    latents = samples.z if z is None else z
    edited, meter = decode(backbone, latents), Meter(backbone)
    with meter.counting(), meter.expecting("decode"):
        reference = decode_source(backbone, samples.z_src)
    if samples.window is not None:
        edited = samples.window.put(edited, image)
        reference = samples.window.put(reference, image)
    hw = (int(latents.shape[-2]), int(latents.shape[-1]))
    trace = with_decodes(samples.trace, ratios(backbone, hw).decode, len(latents) + 1)
    trace["resources"] = with_recalled(trace["resources"], meter.recalled_f(hw))
    return Rendered(edited, reference, trace)
