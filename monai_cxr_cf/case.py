# SPDX-License-Identifier: Apache-2.0
"""Words, organs and an image in; the edit task out: what changes, where, and which tokens say so.

The second half of understanding a request, after the organs are known and before sampling.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf import composite
from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.anatomy.zones import region_mask
from monai_cxr_cf.bounds import Bounds, Reach, patient_bounds, shown_detail, within
from monai_cxr_cf.calibration import Dose
from monai_cxr_cf.composite import Decoded, kappa
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.diffusion.modes import sham_task
from monai_cxr_cf.diffusion.task import EditTask, Target, Words
from monai_cxr_cf.errors import UnsupportedImage
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.judges.evidence import Expected
from monai_cxr_cf.presets import EditConfig
from monai_cxr_cf.prompts.compose import (
    ParsedPrompt,
    SpannedText,
    instruction,
    removal_prompt,
    source_prompt,
    target_prompt,
    text_of,
)
from monai_cxr_cf.prompts.findings import VOCABULARY, organs_that_may_change, region_terms
from monai_cxr_cf.prompts.parse import parse_prompt, parsed_from_findings
from monai_cxr_cf.prompts.tokens import TokenTable, token_table
from monai_cxr_cf.request import EditRequest, FindingEdit

MODES = {"add": "edit", "remove": "removal", "mixed": "mixed"}
Mask = NDArray[np.bool_]
Array = NDArray[np.float32]


class Asked(Protocol):
    """What ``words`` reads of a request: one of the two is empty."""

    @property
    def prompt(self) -> str:
        """What the user wrote."""

    @property
    def findings(self) -> tuple[FindingEdit, ...]:
        """The same as data."""


@dataclass(frozen=True)
class Scene:
    """The picture an edit acts on, native grid."""

    radiograph: Radiograph
    organs: Organs  # with the user's masks where given
    found: Organs  # as the segmenter drew them: the yardstick of the verdict
    drawn: Mask | None = None  # the user's own region, instead of the one from words
    notes: tuple[tuple[str, str], ...] = ()  # (code, message) about masks and sides


@dataclass(frozen=True)
class Case:
    """A request understood for one image."""

    asked: ParsedPrompt
    regions: tuple[Mask, ...]  # native, one per finding of ``asked``
    region: Mask  # their union: the edit region
    weight: Array  # kappa, native: 1 in the region, falling over the band, else exactly 0
    task: EditTask
    grid: ModelGrid  # native pixels to the backbone's and back
    config: EditConfig  # the settings in force
    truncated: bool  # the end of a text did not fit the text encoder
    notes: tuple[tuple[str, str], ...] = ()  # (code, message): what speaks against the request

    @property
    def band(self) -> Mask:
        """Where kappa lies between 0 and 1: the edit band."""
        return np.asarray((self.weight > 0) & ~self.region)

    @cached_property
    def reached(self) -> tuple[Reach, ...]:
        """Where each finding acts on the model grid, and which way."""
        found = []
        for target, item in zip(self.task.targets, self.asked.findings, strict=True):
            known = VOCABULARY[item.finding]
            heart = known.measure == "heart"
            found.append(Reach(target.region, known.way(item.direction), heart))
        return tuple(found)

    @cached_property
    def bounds(self) -> Bounds:
        """Between which greys every member of a series stays, on the model grid."""
        band = self.config.keep.band_px
        return patient_bounds(self.task.image, self.task.organs, self.reached, band)

    def change(self, radiograph: Radiograph, decoded: Decoded) -> Array:
        """What one decoded image changes, H x W in display units, bright = dense; else exactly 0.

        With ``output.composite`` "none" the whole image is the decoder's.
        """
        output = self.config.output
        if output.bounds == "patient":
            decoded = within(decoded, self.bounds)
        if output.composite == "none":
            return composite.plain(radiograph.pixels, decoded, grid=self.grid) * radiograph.valid
        detail = shown_detail(output.detail, self.reached)
        change = partial(composite.residual, tau=(output.tau1, output.tau2), detail=detail)
        return change(radiograph.pixels, decoded, self.weight, grid=self.grid)

    def plain(self, radiograph: Radiograph, edited: Array) -> Array:
        """What the decoder's own picture changes, H x W, before any bound or composite."""
        own = composite.plain(radiograph.pixels, Decoded(edited, edited), grid=self.grid)
        return np.asarray(own * radiograph.valid, np.float32)

    def beyond(self, edited: Array, reference: Array) -> list[float]:
        """Mean |D(z0') - D(E(x))| of (N, S, S) images where kappa is 0, grey levels of 255."""
        outside = self.task.kappa == 0
        if not outside.any():
            return [0.0] * len(edited)
        return [float(np.abs(image - reference)[outside].mean()) * 255 for image in edited]

    def expected(self) -> tuple[Expected, ...]:
        """What the picture should show afterwards, finding by finding."""
        return tuple(map(_expected, self.asked.findings, self.regions))


