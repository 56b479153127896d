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

from monai_cxr_cf.calibration import Dose, unless_said
from monai_cxr_cf.case import MODES, Case, Scene, dosed, understand, words
from monai_cxr_cf.catalogue.table import OURS
from monai_cxr_cf.composite import Decoded
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.diffusion import severity
from monai_cxr_cf.diffusion.cost.estimate import within_memory
from monai_cxr_cf.diffusion.render import Rendered, render
from monai_cxr_cf.diffusion.sample import Samples
from monai_cxr_cf.diffusion.task import EditTask, Progress, Scorer
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.judges.slope import probability_of
from monai_cxr_cf.methods.external import Wanted, finished
from monai_cxr_cf.methods.registry import run_method
from monai_cxr_cf.presets import EditConfig
from monai_cxr_cf.prompts.compose import ParsedPrompt
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.runs.atomic import staged
from monai_cxr_cf.runs.doubts import doubts
from monai_cxr_cf.runs.given import MaskChoice
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.organs import find_organs
from monai_cxr_cf.runs.outputs import write_all
from monai_cxr_cf.runs.record import default_seed
from monai_cxr_cf.runs.run import Outcome, Picture, Run, Stages, warn


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
        progress: called with ``{"stage", "step", "total"}``, and with ``"warning"`` besides where
            one comes before the end; may raise ``Cancelled``.
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
    return replace(outcome.moved(folder, out), seconds=dict(done.stages.seconds))


def edit(
    request: EditRequest, networks: Networks, stages: Stages, *, raw: bool = False
) -> tuple[Run, list[Picture]]:
    """The method in order, from file to pictures; nothing is written.

    ``raw``: pictures hold the decoder's own change as well.
    """
    networks.memory.taken.clear()  # counted anew for this run
    # 1. The strict reader: stored values, display values 0..1, and the exact way back.
    with stages("read"):
        radiograph = read_source(request.source, request.reading)
        asked = words(request)  # an unknown finding is refused before anything slow begins
    # 2. Organs on the native grid: the user's masks, else the segmenter's, checked.
    with stages("segment"):
        scene, masks = segment(request, radiograph, networks)
    # 3. Words become findings, regions and tokens.
    with stages("region") as step:
        case = locate(request, asked, scene, networks)
        warn(step, case.notes)
    # 4. The regulated sampler, or the method that is asked for, one latent per seed.
    with stages("sample") as step:
        seeds = request.seeds or (default_seed(radiograph, request),)
        samples = sample(request, case, networks, seeds=seeds, progress=step)
    # 5. Latents to pictures on the model grid: one per seed and level, and the source's own.
    with stages("decode"):
        labels, shown = decode(request, case, samples, networks)
    # 6. Only the change goes back to the native grid, only inside region and band.
    with stages("composite"):
        pictures = compose(radiograph, case, shown, labels, raw=raw)
    run_ = Run(request, radiograph, scene, case, shown.trace, masks, stages, seeds, networks)
    return run_, pictures


def segment(
    choice: MaskChoice, radiograph: Radiograph, networks: Networks
) -> tuple[Scene, dict[str, Any]]:
    """The scene of an edit, and where its masks came from.

    Organs come from the user's masks, else from the network; the region from the user, if drawn.
    What is no upright frontal chest is refused.
    """
    found = find_organs(choice, radiograph, networks)
    if found.refusal is not None:
        raise found.refusal
    return found.scene, dict(found.facts)


def locate(request: EditRequest, asked: ParsedPrompt, scene: Scene, networks: Networks) -> Case:
    """The request understood on the backbone's grid: regions, tokens and settings in force.

    Its notes warn of findings to be removed that the source does not show, and of levels that a
    noised start changes as well.
    """
    networks.check_kind(request.backbone, request.choice().row)
    backbone = networks.backbone(request.backbone)
    grid = ModelGrid(scene.radiograph.shape, backbone.side, scene.radiograph.aspect)
    config, doses = configure(request, asked, networks)
    tokens = backbone.tokenizer
    case = understand(request, asked, scene, grid=grid, config=config, tokenizer=tokens)
    notes = severity.notes(config, request.levels) if request.levels_by == "guidance" else ()
    if not request.sham:  # which is to remove nothing
        notes += doubts(case.expected(), scene, networks)
    return dosed(replace(case, notes=notes, task=beside(request, case, networks)), doses)


