# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf edit``: the flags or a job file in, the output folder and its story out.

With ``--progress ndjson`` it is the runner that Slicer and the server start (docs/usage.md 5).
"""

import argparse
import time
from pathlib import Path
from typing import Any

from monai_cxr_cf import __version__
from monai_cxr_cf.commands import options
from monai_cxr_cf.commands.say import add_place_flags, one_source, place_from, say, show
from monai_cxr_cf.devices import check_place, device_of
from monai_cxr_cf.imports import loading
from monai_cxr_cf.runs import facts
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.result import check_folder, refuse_early, result_of

ABOUT = "Change one finding in one radiograph, and prove what changed and what not."
EXAMPLES = """\
examples:
  cxr-cf edit chest.dcm --prompt "moderate left pleural effusion" --out out
  cxr-cf edit chest.dcm --prompt "no cardiomegaly" --out out     where the heart is large
  cxr-cf edit chest.dcm --prompt "severe left pleural effusion" --levels 0.25,0.5,1 --out out
  cxr-cf edit chest.dcm --prompt "right pleural effusion" --seeds 1,2,3 --out out
  cxr-cf edit chest.dcm --prompt "left pleural effusion" --preset fast --boost-eta 2 --out out
  cxr-cf edit scan.png --allow-raster --prompt "cardiomegaly" --no-correction --out out
  cxr-cf edit chest.dcm --prompt "left pleural effusion" --method sd_inpaint --out out
  cxr-cf edit --request job.json --progress ndjson --arrays --out out   for programs

what lands in out: cf/0001.dcm, diff/0001.dcm, seg.dcm, sr.dcm, preview.png, trace.png, report.json;
of several levels or seeds also sheet.png, with --png png/0001.png, with --arrays masks.npz
exit code: 0 done, 1 bug, 2 bad input, 3 something missing, 4 no memory or disk, 130/143 stopped
"""
KINDS = {
    "preview": "look here first",
    "sheet": "all images of the series, mean change, how often each pixel changed",
    "cf": "counterfactual, marked SYNTHETIC (DICOM)",
    "diff": "signed difference (DICOM Secondary Capture)",
    "seg": "organs, edit region, edit band (DICOM SEG)",
    "sr": "structured report (DICOM SR TID 1500)",
    "trace": "what the sampler did, step by step",
    "png": "counterfactual, marked SYNTHETIC (PNG)",
    "arrays": "masks and change maps (numpy)",
    "report": "the record of the run (JSON)",
}


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "edit",
        parents=[common],
        usage="cxr-cf edit SOURCE --prompt TEXT --out DIR [options]",
        help="make a counterfactual of one radiograph",
        description=f"{ABOUT}\n\n{EXAMPLES}",
    )
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="DICOM file or folder")
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder, new or empty")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier output")
    parser.add_argument("--request", metavar="JSON", help="job file; flags replace its fields")
    parser.add_argument("--progress", choices=["bar", "ndjson", "none"], default="bar",
                        help="bar, or one JSON event a line on standard output")  # fmt: skip
    parser.add_argument("--arrays", action="store_true", help="also write masks.npz")
    options.add_request_flags(parser)
    options.add_reading_flags(parser)
    options.add_dial_flags(parser)
    options.add_cache_flags(parser)
    add_place_flags(parser)
    parser.set_defaults(run=run, surplus=one_source)


def run(args: argparse.Namespace) -> int:
    """Edit; the story goes to standard output, progress and warnings to the talker."""
    began = time.perf_counter()
    talker, out = args.talker, Path(args.out)
    request = options.request_from(args)
    check_folder(out, overwrite=args.overwrite)
    refuse_early(request)
    place = place_from(args)
    check_place(args.device, args.precision)
    with loading():
        from monai_cxr_cf import pipeline
    device = device_of(args.device)
    talker.hello({"version": __version__, "device": device, "lock_sha256": facts.lock_hash()})
    outcome = pipeline.run(
        request,
        out,
        networks=Networks(**place, **options.cache_from(args)),
        progress=talker,
        arrays=args.arrays,
        overwrite=args.overwrite,
    )
    talker.close()
    for code, message in outcome.warnings:
        talker.warn(code, message)
    data = result_of(outcome, out)
    talker.result(data)
    if args.json:
        show(data)
    elif args.progress != "ndjson":
        _tell(data, out)
        say(f"{time.perf_counter() - began:.0f} s. SYNTHETIC - research only.")
    return 0


def _tell(data: dict[str, Any], out: Path) -> None:
    order = list(KINDS)
    for file in sorted(data["files"], key=lambda file: order.index(file["role"])):
        label = f", {file['label']}" if file["role"] in ("cf", "png") and file["label"] else ""
        say(f"{(out / file['path']).as_posix():<28} {KINDS[file['role']]}{label}")
    say(f"largest change outside the region and its band: {data['metrics']['outside_max_diff']}")
    say(f"verdict: {data['verdict']['words']}")
