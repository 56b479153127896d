# SPDX-License-Identifier: Apache-2.0
"""Prompt-to-prompt (arXiv 2208.01626) on a given picture: the target borrows the source's maps.

The picture comes from an edit-friendly inversion. Its way down is known exactly, so that the source
needs one call a step, for its maps.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from monai_cxr_cf.catalogue.settings import PromptToPrompt
from monai_cxr_cf.diffusion.model.layers import AttentionLayer
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.methods.frame.align import WORD, refinement, replacement
from monai_cxr_cf.methods.frame.attention import hooked, layers_of, probabilities
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.blend import Blend, differing
from monai_cxr_cf.methods.frame.invert import directions, edit_friendly
from monai_cxr_cf.methods.frame.schedule import ddpm_mean

CELLS = 16**2  # self-attention of finer layers is left alone
Rule = Callable[[Tensor, Tensor], Tensor]  # (source map, target map) -> the target's


class Borrowed:
    """Keeps the maps of a source pass, and puts them into the target's conditional one.

    Attributes:
        mode: off, source or target: what the next call is.
        cross, self_: whether cross-attention and self-attention are replaced in this step.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule, self.mode = rule, "off"
        self.cross, self.self_ = False, False
        self.kept: dict[str, Tensor] = {}
        self.blend: Blend | None = None

    def __call__(self, layer: AttentionLayer, q: Tensor, k: Tensor, v: Tensor) -> Tensor | None:
        looked = self.blend is not None and layer.cross and layer.grid == self.blend.grid
        wanted = self.cross if layer.cross else self.self_
        if self.mode == "off" or not (wanted or looked):
            return None
        probs = probabilities(q, k)
        if self.mode == "source":
            self.kept[layer.name] = probs
        elif wanted and layer.cross:
            probs = self.rule(self.kept[layer.name], probs)
        elif wanted:
            probs = self.kept[layer.name]
        if looked and self.blend is not None:
            self.blend.add(self.mode, layer, probs)
        return probs @ v


def p2p(bench: Bench, settings: PromptToPrompt) -> Tensor:
    """Maps of the source in the first steps, then the target's own.

    ``as_published`` counts the skipped steps as well, maps words by position behind the last
    replaced one, and drops the last noise of the inversion.

    Raises:
        BadRequest: there is no source prompt.
    """
    rule = rule_of(bench, settings)
    levels = bench.schedule.levels(settings.steps)
    given_up, source = directions(levels, 1.0), bench.task.source_prompt
    points, lacking = edit_friendly(
        bench,
        levels,
        lambda z, t: bench.guided(z, t, settings.source_guidance, source),
        directions=given_up,
    )
    if settings.as_published:
        lacking[-1] = torch.zeros_like(lacking[-1])
    first = settings.steps - settings.executed
    counted = settings.steps if settings.as_published else settings.executed
    borrowed, z = Borrowed(rule), points[first]
    if settings.blend:
        borrowed.blend = Blend(differing(bench), bench.hw, settings.blend_from)
    chosen = [x for x in layers_of(bench) if x.cross or x.grid[0] * x.grid[1] <= CELLS]
    with hooked(bench.backbone.unet, chosen, borrowed):
        for n, level in enumerate(bench.run(levels[first:])):
            borrowed.cross = n < int(settings.cross * (counted + 1))
            borrowed.self_ = n < int(settings.self_share * counted)
            e = _guided(bench, settings, borrowed, (points[level.index], z), level.t)
            mean = ddpm_mean(z, e, level, direction=given_up[level.index])
            z = mean + lacking[level.index]
            if borrowed.blend is not None:
                z = borrowed.blend(points[level.index + 1], z)
    return z


def _guided(
    bench: Bench,
    settings: PromptToPrompt,
    borrowed: Borrowed,
    latents: tuple[Tensor, Tensor],
    t: int,
) -> Tensor:
    """cfg(s) of the target; its conditional half with the source's maps."""
    source, z = latents
    if borrowed.cross or borrowed.self_ or borrowed.blend is not None:
        borrowed.mode = "source"
        bench.predict(source, t, bench.task.source_prompt)
    borrowed.mode = "target"
    e = bench.predict(z, t, bench.task.prompt)
    borrowed.mode = "off"
    e_u = bench.predict(z, t, bench.task.negative_prompt)
    return e_u + settings.guidance * (e - e_u)


def rule_of(bench: Bench, settings: PromptToPrompt) -> Rule:
    """How a target's map is made of the source's: refined or replaced, then reweighted."""
    task = bench.task
    if not task.source_prompt:
        raise BadRequest(
            "'p2p' needs to know what the source shows.", hint="Say it: --source-prompt."
        )
    texts = (task.source_prompt, task.prompt)
    alike = len({len(WORD.findall(text)) for text in texts}) == 1
    length = bench.backbone.positions
    factor = torch.ones(length, device=bench.z0.device)
    factor[[k for t in task.targets if t.where == "prompt" for k in t.tokens]] = settings.reweight
    if settings.mode == "replace" or (settings.mode == "auto" and alike):
        w = replacement(
            bench.backbone.tokenizer, *texts, as_published=settings.as_published, length=length
        )
        w = w.to(factor)
        return lambda source, target: (source @ w) * factor
    ids = [bench.backbone.tokenizer(text)["input_ids"][:length] for text in texts]
    found, alpha = refinement(*ids, length=length)
    found, alpha = found.to(factor.device), alpha.to(factor)
    return lambda source, target: (source[..., found] * alpha + target * (1 - alpha)) * factor