def words(request: Asked) -> ParsedPrompt:
    """The findings a request asks for, from its prompt or its list; BadRequest if unknown."""
    if request.prompt:
        return parse_prompt(request.prompt)
    return parsed_from_findings(request.findings)


def understand(
    request: EditRequest,
    asked: ParsedPrompt,
    scene: Scene,
    *,
    grid: ModelGrid,
    config: EditConfig,
    tokenizer: Any,
) -> Case:
    """Regions and tokens of a request, whose words are ``asked``, on one image.

    ``config.keep.band_px`` is in pixels of the model's square, to which ``grid`` leads. Raises
    BadRequest for words beyond 77 tokens, UnsupportedImage for a region without a pixel.
    """
    regions = _regions(asked, scene)
    region, valid = np.logical_or.reduce(regions), scene.radiograph.valid
    weight = kappa(region, config.keep.band_px / grid.scale) * valid
    texts = _texts(request, asked, config)
    tables = [token_table(tokenizer, text.text, text.findings) for text in texts]
    own = _own_texts(asked, scene, config, tokenizer)
    cut = any(table.truncated for table in (*tables, *(table for _, table in own)))
    task = EditTask(
        image=grid.to_model(scene.radiograph.pixels),
        organs={k: grid.mask_to_model(m) for k, m in scene.organs.as_dict().items()},
        prompt=texts[0].text,
        source_prompt=_source_text(request, asked, config),
        negative_prompt=texts[1].text,
        instruction=instruction(asked),
        targets=_targets(asked, parted(asked, regions), grid=grid, tables=tables, own=own),
        organ_tokens=tables[0].anatomy_tokens,
        special_tokens=tables[0].special_tokens,
        modifier_tokens=tables[0].modifier_tokens,
        kappa=grid.mask_to_model(weight),
        mode=MODES[asked.mode],
    )
    if request.sham:  # a control steers nowhere, so not away from what is to be removed either
        task = replace(sham_task(task), negative_prompt=request.negative_prompt)
    if config.output.composite == "none":  # the decoder's output is the result everywhere
        weight = valid.astype(np.float32)
    return Case(asked, regions, region, weight, task, grid, config, cut)


def dosed(case: Case, doses: Sequence[Dose]) -> Case:
    """The case with what each of its findings gets of its own; unchanged without ``doses``."""
    if not doses:
        return case
    targets = tuple(
        replace(target, guidance=dose.guidance, rms=dose.rms, strength=dose.strength)
        for target, dose in zip(case.task.targets, doses, strict=True)
    )
    return replace(case, task=replace(case.task, targets=targets))


def edit_region(asked: ParsedPrompt, scene: Scene) -> Mask:
    """Where an edit would act, H x W, before anything is sampled; raises as ``understand``."""
    return np.asarray(np.logical_or.reduce(_regions(asked, scene)))


