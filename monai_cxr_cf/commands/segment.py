# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf segment``: organs of one radiograph as DICOM SEG, overlay picture and measures."""

import argparse
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands.options import (
    UNSET,
    add_cache_flags,
    add_reading_flags,
    cache_from,
    reading_from,
    request_from,
)
from monai_cxr_cf.commands.say import one_source, say, show
from monai_cxr_cf.errors import BadRequest, UnsupportedImage
from monai_cxr_cf.request import EditRequest, OrganRequest
from monai_cxr_cf.runs.atomic import staged
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.result import check_folder

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
    add_cache_flags(parser)
    parser.set_defaults(run=run, surplus=one_source)


def run(args: argparse.Namespace) -> int:
    """Read, segment, check, write; what is implausible is refused, and shown all the same."""
    out = Path(args.out)
    check_folder(out, overwrite=args.overwrite, ours=OURS)
    choice = _choice(args)
    from monai_cxr_cf.case import words
    from monai_cxr_cf.dicom.reading.read import read_source
    from monai_cxr_cf.runs.masks import masks_of, told, write_masks
    from monai_cxr_cf.runs.organs import find_organs

    networks = Networks(**cache_from(args))
    found = find_organs(choice, read_source(choice.source, choice.reading), networks)
    asked = words(choice) if choice.prompt or choice.findings else None
    masks = masks_of(found.scene, None if found.refusal else asked)
    with staged(out, overwrite=args.overwrite) as folder:
        written = write_masks(found.scene, masks, source=found.facts, folder=folder)
    files = [{"role": f.role, "path": f.path.name, "sha256": f.sha256} for f in written]
    data = {"files": files, **told(masks, found.facts, found.scene)}
    for note in data["warnings"]:
        args.talker.warning(note["code"], note["message"])
    if found.refusal is not None:
        raise _correctable(found.refusal)
    show(data) if args.json else _tell(data, out)
    return 0


def _correctable(refusal: UnsupportedImage) -> UnsupportedImage:
    """The refusal of organs that were written for a person to correct."""
    return UnsupportedImage(
        refusal.message,
        code=refusal.code,
        hint="What was found lies in --out. Correct labels.png and pass it on: cxr-cf edit ... "
        "--masks labels.png; with --roi as well nothing is refused.",
    )


def _choice(args: argparse.Namespace) -> EditRequest | OrganRequest:
    """A job file whole, as an edit would take it; or a source, and words if there are any."""
    if args.request:
        return request_from(args)
    if not args.source:
        raise BadRequest("No source is named.", hint="Give a DICOM file, or --request.")
    given = {key: getattr(args, key) for key in ("prompt", "segmenter") if key in args}
    return OrganRequest(args.source, reading=reading_from(args), **given)


def _tell(data: dict[str, Any], out: Path) -> None:
    for file in data["files"]:
        say((out / file["path"]).as_posix())
    areas = data["pixels"].items()
    say(", ".join(f"{name.replace('_', ' ')} {area} px" for name, area in areas))
    say(f"cardiothoracic ratio {data['measures']['cardiothoracic_ratio']:.2f}")
