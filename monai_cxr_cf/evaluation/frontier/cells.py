# SPDX-License-Identifier: Apache-2.0
"""One radiograph, edit and setting in; its effect in the region and its change beyond it out.

Edit and sham are sampled from the same noise under the same settings; the sham's target is the
source prompt. Both are decoded on the model grid, without paste and composite. *In* is the mean
absolute difference of the two inside the region, *out* the same beyond region and band, *signed*
the mean difference inside; all in grey levels of 255.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf import pipeline
from monai_cxr_cf.case import Case, words
from monai_cxr_cf.composite import kappa
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.diffusion.guidance import both_gated
from monai_cxr_cf.errors import UnsupportedImage
from monai_cxr_cf.evaluation.edits.protocol import Trial, digest
from monai_cxr_cf.evaluation.rows import weights_of
from monai_cxr_cf.presets import EditConfig
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.runs.networks import Networks

Row = dict[str, Any]
Planes = NDArray[np.float32]
Mask = NDArray[np.bool_]
VERSION = 1  # of the figures; rows of another version are not used
GREY = 255.0
HALF = 0.5  # coverage from which a pixel of the model grid lies in the region
KEPT = 16  # shams of one radiograph and edit that are kept
# Dials that change no byte of a sham: it has no word to act on, and target and source are one text.
# () = every dial of the part.
IDLE: dict[str, tuple[str, ...]] = {
    "sampling": ("guidance_scale", "cfg_until"),
    "boost": (),
    "anatomy": (),
    "tokens": ("regional_prompt", "carrier", "removal"),
    "energy": (),
    "correct": (),
    "keep": ("band_px",),
    "output": ("composite", "tau1", "tau2", "detail"),
}


@dataclass(frozen=True)
class Cell:
    """One radiograph, one edit, one setting, all seeds."""

    trial: Trial  # its settings are the cell's
    line: str
    guidance: float | None  # None = that of preset and calibration
    band: float  # pixels of the model grid beyond which *out* is measured

    def config(self, networks: Networks) -> EditConfig:
        """The settings in force."""
        request = self.trial.request()
        return pipeline.configure(request, words(request), networks)[0]

    def keys(self, networks: Networks) -> list[str]:
        """Of its rows, one a seed: the same for two settings that are the same in force."""
        trial, config = self.trial, self.config(networks)
        backbone = networks.backbone(trial.settings.backbone)
        place = [backbone.device.type, str(backbone.dtype), str(backbone.unet.dtype)]
        weights = weights_of(backbone, networks.segmenter(trial.settings.segmenter))
        asked = [trial.input.id, asdict(trial.edit), config.hash(), self.band]
        base = digest([asked, weights, place, backbone.compiled, VERSION])
        return [f"{base}-{seed}" for seed in trial.seeds]


@dataclass(frozen=True, eq=False)
class Areas:
    """Where *in* and *out* are measured, S x S."""

    inside: Mask
    outside: Mask


def areas(case: Case, radiograph: Radiograph, band: float) -> Areas:
    """The region, and what lies beyond it and its band, on the model grid without its pad.

    Raises:
        UnsupportedImage: one of the two is empty.
    """
    inner = case.grid.mask_to_model(radiograph.valid) >= HALF
    pad = np.ones(inner.shape, bool)
    pad[case.grid.window] = False
    inner &= ~pad
    region = case.grid.mask_to_model(case.region) >= HALF
    weight = case.grid.mask_to_model(kappa(case.region, band / case.grid.scale))
    found = Areas(inner & region, inner & ~region & (weight == 0))
    if not (found.inside.any() and found.outside.any()):
        raise UnsupportedImage(
            "On the model grid nothing lies in the region, or nothing beyond it and its band.",
            code="empty_region",
            hint="Name a smaller --band, or other edits.",
        )
    return found


def figures(edit: Planes, sham: Planes, where: Areas) -> dict[str, float]:
    """*In*, *out* and *signed* of one edit and its sham, grey levels of 255."""
    change = (np.asarray(edit, np.float64) - np.asarray(sham, np.float64)) * GREY
    return {
        "in": float(np.abs(change[where.inside]).mean()),
        "out": float(np.abs(change[where.outside]).mean()),
        "signed": float(change[where.inside].mean()),
    }


def sham_config(config: EditConfig) -> EditConfig:
    """The settings, without dials that change no byte of their sham: shams with one are one.

    Guidance counts where the branches differ: by a gate on the conditional one alone, or by a text
    of the source that uniform guidance sets against an empty one.
    """
    by_region = config.sampling.guidance_map == "region"
    one_text = both_gated(config) and (by_region or config.tokens.source == "empty")
    parts = {}
    for name in IDLE:
        part = getattr(config, name)
        if name != "sampling" or one_text:
            usual = type(part)()
            part = replace(part, **{dial: getattr(usual, dial) for dial in idle_dials(name)})
        parts[name] = part
    return replace(config, **parts)


def idle_dials(part: str) -> tuple[str, ...]:
    """The dials of one part that change no byte of a sham."""
    return IDLE[part] or tuple(one.name for one in fields(getattr(EditConfig(), part)))


@dataclass
class Maker:
    """Makes and measures cells; reads a radiograph once, and samples a sham once.

    Args:
        networks: loaded parts; their memory keeps encodings and inversions.
    """

    networks: Networks
    _asked: str = ""
    _source: tuple[Radiograph, Any] | None = None
    _path: str = ""
    _shams: dict[str, Planes] = field(default_factory=dict)

    def rows(self, cell: Cell) -> list[Row]:
        """One row per seed.

        Raises:
            UnsupportedImage: the engine refuses the radiograph, or its region is empty.
        """
        request = cell.trial.request()
        radiograph, scene = self._scene(request)
        began = time.perf_counter()
        case = pipeline.locate(request, words(request), scene, self.networks)
        where = areas(case, radiograph, cell.band)
        edits = self._decoded(request, case)
        seconds = (time.perf_counter() - began) / len(request.seeds)
        shams = self._sham(request, scene, case.config)
        about = {
            **about_of(cell.trial),
            "config": case.config.hash(),
            "guidance": case.config.sampling.guidance_scale,
            "band_px": cell.band,
            "sign": int(case.expected()[0].sign),
        }
        return [
            {"key": key, **about, "seed": seed, "seconds": round(seconds, 3)}
            | {k: round(v, 5) for k, v in figures(edit, sham, where).items()}
            for key, seed, edit, sham in zip(
                cell.keys(self.networks), request.seeds, edits, shams, strict=True
            )
        ]

    def _scene(self, request: EditRequest) -> tuple[Radiograph, Any]:
        if self._source is None or self._path != request.source:
            radiograph = read_source(request.source, request.reading)
            scene, _ = pipeline.segment(request, radiograph, self.networks)
            self._source, self._path = (radiograph, scene), request.source
        return self._source

    def _sham(self, request: EditRequest, scene: Any, config: EditConfig) -> Planes:
        """The decoded shams of the same noise, sampled or kept."""
        asked = digest([request.source, request.prompt, request.seeds, request.backbone])
        key = sham_config(config).hash()
        if asked != self._asked:
            self._asked, self._shams = asked, {}
        if key not in self._shams:
            sham = replace(request, sham=True)
            case = pipeline.locate(sham, words(sham), scene, self.networks)
            while len(self._shams) >= KEPT:
                self._shams.pop(next(iter(self._shams)))
            self._shams[key] = self._decoded(sham, case)
        return self._shams[key]

    def _decoded(self, request: EditRequest, case: Case) -> Planes:
        """(seeds, S, S): the decoder's own output on the model grid."""
        samples = pipeline.sample(
            request, case, self.networks, seeds=request.seeds, progress=lambda event: None
        )
        _, shown = pipeline.decode(request, case, samples, self.networks)
        return shown.edited


def about_of(trial: Trial) -> Row:
    """The fields of a row that say what was asked."""
    return {
        **trial.about(),
        "direction": trial.edit.direction,
        "prompt": trial.edit.prompt,
    }


def band_of(trial: Trial, networks: Networks) -> float:
    """The band that preset and calibration give the trial, pixels of the model grid."""
    request = trial.request()
    return float(pipeline.configure(request, words(request), networks)[0].keep.band_px)