def beside(request: EditRequest, case: Case, networks: Networks) -> EditTask:
    """The task, with the pictures or the classifier that the method of a request needs.

    Raises:
        BadRequest: the manifest has no picture, several findings are asked for, or one that the
            classifier does not know.
    """
    choice = request.choice()
    judge = networks.judge(choice.settings.judge) if "classifier" in choice.row.needs else None
    if judge is not None:
        moved = probability_of(judge, case.asked.findings[0].finding, case.grid.window)
        return replace(case.task, scorer=Scorer(judge.name, judge.sha256, moved))
    if "results" not in choice.row.needs:
        return case.task
    if len(case.asked.findings) != 1:
        raise BadRequest(f"'{choice.row.id}' shows one finding; {len(case.asked.findings)} asked.")
    (item,) = case.asked.findings
    name = Path(request.source).name
    wanted = Wanted(name, item.finding, item.direction, tuple(request.seeds), request.prompt)
    return replace(case.task, finished=finished(choice.settings.folder, wanted, case.grid))


def configure(
    request: EditRequest, asked: ParsedPrompt, networks: Networks
) -> tuple[EditConfig, tuple[Dose, ...]]:
    """The settings in force: preset, the backbone's calibration, the request's overrides.

    And what each of several findings gets of its own; () for one. A sham gets those of the edit
    that it controls. A calibration is of our method alone.
    """
    if request.method != OURS:
        return request.config(), ()
    found, items = networks.calibration(request.backbone), asked.findings
    config = request.config(found.config(request.preset, MODES[asked.mode], items))
    config = carried(config, request.backbone, networks)
    return config, unless_said(found.doses(request.preset, items, config), request)


def carried(config: EditConfig, backbone: str, networks: Networks) -> EditConfig:
    """With ``tokens.carrier=auto`` replaced by what the backbone's census of tokens says.

    Raises:
        BadRequest: that census is of other weights, or has no answer.
    """
    if config.tokens.carrier != "auto":
        return config
    return config.with_overrides({"tokens": {"carrier": networks.carrier(backbone)}})


def sample(
    request: EditRequest,
    case: Case,
    networks: Networks,
    *,
    seeds: tuple[int, ...],
    progress: Progress,
) -> Samples:
    """The method asked for on one case: a latent per seed, and per level if they are sampled.

    Raises:
        ResourceExhausted: memory cannot hold it.
    """
    backbone, task, config = networks.backbone(request.backbone), case.task, case.config
    with within_memory(backbone, config):
        if request.levels_by == "guidance":
            levels = request.levels
            return severity.sample_levels(
                backbone, task, config, seeds=seeds, levels=levels, progress=progress
            )
        choice = request.choice()
        return run_method(choice, backbone, task, config=config, seeds=seeds, progress=progress)


def decode(
    request: EditRequest, case: Case, samples: Samples, networks: Networks
) -> tuple[list[str], Rendered]:
    """Label and model image of every member of the series, and the source's own image."""
    labels, series = severity.members(samples, request.levels or (1.0,))
    return labels, render(networks.backbone(request.backbone), samples, case.task.image, z=series)


def compose(
    radiograph: Radiograph,
    case: Case,
    shown: Rendered,
    labels: Sequence[str],
    *,
    raw: bool = False,
) -> list[Picture]:
    """Every member of the series on the native grid, as change and as stored values."""
    own = [case.plain(radiograph, z) if raw else None for z in shown.edited]
    changes = (case.change(radiograph, Decoded(z, shown.reference)) for z in shown.edited)
    beyond = case.beyond(shown.edited, shown.reference)
    return [
        Picture(change, radiograph.to_stored(change), label, leak, decoders)
        for change, label, leak, decoders in zip(changes, labels, beyond, own, strict=True)
    ]
