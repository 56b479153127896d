# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate edits``: held-out radiographs in, how many edits are valid and why out."""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cxr_cf.catalogue.table import OURS, TABLE
from monai_cxr_cf.commands.evaluate.layouts import add_data_flags, data_from
from monai_cxr_cf.commands.methods import settings_from
from monai_cxr_cf.commands.say import add_place_flags, place_from, say, show
from monai_cxr_cf.devices import check_place
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.evaluation.edits.protocol import Settings, select
from monai_cxr_cf.evaluation.edits.words import short
from monai_cxr_cf.presets import PRESETS, SWITCHES
from monai_cxr_cf.weights import models_folder

if TYPE_CHECKING:
    from monai_cxr_cf.diffusion.task import Progress
    from monai_cxr_cf.evaluation.edits.inputs import Choice
    from monai_cxr_cf.evaluation.edits.runner import Tools

INPUTS, SEEDS = 12, 5
EXAMPLES = """\
what is asked, of PA and AP radiographs apart, five seeds each:
  of radiographs without findings: add cardiomegaly; add left effusion, right effusion; add left
  lower consolidation, right lower consolidation; add edema; add pneumonia; add atelectasis
  of radiographs with the finding: remove cardiomegaly; remove effusion
  and of every edit its sham: same region, seed and settings, but no words that ask for anything

valid: the classifier sees the change (where it can be trusted), geometry moves further than in
95 % of shams, no unrelated finding rises, the other organs stay, nothing outside changes

examples:
  cxr-cf evaluate edits --data cxr --lpips models/lpips --out edits        the whole protocol
  cxr-cf evaluate edits --data cxr --out edits --workers 2                 faster on two cores
  cxr-cf evaluate edits --data cxr --out try --inputs 1 --seeds 1          a first look
  cxr-cf evaluate edits --data cxr --out try2 --cells effusion             some edits only
  cxr-cf evaluate edits --report --out edits                               draw the page again

what lands in --out: index.html (open this), medians.jpg, table.md, table.json, evidence.json,
rows.jsonl, run.json, pictures/. Stop it at any time: the same command goes on where it was.
exit code: 0 if every bar that was measured is reached, 1 if one is missed, 2 bad input
"""

LAWS = [name.removeprefix("no-") for name in SWITCHES]


