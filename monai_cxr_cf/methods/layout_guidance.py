# SPDX-License-Identifier: Apache-2.0
"""Layout guidance (arXiv 2304.03373): a finding's tokens are drawn into its region.

Written from the paper and its reading; the published code carries no licence.
"""

import torch
from torch import Tensor

from monai_cxr_cf.catalogue.settings import LayoutGuidance
from monai_cxr_cf.diffusion.laws.priors import area_pool
from monai_cxr_cf.diffusion.model.layers import AttentionLayer
from monai_cxr_cf.methods.frame.align import words_of
from monai_cxr_cf.methods.frame.attention import hooked, layers_of
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.maps import Maps, gradient
from monai_cxr_cf.methods.frame.schedule import ddim, noised


def layout_guidance(bench: Bench, settings: LayoutGuidance) -> Tensor:
    """While L > .2, at most five times a step: z <- z - (1 - a_t) ∂(30 L)/∂z; then the step.

    Starts from the noised source. ``as_published`` starts from noise alone, looks at the loss
    inside the loop only, so that once it is low no later step is guided, and takes words for
    tokens.
    """
    levels = bench.schedule.levels(settings.steps)[-settings.executed :]
    noise = bench.noise.draw()
    z = noise if settings.as_published else noised(bench.z0, noise, levels[0].a)
    tokens = _words(bench) if settings.as_published else [t.tokens for t in bench.task.targets]
    maps, last = Maps(), [torch.inf] * len(z)
    with hooked(bench.backbone.unet, guided_layers(bench), maps):
        for n, level in enumerate(bench.run(levels)):
            if n < settings.guided and any(tokens):
                for image in range(len(z)):
                    before = last[image] if settings.as_published else torch.inf
                    moved, last[image] = _moved(
                        bench, settings, maps, (z[image][None], level.t, level.a), (tokens, before)
                    )
                    z = torch.cat([z[:image], moved, z[image + 1 :]])
            z = ddim(z, bench.guided(z, level.t, settings.guidance), level.a, level.b)
    return z


def _moved(
    bench: Bench,
    settings: LayoutGuidance,
    maps: Maps,
    at: tuple[Tensor, int, float],
    known: tuple[list[tuple[int, ...]], float],
) -> tuple[Tensor, float]:
    """One image's latent, drawn until its loss is low enough; and that loss."""
    (z, t, a), (tokens, value) = at, known
    for _ in range(settings.tries):
        if value <= settings.enough:
            break
        value, slope = gradient(bench, maps, z, t, lambda seen: outside(bench, seen, tokens))
        if value <= settings.enough and not settings.as_published:
            break
        z = z if slope is None else z - (1 - a) * settings.scale * slope
    return z, value


def outside(
    bench: Bench, seen: list[tuple[AttentionLayer, Tensor]], tokens: list[tuple[int, ...]]
) -> Tensor:
    """L: mean over maps, findings and their tokens of (1 - Σ(A Ω) / ΣA)²."""
    losses = []
    for layer, probs in seen:
        for target, positions in zip(bench.task.targets, tokens, strict=True):
            omega = torch.as_tensor(area_pool(target.region, layer.grid)).to(probs).flatten()
            for k in positions:
                held = (probs[0, :, :, k] * omega).sum(-1) / probs[0, :, :, k].sum(-1)
                losses.append(((1 - held) ** 2).mean())
    return torch.stack(losses).mean()


def guided_layers(bench: Bench) -> list[AttentionLayer]:
    """Cross-attention of the mid block and of the first block of the way up that has any."""
    cross = [layer for layer in layers_of(bench) if layer.cross]
    up = next(x.name.split(".")[1] for x in cross if x.name.startswith("up_blocks"))
    return [x for x in cross if x.name.startswith(("mid_block", f"up_blocks.{up}."))]


def _words(bench: Bench) -> list[tuple[int, ...]]:
    """Positions of the words of each finding among the words, as if each were one token."""
    pieces = words_of(bench.backbone.tokenizer, bench.task.prompt)
    return [
        tuple(n + 1 for n, own in enumerate(pieces) if set(own) & set(target.tokens))
        for target in bench.task.targets
    ]