def _regions(asked: ParsedPrompt, scene: Scene) -> tuple[Mask, ...]:
    return tuple(_region(item, scene) for item in asked.findings)


def _region(item: FindingEdit, scene: Scene) -> Mask:
    if scene.drawn is not None:
        region = scene.drawn & scene.radiograph.valid
    else:
        terms = region_terms(item.finding, item.side, item.zone)
        region = region_mask(scene.organs, terms) & scene.radiograph.valid
    if not region.any():
        raise UnsupportedImage(
            f"The region of '{item.finding}' covers no pixel of the image.",
            code="empty_region",
            hint="Name another side or zone, or draw the region (--roi).",
        )
    return np.asarray(region)


def _source_text(request: EditRequest, asked: ParsedPrompt, config: EditConfig) -> str:
    """What the user says of the source, else what the request implies."""
    implied = source_prompt(asked) if config.tokens.source == "opposite" else ""
    return request.source_prompt or implied


def _texts(request: EditRequest, asked: ParsedPrompt, config: EditConfig) -> list[SpannedText]:
    """What to steer towards, and away from: findings first, or none if healthy words rule."""
    healthy = config.tokens.removal == "healthy"
    removed = SpannedText("") if healthy else removal_prompt(asked)
    away = ", ".join(filter(None, (removed.text, request.negative_prompt)))
    return [target_prompt(asked, healthy=healthy), replace(removed, text=away)]


def parted(asked: ParsedPrompt, regions: Sequence[Mask]) -> list[Mask]:
    """The same without what is to be removed where something is to be added; never empty."""
    pairs = list(zip(regions, (item.direction != "remove" for item in asked.findings), strict=True))
    added = np.any([region & comes for region, comes in pairs], axis=0)
    return [r if comes or not (r & ~added).any() else r & ~added for r, comes in pairs]


def _targets(
    asked: ParsedPrompt,
    regions: Sequence[Mask],
    *,
    grid: ModelGrid,
    tables: Sequence[TokenTable],
    own: Sequence[tuple[Words, TokenTable]],
) -> tuple[Target, ...]:
    """One target per finding: by the prompt's tokens and its own text, or the negative prompt's."""
    positive, negative = (iter(table.finding_tokens) for table in tables)
    steered_away = bool(tables[1].finding_tokens)
    targets = []
    for number, (item, region) in enumerate(zip(asked.findings, regions, strict=True)):
        plane = grid.mask_to_model(region)
        if steered_away and item.direction == "remove":
            targets.append(Target(item.finding, next(negative), plane, where="negative"))
        else:
            words = own[number][0] if own else None
            targets.append(Target(item.finding, next(positive), plane, words=words))
    return tuple(targets)


def _own_texts(
    asked: ParsedPrompt, scene: Scene, config: EditConfig, tokenizer: Any
) -> list[tuple[Words, TokenTable]]:
    """A text for each of several findings; none where they share a drawn region or a text rules.

    So that end and padding tokens, which carry a whole prompt, speak of one finding in its region.
    """
    tokens = config.tokens
    apart = tokens.regional_prompt and config.gate.mode != "dense" and tokens.removal == "healthy"
    if len(asked.findings) < 2 or scene.drawn is not None or not apart:
        return []
    found = []
    for item in asked.findings:
        text = text_of(item)
        table = token_table(tokenizer, text.text, text.findings)
        (path,) = table.finding_tokens
        found.append((Words(text.text, path, table.anatomy_tokens, table.special_tokens), table))
    return found


def _expected(item: FindingEdit, region: Mask) -> Expected:
    known = VOCABULARY[item.finding]
    sign = known.sense(item.direction)
    free = tuple(sorted(organs_that_may_change(item.finding, item.side)))
    rise = -1 if item.direction == "remove" else 1
    return Expected(
        item.finding, region, sign, known.measure, free, rise, known.related, known.covers
    )
