# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate calibrate``: tuning radiographs in, the settings that suit a backbone out."""

import argparse
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands.evaluate.layouts import add_data_flags, data_from
from monai_cxr_cf.commands.options import overrides_from
from monai_cxr_cf.commands.say import announcer, count, say, show
from monai_cxr_cf.presets import PRESETS

EXAMPLES = """\
how far an edit may go from its source (strength) and how much words weigh (guidance) depend on the
backbone. A few settings edit a few radiographs, the better half edits more, and so on; one that
changes much beyond the region loses. Additions and removals are searched apart, then once more for
each finding. The radiographs are never those of split test.

examples:
  cxr-cf evaluate calibrate --data cxr --out search                     about an hour on two cores
  cxr-cf evaluate calibrate --data cxr --out try --inputs 1 --modes edit
  cxr-cf evaluate calibrate --data cxr --out held --set sampling.solver=ddim \
    --set start.kind=edit_friendly                             hold dials; they are written, too
  cxr-cf evaluate calibrate --data cxr --out more --modes removal --onto search/calibration.json
  cp search/calibration.json bundles/cxr_counterfactual/models/cxr-mini/   then edits use it

what lands in --out: calibration.json (put it beside the backbone's weights), table.md, table.json,
search.png, rows/. Stop it at any time: the same command goes on where it was.
"""


def add(kinds: Any, common: argparse.ArgumentParser) -> None:
    """Declare the search."""
    parser = kinds.add_parser(
        "calibrate",
        parents=[common],
        epilog=EXAMPLES,
        help="find the settings that suit a backbone",
        description="Search strength and guidance for one backbone.",
    )
    add_data_flags(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new, or to go on")
    parser.add_argument("--modes", nargs="+", choices=["edit", "removal"],
                        default=["edit", "removal"], help="(both)")  # fmt: skip
    parser.add_argument("--inputs", type=count, default=4, metavar="N",
                        help="radiographs per finding and view in the last round (4)")  # fmt: skip
    parser.add_argument("--seeds", type=count, default=1, metavar="N", help="per radiograph (1)")
    parser.add_argument("--cells", nargs="+", default=[], metavar="NAME",
                        help="only edits whose names hold one of these, e.g. edema")  # fmt: skip
    parser.add_argument("--set", action="append", dest="settings", default=[],
                        metavar="PART.FIELD=VALUE",
                        help="hold this dial; it is written with what is found")  # fmt: skip
    parser.add_argument("--onto", type=Path, metavar="FILE",
                        help="another calibration.json, whose other modes are kept")  # fmt: skip
    parser.add_argument("--judge", default="j1", metavar="NAME|DIR|none",
                        help="classifier that is asked beside geometry (j1)")  # fmt: skip
    parser.add_argument("--preset", choices=list(PRESETS), default="default")
    parser.add_argument("--backbone", default="cxr-mini", metavar="NAME|DIR", help="(cxr-mini)")
    parser.add_argument("--models", type=Path, metavar="DIR", help="other weights than the shipped")
    parser.add_argument("--workers", type=count, default=1, metavar="N", help="processes (1)")
    parser.add_argument("--progress", choices=["bar", "ndjson", "none"], default="bar")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Search and say what was found."""
    from monai_cxr_cf.evaluation.calibration.run import Plan, calibrate
    from monai_cxr_cf.evaluation.calibration.table import table_text
    from monai_cxr_cf.evaluation.edits.runner import Tools

    judges = {} if args.judge == "none" else {"j1": args.judge}
    presets = ("default", "fast") if args.preset == "default" else (args.preset,)
    plan = Plan(
        modes=tuple(dict.fromkeys(args.modes)),
        inputs=args.inputs,
        seeds=args.seeds,
        cells=tuple(args.cells),
        preset=args.preset,
        presets=presets,
        backbone=args.backbone,
        fixed=overrides_from(args.settings),
        onto=args.onto,
        tools=Tools(models=args.models, judges=judges, workers=args.workers),
    )

    removals = ("train",) if "removal" in plan.modes else ()
    data = data_from(args, args.out, "judge", *removals)
    result = calibrate(data, args.out, plan, progress=args.talker, announce=announcer(args))
    args.talker.close()
    if args.json:
        show(result)
    else:
        say(table_text(result))
        say(f"written: {args.out / 'calibration.json'}, {args.out / 'search.png'}")
    return 0
