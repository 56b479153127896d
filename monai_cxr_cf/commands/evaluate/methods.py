# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate methods``: held-out radiographs in, ours beside published editors out."""

import argparse
from pathlib import Path
from typing import Any

from monai_cxr_cf.catalogue.table import TABLE, row_of
from monai_cxr_cf.commands.evaluate import edits
from monai_cxr_cf.commands.evaluate.layouts import add_data_flags
from monai_cxr_cf.commands.say import add_place_flags, say, show
from monai_cxr_cf.presets import PRESETS

INPUTS, SEEDS = 2, 2
EXAMPLES = """\
every method makes the edits of `cxr-cf evaluate edits`, of the same radiographs and from the same
seeds, and its shams; one table of valid edits, change outside before the composite, and cost, with
the difference to ours over the same edits

examples:
  cxr-cf evaluate methods --data cxr --out methods                       all that can run
  cxr-cf evaluate methods --data cxr --out try --methods sdedit radedit --cells effusion
  cxr-cf evaluate methods --data cxr --out raw --preset paper            without the composite

what lands in --out: table.md, table.json, rows.jsonl, run.json, pictures/. Stop it at any time: the
same command goes on where it was. Costs: cxr-cf info methods.
"""


def add(kinds: Any, common: argparse.ArgumentParser) -> None:
    """Declare the evaluation."""
    parser = kinds.add_parser(
        "methods",
        parents=[common],
        epilog=EXAMPLES,
        help="ours beside published editors",
        description="One table of all editing methods on radiographs that no training saw.",
    )
    add_data_flags(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new, or to go on")
    parser.add_argument("--methods", nargs="+", choices=list(TABLE), default=[], metavar="NAME",
                        help="some of cxr-cf info methods (all that can run)")  # fmt: skip
    parser.add_argument("--split", default="test", metavar="NAME", help="of index.csv (test)")
    parser.add_argument("--lpips", type=Path, metavar="DIR", help="LPIPS weights")
    parser.add_argument("--inputs", type=int, default=INPUTS, metavar="N",
                        help=f"radiographs per edit and view ({INPUTS})")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N",
                        help=f"seeds per radiograph ({SEEDS})")  # fmt: skip
    parser.add_argument("--cells", metavar="NAMES", help="only edits whose names hold one of these")
    parser.add_argument("--preset", choices=list(PRESETS), default="default",
                        help="of ours and sdedit, and of the composite of all")  # fmt: skip
    parser.add_argument("--backbone", default="cxr-mini", metavar="NAME", help="or a folder")
    parser.add_argument("--models", type=Path, metavar="DIR", help="other weights than the shipped")
    parser.add_argument("--judges", type=Path, metavar="DIR", help="folder with j1/ and j2/")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (1)")
    parser.add_argument("--progress", choices=["bar", "ndjson", "none"], default="bar")
    add_place_flags(parser)
    parser.set_defaults(run=run, method="regulated", method_set=[], report=False)


def run(args: argparse.Namespace) -> int:
    """Evaluate; 0 whoever does better."""
    edits.check(args)
    for name in args.methods:
        row_of(name)
    from monai_cxr_cf.evaluation.edits.store import check_folder
    from monai_cxr_cf.evaluation.methods.run import able, evaluate_methods
    from monai_cxr_cf.evaluation.methods.table import markdown

    check_folder(args.out)
    tools = edits.tools_of(args)
    bench = tools.load(args.out)
    methods, why = able(bench.networks.backbone(args.backbone), args.methods)
    chosen = edits.choice(args, bench.networks)
    tell = edits.teller(args)
    table = evaluate_methods(chosen.trials, methods, args.out, tools, why=why, progress=tell)
    args.talker.close()
    if args.json:
        show(table)
    else:
        say(markdown(table["lines"], table["f"]))
        say(f"written: {(args.out / 'table.md').as_posix()}")
    return 0
