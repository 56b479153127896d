# SPDX-License-Identifier: Apache-2.0
"""Latent shift (arXiv 2102.09475): along a classifier's gradient in the autoencoder, no diffusion.

z = E(x), p(λ) = classifier(D(z + λ g)), g = ∂p/∂z at λ 0, in the autoencoder's own units. Ours
raises p where a finding is asked for; the published search lowers it.
"""

import torch
from torch import Tensor

from monai_cxr_cf.catalogue.orders import LatentShift
from monai_cxr_cf.diffusion.task import Scorer
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.schedule import Level


def latent_shift(bench: Bench, settings: LatentShift) -> Tensor:
    """z + λ g of the first λ that changes p enough, or after which p turns back.

    Raises:
        ComponentMissing: there is no classifier.
        BadRequest: several findings are asked for.
    """
    scorer = bench.task.scorer
    if scorer is None:
        raise ComponentMissing("'latent_shift' needs a classifier; none lies beside the weights.")
    if len(bench.task.targets) != 1:
        raise BadRequest("'latent_shift' moves one finding; several are asked for.")
    scale = float(bench.backbone.vae.config.scaling_factor)
    z, found, sign = bench.z0 / scale, 0.0, direction(bench, settings)
    first, slope = gradient(bench, scorer, z)
    last = first
    tried = settings.shifts if sign else [0.0]
    end = bench.schedule.final
    for number, level in enumerate(bench.run([Level(n, 0, end, end) for n in range(len(tried))])):
        far = sign * tried[level.index]
        with torch.no_grad():
            p = float(probability(bench, scorer, z + far * slope))
        turned = sign * (p - last) < 0
        if not turned or settings.as_published:
            found = far
        last = p
        if turned or sign * (p - first) > settings.change or number + 1 == len(tried):
            break
    bench.notes.append(f"shift {found:g}; probability {first:.3f} to {last:.3f}")
    moved: Tensor = (z + found * slope) * scale
    return moved.expand(len(bench.seeds), -1, -1, -1)


def direction(bench: Bench, settings: LatentShift) -> float:
    """Whether the probability is to rise or to fall; a sham asks for neither."""
    if bench.task.mode == "sham":
        return 0.0
    return -1.0 if settings.as_published or bench.task.mode == "removal" else 1.0


def gradient(bench: Bench, scorer: Scorer, z: Tensor) -> tuple[float, Tensor]:
    """p, and ∂p/∂z; the way back through the decoder counts as another decoding."""
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        p = probability(bench, scorer, leaf)
        (slope,) = torch.autograd.grad(p.sum(), [leaf])
    bench.meter.add("decode", items=1)
    return float(p.detach()), slope


def probability(bench: Bench, scorer: Scorer, z: Tensor) -> Tensor:
    """p of the finding in D(z), (1,)."""
    grey = bench.backbone.vae.decode(z).sample.mean(1) / 2 + 0.5
    p: Tensor = scorer.probability(grey)
    return p
