# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf segment``: organs of one radiograph as DICOM SEG, overlay picture and measures."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cxr_cf.commands.options import UNSET, add_reading_flags, reading_from, request_from
from monai_cxr_cf.commands.say import say, show
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.runs.masks import weights_of, write_masks
from monai_cxr_cf.runs.result import check_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from monai_cxr_cf.anatomy.organs import Organs
    from monai_cxr_cf.anatomy.segment import Segmentation
    from monai_cxr_cf.dicom.radiograph import Radiograph
    from monai_cxr_cf.dicom.record import Weights

    Masks = dict[str, NDArray[np.bool_]]

EXAMPLES = """\
examples:
  cxr-cf segment chest.dcm --out masks
  cxr-cf segment chest.dcm --out masks --prompt "left pleural effusion"     its region too
  cxr-cf segment chest.dcm --out masks --segmenter unet --json
  cxr-cf segment --request job.json --out masks            the region of that very edit

what lands in masks: overlay.png, labels.png (1 right lung, 2 left lung, 3 heart), seg.dcm
correct labels.png or seg.dcm in an editor and pass it on: cxr-cf edit ... --masks labels.png
"""
OURS = frozenset({"overlay.png", "labels.png", "seg.dcm"})


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "segment",
        parents=[common],
        epilog=EXAMPLES,
        help="find lungs and heart",
        description="Find the organs of one radiograph, as an edit would, and show them.",
    )
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="DICOM file or folder")
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder, new or empty")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier output")
    parser.add_argument("--prompt", default=UNSET, help="also show the region these words name")
    parser.add_argument("--request", metavar="JSON", help="job file of an edit; flags replace it")
    parser.add_argument("--segmenter", choices=["hybridgnet", "unet"], default=UNSET)
    add_reading_flags(parser)
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class Found:
    """One radiograph and the masks to write."""

    radiograph: "Radiograph"
    organs: "Organs"
    masks: "Masks"  # organs, and the region if there are words
    measures: dict[str, float]
    weights: "Weights"


def run(args: argparse.Namespace) -> int:
    """Read, segment, check, write; an implausible result is a refusal, not a picture."""
    from monai_cxr_cf.runs.atomic import staged

    out = Path(args.out)
    check_folder(out, overwrite=args.overwrite, ours=OURS)
    found = _of_job(args) if args.request else _of_source(args)
    with staged(out, overwrite=args.overwrite) as folder:
        written = write_masks(
            found.radiograph, found.organs, masks=found.masks, weights=found.weights, folder=folder
        )
    files = [{"role": f.role, "path": f.path.name, "sha256": f.sha256} for f in written]
    weights = found.weights
    used = {"name": weights.name, "sha256": weights.sha256, "licence": weights.licence}
    areas = {name: int(mask.sum()) for name, mask in found.masks.items()}
    data = {"files": files, "pixels": areas, "measures": found.measures, "segmenter": used}
    if args.json:
        show(data)
        return 0
    for file in files:
        say((out / file["path"]).as_posix())
    say(", ".join(f"{name.replace('_', ' ')} {area} px" for name, area in areas.items()))
    say(f"cardiothoracic ratio {found.measures['cardiothoracic_ratio']:.2f}")
    return 0


def _of_source(args: argparse.Namespace) -> Found:
    """The organs of a file, and the region of ``--prompt``."""
    from monai_cxr_cf.anatomy.organs import check
    from monai_cxr_cf.dicom.reading.read import read_source
    from monai_cxr_cf.pipeline import pixel_aspect
    from monai_cxr_cf.runs.networks import Networks

    if not args.source:
        raise BadRequest("No source is named.", hint="Give a DICOM file, or --request.")
    radiograph = read_source(args.source, reading_from(args))
    segmenter = Networks().segmenter(getattr(args, "segmenter", "hybridgnet"))
    found = segmenter(radiograph.pixels, radiograph.valid, aspect=pixel_aspect(radiograph))
    measures = check(found.organs, agreement=found.agreement)
    masks = {**found.organs.as_dict(), **_region(getattr(args, "prompt", ""), found)}
    return Found(radiograph, found.organs, masks, measures, weights_of(found))


def _of_job(args: argparse.Namespace) -> Found:
    """What an edit of a job file would see and where it would act: by the pipeline's own steps."""
    from monai_cxr_cf.case import edit_region
    from monai_cxr_cf.dicom.reading.read import read_source
    from monai_cxr_cf.dicom.record import Weights
    from monai_cxr_cf.pipeline import segment
    from monai_cxr_cf.runs.networks import Networks

    request = request_from(args)
    radiograph = read_source(request.source, request.reading)
    scene, used = segment(request, radiograph, Networks())
    masks = {**scene.organs.as_dict(), "edit_region": edit_region(request, scene)}
    weights = Weights("segmenter", used["segmenter"], used["sha256"], used["licence"])
    return Found(radiograph, scene.organs, masks, used["measures"], weights)


def _region(prompt: str, found: "Segmentation") -> "Masks":
    """The edit region that the words name; nothing for no words."""
    if not prompt:
        return {}
    from monai_cxr_cf.anatomy.zones import region_mask
    from monai_cxr_cf.prompts.findings import region_terms
    from monai_cxr_cf.prompts.parse import parse_prompt

    asked = parse_prompt(prompt).findings
    terms = [term for item in asked for term in region_terms(item.finding, item.side, item.zone)]
    return {"edit_region": region_mask(found.organs, terms)}
