# SPDX-License-Identifier: Apache-2.0
"""From a radiograph and a request to its counterfactual: read this page first.

    read -> segment -> region -> sample -> decode -> composite -> write

``run`` is the whole method in order; every step is one call into the folder that holds it. The
command line, the MONAI bundle and the server do nothing but call it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_cxr_cf import composite
from monai_cxr_cf.anatomy.organs import NAMES, check
from monai_cxr_cf.case import MODES, Case, MaskChoice, Scene, understand, words
from monai_cxr_cf.composite import Decoded
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.diffusion import modes
from monai_cxr_cf.diffusion.cost.meter import within_memory
from monai_cxr_cf.diffusion.render import Rendered, render
from monai_cxr_cf.diffusion.sample import Samples
from monai_cxr_cf.diffusion.task import Progress
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.methods.registry import METHODS
from monai_cxr_cf.presets import EditConfig
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.runs.atomic import staged
from monai_cxr_cf.runs.given import REGION_NAMES, user_masks, user_region
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.outputs import write_all
from monai_cxr_cf.runs.record import default_seed
from monai_cxr_cf.runs.run import Outcome, Picture, Run, Stages

Mask = NDArray[np.bool_]


def run(
    request: EditRequest,
    out: Path,
    *,
    networks: Networks | None = None,
    progress: Progress | None = None,
    arrays: bool = False,
    overwrite: bool = False,
) -> Outcome:
    """Edit one radiograph and write everything about it into ``out``.

    Args:
        request: what to do, to which file, how.
        out: output folder; it appears complete or not at all.
        networks: loaded networks to reuse; None loads the shipped ones.
        progress: called with ``{"stage", "step", "total"}``; may raise ``Cancelled``.
        arrays: also write ``masks.npz`` with masks, change and uncertainty maps.
        overwrite: replace a folder that holds files.

    Raises:
        CxrError: one of its kinds, with what was found, what was expected and what to do.
    """
    with staged(out, overwrite=overwrite) as folder:
        done, pictures = edit(request, networks or Networks(), Stages(progress))
        # 7. DICOM image, difference, masks, structured report, pictures, report.json.
        with done.stages("write"):
            outcome = write_all(done, pictures, folder, arrays=arrays)
    return outcome.moved(folder, out)


def edit(request: EditRequest, networks: Networks, stages: Stages) -> tuple[Run, list[Picture]]:
    """The method in order, from file to pictures; nothing is written."""
    # 1. The strict reader: stored values, display values 0..1, and the exact way back.
    with stages("read"):
        radiograph = read_source(request.source, request.reading)
        words(request)  # an unknown finding is refused before anything slow begins
    # 2. Organs on the native grid: the user's masks, else the segmenter's, checked.
    with stages("segment"):
        scene, masks = segment(request, radiograph, networks)
    # 3. Words become findings, regions and tokens.
    with stages("region"):
        scene, case = locate(request, scene, networks)
    # 4. The regulated sampler, one latent per seed.
    with stages("sample") as step:
        seeds = request.seeds or (default_seed(radiograph, request),)
        samples = sample(request, case, networks, seeds=seeds, progress=step)
    # 5. Latents to pictures on the model grid: one per seed and level, and the source's own.
    with stages("decode"):
        labels, shown = decode(request, case, samples, networks)
    # 6. Only the change goes back to the native grid, only inside region and band.
    with stages("composite"):
        pictures = compose(radiograph, case, shown, labels, grid=scene.grid)
    run_ = Run(request, radiograph, scene, case, shown.trace, masks, stages, seeds, networks)
    return run_, pictures


def segment(
    request: MaskChoice, radiograph: Radiograph, networks: Networks
) -> tuple[Scene, dict[str, Any]]:
    """The scene of an edit: organs from masks or network, and the user's region if one is given.

    Returns:
        The scene on a grid of 256 (its side is set when the backbone is known), and facts about
        where the masks came from.
    """
    given = user_masks(request.masks, radiograph)
    roi = user_region(request.roi, radiograph)
    if roi is None:  # a SEG of ours holds masks and region
        roi = next((given[name] for name in REGION_NAMES if name in given), None)
    grid = ModelGrid(radiograph.shape, 256, pixel_aspect(radiograph))
    segmenter = networks.segmenter(request.segmenter)
    found = segmenter(radiograph.pixels, radiograph.valid, aspect=grid.aspect)
    organs = found.organs.replaced(given)
    all_given = set(given) >= set(NAMES)  # then the network's doubts do not matter
    facts = check(organs, agreement=None if all_given else found.agreement)
    masks = {
        "segmenter": found.name,
        "sha256": found.sha256,
        "licence": found.licence,
        "from_user": sorted(set(given) & set(NAMES)),
        "region_from_user": roi is not None,
        "measures": facts,
    }
    return Scene(radiograph.pixels, radiograph.valid, organs, found.organs, grid, roi), masks


def locate(request: EditRequest, scene: Scene, networks: Networks) -> tuple[Scene, Case]:
    """The scene on the backbone's grid, and the request understood on it: regions and tokens."""
    backbone = networks.backbone(request.backbone)
    scene = replace(scene, grid=replace(scene.grid, side=backbone.side))
    config = configure(request, networks)
    return scene, understand(request, scene, config=config, tokenizer=backbone.tokenizer)