def add(kinds: Any, common: argparse.ArgumentParser) -> None:
    """Declare the evaluation."""
    parser = kinds.add_parser(
        "edits",
        parents=[common],
        epilog=EXAMPLES,
        help="how many edits are valid, by finding",
        description="Edit radiographs that no training saw, and judge every edit by fixed rules.",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new, or to go on")
    add_data_flags(parser, required=False)
    parser.add_argument("--split", default="test", metavar="NAME", help="of index.csv (test)")
    parser.add_argument("--lpips", type=Path, metavar="DIR", help="LPIPS weights; adds its columns")
    parser.add_argument("--inputs", type=int, default=INPUTS, metavar="N",
                        help=f"radiographs per edit and view ({INPUTS})")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N",
                        help=f"seeds per radiograph ({SEEDS})")  # fmt: skip
    parser.add_argument("--cells", metavar="NAMES", help="only edits whose names hold one of these")
    parser.add_argument("--preset", choices=list(PRESETS), default="default")
    parser.add_argument("--off", nargs="+", default=[], metavar="LAW", choices=LAWS,
                        help=f"laws that rest: {', '.join(LAWS)}")  # fmt: skip
    parser.add_argument("--method", choices=list(TABLE), default=OURS, metavar="NAME",
                        help="who edits (cxr-cf info methods)")  # fmt: skip
    parser.add_argument("--method-set", action="append", metavar="KEY=VALUE", default=[],
                        help="a setting of that method")  # fmt: skip
    parser.add_argument("--backbone", default="cxr-mini", metavar="NAME", help="or a folder")
    parser.add_argument("--models", type=Path, metavar="DIR", help="other weights than the shipped")
    parser.add_argument("--judges", type=Path, metavar="DIR",
                        help="folder with j1/ and j2/ (those beside the weights)")  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (1)")
    parser.add_argument("--progress", choices=["bar", "ndjson", "none"], default="bar",
                        help="a bar, or one JSON event a line on standard output")  # fmt: skip
    parser.add_argument("--report", action="store_true", help="only draw the page again")
    add_place_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate; 1 if a bar is missed."""
    check(args)
    from monai_cxr_cf.evaluation.edits.report import write_report

    table = write_report(args.out) if args.report else evaluate(args)
    if args.json:
        show(table)
    elif args.progress != "ndjson":
        say(short(table))
        say(f"{(args.out / 'index.html').as_posix()} shows the pictures.")
    return 1 if any(bar["reached"] is False for bar in table["bars"]) else 0


def check(args: argparse.Namespace) -> None:
    """Refuse in a tenth of a second what cannot work; BadRequest says what."""
    if args.data is None and not args.report:
        raise BadRequest("--data is missing; expected the folder with index.csv.")
    for name, most in (("inputs", 1000), ("seeds", 100), ("workers", 64)):
        value = getattr(args, name)
        if not 1 <= value <= most:
            raise BadRequest(f"--{name} is {value}; allowed is 1 to {most}.")
    if args.out.exists() and not args.out.is_dir():
        raise BadRequest("--out names a file; expected a folder.", hint="Name a new folder.")
    check_place(args.device, args.precision)


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Choose, run, judge, write; returns the table."""
    from monai_cxr_cf.evaluation.edits.report import write_report
    from monai_cxr_cf.evaluation.edits.runner import run_cells
    from monai_cxr_cf.evaluation.edits.store import check_folder

    check_folder(args.out)
    tools = tools_of(args)
    bench = tools.load(args.out)
    chosen = choice(args, bench.networks)
    if not tools.judges:
        args.talker.warning("no_judges", "There is no classifier: geometry alone decides.")
    for name, code in sorted(chosen.refused.items()):
        args.talker.warning("refused", f"Radiograph {name} was passed over: {code}.")
    rows = run_cells(chosen.trials, args.out, tools, bench=bench, progress=teller(args))
    args.talker.close()
    return write_report(args.out, rows)


def tools_of(args: argparse.Namespace) -> "Tools":
    """What to load: the judges that lie beside the weights, unless a folder is named."""
    from monai_cxr_cf.evaluation.edits.runner import Tools

    models = args.models or models_folder()
    folder = args.judges or models / "judges"
    found = {name: str(folder / name) for name in ("j1", "j2") if (folder / name).is_dir()}
    if args.judges is not None and not found:
        raise ComponentMissing(
            "The judges' folder holds neither j1 nor j2.",
            hint="Leave --judges away, or train them: cxr-cf train classifier --help.",
        )
    return Tools(models, found, args.lpips, args.workers, **place_from(args))


def choice(args: argparse.Namespace, networks: Any) -> "Choice":
    """The trials of the protocol on the named split."""
    from monai_cxr_cf.evaluation.cohort import held_out
    from monai_cxr_cf.evaluation.edits.inputs import COLUMNS, Chooser, choose

    edits = select([name.strip() for name in (args.cells or "").split(",") if name.strip()])
    data = data_from(args, args.out, args.split)
    inside = held_out(data, args.split, COLUMNS)
    settings = Settings(preset=args.preset, switches=tuple(f"no-{name}" for name in args.off),
                        backbone=args.backbone, method=args.method,
                        method_settings=settings_from(args.method_set))  # fmt: skip
    chooser = Chooser(data, inside, networks.segmenter(settings.segmenter))
    return choose(chooser, edits, count=args.inputs, seeds=range(args.seeds), settings=settings)


def teller(args: argparse.Namespace, what: str = "trials") -> "Progress":
    """Progress for a terminal or a program; for a log, one line a minute with the time left."""
    last = 0.0

    def tell(event: Mapping[str, Any]) -> None:
        nonlocal last
        args.talker(event)
        now = time.monotonic()
        if args.progress == "bar" and not sys.stderr.isatty() and now - last >= 60:
            last = now
            left = f", {event['eta_s'] / 60:.0f} min left" if "eta_s" in event else ""
            sys.stderr.write(f"{event['step']} of {event['total']} {what}{left}\n")

    return tell
