# SPDX-License-Identifier: Apache-2.0
"""The same edits in float32 and in half precision: how far apart the pictures and verdicts are.

    python benchmarks/precision.py 40 docs/example.dcm --json precision.json

Edits take turns through ``PROMPTS`` and the sources, each round with its own seed. A difference is
the mean over pixels of the absolute difference of two counterfactuals, in grey levels of 255: over
the whole picture, and over region and band alone, where the edits may differ at all. Exit code 1 if
a difference of a whole picture reaches 1, if a verdict changes, or a pixel outside.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.against import machine
from monai_cxr_cf.devices import PRECISIONS
from monai_cxr_cf.pipeline import edit
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.outputs import classifier as asked_classifier
from monai_cxr_cf.runs.outputs import judge, outside_of
from monai_cxr_cf.runs.run import Stages

PROMPTS = (
    "moderate left pleural effusion", "no cardiomegaly", "right lower lobe consolidation",
    "severe edema", "cardiomegaly", "left apical pneumothorax", "no pleural effusion",
    "right upper lobe nodule",
)  # fmt: skip
FULL, BAR = "fp32", 1.0
Told = dict[str, Any]


def requests(count: int, sources: Sequence[str], backbone: str) -> list[EditRequest]:
    """Edit number i: prompt i, source i, and a seed of its round."""
    return [
        EditRequest(
            sources[i % len(sources)],
            prompt=PROMPTS[i % len(PROMPTS)],
            seeds=(1 + i // len(PROMPTS),),
            backbone=backbone,
        )
        for i in range(count)
    ]


def edited(request: EditRequest, networks: Networks) -> Told:
    """One edit: change in grey levels, where it may be, verdict, seconds of sampling."""
    run, (picture,) = edit(request, networks, Stages())
    outside = outside_of(run, picture)
    verdict = judge(run, picture, outside=outside, ask=asked_classifier(run))
    return {
        "change": np.asarray(picture.change, np.float64) * 255,
        "where": run.case.region | run.case.band,
        "verdict": verdict["verdict"],
        "checks": {check["name"]: check["passed"] for check in verdict["checks"]},
        "outside_max_diff": outside,
        "sample_s": run.stages.seconds["sample"],
        "dtype": run.trace["backbone"]["dtype"],
    }


def compared(full: Told, half: Told) -> Told:
    """What differs between two edits of one request."""
    apart = np.abs(full["change"] - half["change"])
    checks = full["checks"].keys() | half["checks"].keys()
    turned = sorted(c for c in checks if full["checks"].get(c) != half["checks"].get(c))
    return {
        "grey_levels": round(float(apart.mean()), 4),
        "grey_levels_inside": round(float(apart[full["where"]].mean()), 4),
        "largest": round(float(apart.max()), 2),
        "verdicts": [full["verdict"], half["verdict"]],
        "checks_that_differ": turned,
        "outside_max_diff": [full["outside_max_diff"], half["outside_max_diff"]],
        "sample_s": [full["sample_s"], half["sample_s"]],
    }


def summary(rows: Sequence[Told]) -> Told:
    """Over all edits."""
    whole, inside = ([r[k] for r in rows] for k in ("grey_levels", "grey_levels_inside"))
    seconds = [sum(row["sample_s"][side] for row in rows) for side in (0, 1)]
    agreeing = sum(row["verdicts"][0] == row["verdicts"][1] for row in rows)
    outside = max(max(row["outside_max_diff"]) for row in rows)
    return {
        "edits": len(rows),
        "grey_levels": {"mean": round(mean(whole), 4), "most": max(whole)},
        "grey_levels_inside": {"mean": round(mean(inside), 4), "most": max(inside)},
        "same_verdict": agreeing,
        "outside_max_diff": outside,
        "sampling_ratio": round(seconds[1] / seconds[0], 3),
        "reached": max(whole) < BAR and agreeing == len(rows) and outside == 0,
    }


def main(words: list[str] | None = None) -> int:
    """Edit, print a line each, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("count", type=int, help="edits in each precision")
    parser.add_argument("sources", nargs="*", default=["docs/example.dcm"], help="DICOM files")
    parser.add_argument("--backbone", default="cxr-mini")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=PRECISIONS[2:], default="bf16")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    args = parser.parse_args(words)
    full, half = (Networks(device=args.device, precision=p) for p in (FULL, args.precision))
    told: Told = {"machine": machine(), "precisions": [FULL, args.precision], "edits": []}
    for number, request in enumerate(requests(args.count, args.sources, args.backbone), 1):
        row = compared(edited(request, full), edited(request, half))
        told["edits"].append({"prompt": request.prompt, "seed": request.seeds[0], **row})
        sys.stdout.write(
            f"{number:>3} {request.prompt:<32}{row['grey_levels']:>8.3f} grey levels, inside "
            f"{row['grey_levels_inside']:.3f}, {' / '.join(row['verdicts'])}\n"
        )
        sys.stdout.flush()
        told["summary"] = summary(told["edits"])
        if args.json:  # after every edit: a run that is stopped keeps what it has
            args.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(told["summary"], indent=1) + "\n")
    return 0 if told["summary"]["reached"] else 1


if __name__ == "__main__":
    sys.exit(main())