def sample(
    request: EditRequest,
    case: Case,
    networks: Networks,
    *,
    seeds: tuple[int, ...],
    progress: Progress,
) -> Samples:
    """Our method on one case: a latent per seed; ResourceExhausted if memory cannot hold it."""
    backbone = networks.backbone(request.backbone)
    with within_memory(backbone, case.config):
        return METHODS["regulated"](
            backbone, case.task, case.config, seeds=seeds, progress=progress
        )


def pixel_aspect(radiograph: Radiograph) -> float:
    """Row spacing over column spacing; 1 where the file says nothing."""
    spacing = radiograph.spacing.physical or radiograph.spacing.display
    return 1.0 if spacing is None else spacing[0] / spacing[1]


def configure(request: EditRequest, networks: Networks) -> EditConfig:
    """The settings in force: preset, the backbone's calibration, the request's overrides.

    A sham gets those of the edit that it controls.
    """
    asked = words(request)
    findings = [item.finding for item in asked.findings]
    mode = MODES[asked.mode]
    return request.config(networks.calibrated(request.backbone, request.preset, mode, findings))


def decode(
    request: EditRequest, case: Case, samples: Samples, networks: Networks
) -> tuple[list[str], Rendered]:
    """Label and model image of every member of the output series, and the source's own image."""
    labels, series = members(samples, request.levels or (1.0,))
    backbone = networks.backbone(request.backbone)
    return labels, render(backbone, samples, case.task.image, z=series)


def members(samples: Samples, levels: tuple[float, ...]) -> tuple[list[str], Tensor]:
    """Label and latent of every member of the output series: seeds, and levels within each.

    Severity is the post-hoc blend z_src + lambda (z0' - z_src) (docs/method.md 4).
    """
    labels = [f"seed {seed}, severity {level:.2f}" for seed in samples.seeds for level in levels]
    series = [modes.severity_series(samples.z_src, z[None], levels) for z in samples.z]
    return labels, torch.cat(series)


def compose(
    radiograph: Radiograph, case: Case, shown: Rendered, labels: Sequence[str], *, grid: ModelGrid
) -> list[Picture]:
    """Every member of the series on the native grid."""
    return [
        picture(radiograph, case, Decoded(edited, shown.reference), label, grid=grid)
        for edited, label in zip(shown.edited, labels, strict=True)
    ]


def picture(
    radiograph: Radiograph, case: Case, decoded: Decoded, label: str, *, grid: ModelGrid
) -> Picture:
    """One counterfactual on the native grid, as change and as stored values."""
    if case.config.output.composite == "none":
        change = composite.plain(radiograph.pixels, decoded, grid=grid) * radiograph.valid
    else:
        tau = (case.config.output.tau1, case.config.output.tau2)
        change = composite.residual(radiograph.pixels, decoded, case.weight, grid=grid, tau=tau)
    return Picture(change=change, stored=radiograph.to_stored(change), label=label)
