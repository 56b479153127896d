# SPDX-License-Identifier: Apache-2.0
"""Words, organs and an image in; the edit task out: what changes, where, and which tokens say so.

The second half of understanding a request, after the organs are known and before sampling.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.anatomy.zones import region_mask
from monai_cxr_cf.composite import kappa
from monai_cxr_cf.diffusion.modes import sham_task
from monai_cxr_cf.diffusion.task import EditTask, Target
from monai_cxr_cf.errors import UnsupportedImage
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.judges.verdict import Expected
from monai_cxr_cf.presets import EditConfig
from monai_cxr_cf.prompts.compose import (
    ParsedPrompt,
    SpannedText,
    removal_prompt,
    target_prompt,
)
from monai_cxr_cf.prompts.findings import VOCABULARY, organs_that_may_change, region_terms
from monai_cxr_cf.prompts.parse import parse_prompt, parsed_from_findings
from monai_cxr_cf.prompts.tokens import TokenTable, token_table
from monai_cxr_cf.request import EditRequest, FindingEdit

MODES = {"add": "edit", "remove": "removal", "mixed": "mixed"}
Mask = NDArray[np.bool_]
Array = NDArray[np.float32]


class MaskChoice(Protocol):
    """What ``segment`` reads of a request."""

    @property
    def segmenter(self) -> str:
        """Name of the network that draws the organs."""

    @property
    def masks(self) -> str | None:
        """The user's organ masks."""

    @property
    def roi(self) -> str | None:
        """The user's region."""


@dataclass(frozen=True)
class Scene:
    """The picture an edit acts on, native grid."""

    pixels: Array  # H x W, 0..1, bright = dense
    valid: Mask  # False = padding, never edited
    organs: Organs  # with the user's masks where given
    found: Organs  # as the segmenter drew them: the yardstick of the verdict
    grid: ModelGrid
    drawn: Mask | None = None  # the user's own region, instead of the one from words


@dataclass(frozen=True)
class Case:
    """A request understood for one image."""

    asked: ParsedPrompt
    regions: tuple[Mask, ...]  # native, one per finding of ``asked``
    region: Mask  # their union: the edit region
    weight: Array  # kappa, native: 1 in the region, falling over the band, else exactly 0
    task: EditTask
    config: EditConfig  # the settings in force
    truncated: bool  # the end of a text did not fit the text encoder

    @property
    def band(self) -> Mask:
        """Where kappa lies between 0 and 1: the edit band."""
        return np.asarray((self.weight > 0) & ~self.region)

    def expected(self) -> tuple[Expected, ...]:
        """What the picture should show afterwards, finding by finding."""
        return tuple(map(_expected, self.asked.findings, self.regions))


def words(request: EditRequest) -> ParsedPrompt:
    """The findings a request asks for, from its prompt or its list; BadRequest if unknown."""
    if request.prompt:
        return parse_prompt(request.prompt)
    return parsed_from_findings(request.findings)


def understand(request: EditRequest, scene: Scene, *, config: EditConfig, tokenizer: Any) -> Case:
    """Regions and tokens of a request on one image.

    Args:
        request: what is asked.
        scene: the image and its organs.
        config: the preset in force; its ``keep.band_px`` is in model pixels.
        tokenizer: the backbone's own.

    Raises:
        BadRequest: unknown findings, or words that do not fit 77 tokens.
        UnsupportedImage: a region that covers no pixel of the image.
    """
    asked = words(request)
    regions = _regions(asked, scene)
    region = np.logical_or.reduce(regions)
    feathered = kappa(region, config.keep.band_px / scene.grid.scale) * scene.valid
    # Without a composite the decoder's output is the result everywhere.
    everywhere = config.output.composite == "none"
    texts = [target_prompt(asked), _negative_text(request, asked)]
    tables = [token_table(tokenizer, text.text, text.findings) for text in texts]
    task = EditTask(
        image=scene.grid.to_model(scene.pixels),
        organs={k: scene.grid.mask_to_model(m) for k, m in scene.organs.as_dict().items()},
        prompt=texts[0].text,
        source_prompt=request.source_prompt,
        negative_prompt=texts[1].text,
        targets=_targets(asked, regions, grid=scene.grid, tables=tables),
        organ_tokens=tables[0].anatomy_tokens,
        special_tokens=tables[0].special_tokens,
        kappa=scene.grid.mask_to_model(feathered),
        mode=MODES[asked.mode],
    )
    if request.sham:  # a control steers nowhere, so not away from what is to be removed either
        task = replace(sham_task(task), negative_prompt=request.negative_prompt)
    weight = scene.valid.astype(np.float32) if everywhere else feathered
    cut = any(table.truncated for table in tables)
    return Case(asked, regions, region, weight, task, config, cut)


def edit_region(request: EditRequest, scene: Scene) -> Mask:
    """Where an edit would act, H x W, before anything is sampled; raises as ``understand``."""
    return np.asarray(np.logical_or.reduce(_regions(words(request), scene)))


def _regions(asked: ParsedPrompt, scene: Scene) -> tuple[Mask, ...]:
    return tuple(_region(item, scene) for item in asked.findings)


def _region(item: FindingEdit, scene: Scene) -> Mask:
    if scene.drawn is not None:
        region = scene.drawn & scene.valid
    else:
        terms = region_terms(item.finding, item.side, item.zone)
        region = region_mask(scene.organs, terms) & scene.valid
    if not region.any():
        raise UnsupportedImage(
            f"The region of '{item.finding}' covers no pixel of the image.",
            code="empty_region",
            hint="Name another side or zone, or draw the region (--roi).",
        )
    return np.asarray(region)


def _negative_text(request: EditRequest, asked: ParsedPrompt) -> SpannedText:
    """Removed findings first, so that their character spans hold."""
    removed = removal_prompt(asked)
    text = ", ".join(part for part in (removed.text, request.negative_prompt) if part)
    return replace(removed, text=text)


def _targets(
    asked: ParsedPrompt, regions: Sequence[Mask], *, grid: ModelGrid, tables: Sequence[TokenTable]
) -> tuple[Target, ...]:
    """One target per finding: added ones by the prompt's tokens, removed ones by the negative's."""
    added, removed = (iter(table.finding_tokens) for table in tables)
    targets = []
    for item, region in zip(asked.findings, regions, strict=True):
        negative = item.direction == "remove"
        tokens = next(removed if negative else added)
        where = "negative" if negative else "prompt"
        targets.append(Target(item.finding, tokens, grid.mask_to_model(region), where=where))
    return tuple(targets)


def _expected(item: FindingEdit, region: Mask) -> Expected:
    known = VOCABULARY[item.finding]
    sign = -known.sign if item.direction == "remove" else known.sign
    free = tuple(sorted(organs_that_may_change(item.finding, item.side)))
    rise = -1 if item.direction == "remove" else 1
    return Expected(item.finding, region, sign, known.measure, free, rise, known.related)
