# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate frontier``: radiographs in, effect inside against change outside out."""

import argparse
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands.evaluate.edits import teller
from monai_cxr_cf.commands.evaluate.layouts import add_data_flags, data_from
from monai_cxr_cf.commands.options import overrides_from
from monai_cxr_cf.commands.say import add_place_flags, announcer, count, place_from, say, show
from monai_cxr_cf.devices import check_place
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import PRESETS

MODES = {"additions": ("additions",), "removals": ("removals",), "both": ("additions", "removals")}
EXAMPLES = """\
turning guidance up makes every edit stronger, and changes more where nothing was asked. A law is
worth something only if it does better than that: less change outside at the same effect inside.

each edit is made with its sham, the same noise without words, and both are decoded as they are, no
paste and no composite:
  in   mean absolute difference of the two inside the region, grey levels of 255
  out  the same beyond region and band
lines that are swept along guidance: "all laws" of the preset; "no law"; "without Eq. 5", each law
missing once; "Eq. 5 alone", each law by itself; other dials, which --more can add:
  {"region guidance": {"sampling": {"guidance_scale": 12}}}
a law pays if out at equal in, with it over without it, is below 1 with its whole interval

examples:
  cxr-cf evaluate frontier --data cxr --out frontier                            everything
  cxr-cf evaluate frontier --data cxr --out try --inputs 1 --cells effusion --rows "Eq. 6"
  cxr-cf evaluate frontier --data cxr --out try --rows "my idea" --more lines.json
  cxr-cf evaluate frontier --data cxr --out cal --split tuning                  to choose settings

what lands in --out: frontier.md, frontier.json, frontier.png, rows.jsonl. It says first how many
minutes it will take; stop it at any time, the same command goes on where it was.
"""


def add(kinds: Any, common: argparse.ArgumentParser) -> None:
    """Declare the evaluation."""
    parser = kinds.add_parser(
        "frontier",
        parents=[common],
        epilog=EXAMPLES,
        help="effect inside against change outside, law by law",
        description="Does a law do better than guidance? Every law, missing and alone.",
    )
    add_data_flags(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new, or to go on")
    parser.add_argument("--mode", choices=list(MODES), default="both")
    parser.add_argument("--cells", nargs="+", default=[], metavar="NAME",
                        help="only edits whose names hold one of these, e.g. effusion")  # fmt: skip
    parser.add_argument("--rows", nargs="+", default=[], metavar="NAME",
                        help="only lines whose names hold one of these, and what they are "
                        "compared with")  # fmt: skip
    parser.add_argument("--more", type=Path, metavar="FILE", help="further lines, as JSON")
    parser.add_argument("--guidance", nargs="+", type=float, default=[], metavar="S",
                        help="the sweep (2.5 4 7 12 20)")  # fmt: skip
    parser.add_argument("--set", action="append", dest="settings", default=[],
                        metavar="PART.FIELD=VALUE",
                        help="turn this dial in every line")  # fmt: skip
    parser.add_argument("--inputs", type=count, default=2, metavar="N",
                        help="radiographs per edit and view (2)")  # fmt: skip
    parser.add_argument("--seeds", type=count, default=1, metavar="N", help="per radiograph (1)")
    parser.add_argument("--band", type=float, metavar="PX",
                        help="pixels of the model grid around the region that count as neither "
                        "(the band that preset and calibration give)")  # fmt: skip
    parser.add_argument("--split", default="test", metavar="NAME",
                        help="of index.csv, or tuning, to choose settings (test)")  # fmt: skip
    parser.add_argument("--preset", choices=list(PRESETS), default="default")
    parser.add_argument("--backbone", default="cxr-mini", metavar="NAME|DIR", help="(cxr-mini)")
    parser.add_argument("--models", type=Path, metavar="DIR", help="other weights than the shipped")
    parser.add_argument("--workers", type=count, default=1, metavar="N", help="processes (1)")
    parser.add_argument("--progress", choices=["bar", "ndjson", "none"], default="bar")
    add_place_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate; 0 also where no law pays: that is a finding, not a failure."""
    _check(args)
    from monai_cxr_cf.evaluation.frontier.lines import SWEEP, read_more
    from monai_cxr_cf.evaluation.frontier.run import TUNING, Plan, evaluate_frontier
    from monai_cxr_cf.evaluation.frontier.text import short

    plan = Plan(
        modes=MODES[args.mode],
        cells=tuple(args.cells),
        rows=tuple(args.rows),
        more=read_more(args.more),
        sweep=tuple(sorted(set(args.guidance))) or SWEEP,
        inputs=args.inputs,
        seeds=args.seeds,
        band=args.band,
        split=args.split,
        preset=args.preset,
        overrides=overrides_from(args.settings),
        backbone=args.backbone,
        models=args.models,
        workers=args.workers,
        place=place_from(args),
    )
    data = data_from(args, args.out, "judge" if args.split == TUNING else args.split)
    tell = teller(args, "edits")
    result = evaluate_frontier(data, args.out, plan, progress=tell, announce=announcer(args))
    args.talker.close()
    for name, code in sorted(result["refused"].items()):
        args.talker.warning("refused", f"{name}: passed over, {code}.")
    if args.json:
        show(result)
    else:
        say(short(result))
        say(f"written: {args.out / 'frontier.md'}, {args.out / 'frontier.png'}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse in a tenth of a second what cannot work; BadRequest says what."""
    for value in args.guidance:
        if not 1 <= value <= 30:
            raise BadRequest(f"--guidance is {value:g}; allowed is 1 to 30.")
    if args.band is not None and not 0 <= args.band <= 64:
        raise BadRequest(f"--band is {args.band:g}; allowed is 0 to 64.")
    if args.out.exists() and not args.out.is_dir():
        raise BadRequest("--out names a file; expected a folder.", hint="Name a new folder.")
    check_place(args.device, args.precision)
