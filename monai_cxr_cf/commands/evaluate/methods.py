# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate methods``: held-out radiographs in, ours beside published editors out."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cxr_cf.catalogue.table import TABLE
from monai_cxr_cf.commands.evaluate import edits
from monai_cxr_cf.commands.evaluate.layouts import add_data_flags, data_from
from monai_cxr_cf.commands.say import add_place_flags, announcer, say, show
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.edits.protocol import select
from monai_cxr_cf.evaluation.rows import write_text
from monai_cxr_cf.presets import PRESETS
from monai_cxr_cf.prompts.findings import lookup

if TYPE_CHECKING:
    from monai_cxr_cf.evaluation.edits.runner import Nets

INPUTS, SEEDS = 2, 2
TABLE2_EDITS = 24
EXAMPLES = f"""\
every method makes the edits of `cxr-cf evaluate edits`, of the same radiographs and from the same
seeds, and its shams; two tables: all methods with Conf, CLIP-I, LPIPS, SSIM, distances to real
radiographs, valid edits, each of the composite and of the decoder's own picture, with the
difference to ours over the same edits; and ours with each law off

methods: {", ".join(TABLE)}

examples:
  cxr-cf evaluate methods --data cxr --out methods                       all that can run
  cxr-cf evaluate methods --data cxr --out look --quick --workers 2      under ten minutes
  cxr-cf evaluate methods --data cxr --out try --methods sdedit radedit --cells effusion
  cxr-cf evaluate methods --data cxr --out own --methods pie:IrohXu/stable-diffusion-mimic-cxr-v0.1
  cxr-cf evaluate methods --data cxr --out methods --external roentgen   and finished pictures
  cxr-cf evaluate methods --data MIMIC --layout mimic-cxr-jpg --out mimic --clip clip \\
    --conf-net edema=nets/edema --feature-net microsoft/rad-dino --lpips lpips

what lands in --out: index.html (open this), table1.md, table2.md, validity.md, table.json,
cases.jpg, plot.png, asked.csv, rows.jsonl, run.json, pictures/. Stop it at any time: the same
command goes on where it was. Costs: cxr-cf info methods.
"""


def add(kinds: Any, common: argparse.ArgumentParser) -> None:
    """Declare the evaluation."""
    parser = kinds.add_parser(
        "methods",
        parents=[common],
        epilog=EXAMPLES,
        help="ours beside published editors",
        description="Tables of all editing methods on radiographs that no training saw.",
    )
    add_data_flags(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new, or to go on")
    parser.add_argument("--methods", nargs="+", default=[], metavar="NAME[:BACKBONE]",
                        help="some, each on a backbone of its own (all that can run)")  # fmt: skip
    parser.add_argument("--external", type=Path, metavar="DIR",
                        help="finished pictures of another program, with manifest.csv")  # fmt: skip
    parser.add_argument("--quick", action="store_true",
                        help="one radiograph a view, one seed, a quarter of the steps")  # fmt: skip
    parser.add_argument("--axioms", action="store_true",
                        help="null edits in a row, and add, then remove: axioms.md")  # fmt: skip
    parser.add_argument("--no-table2", action="store_true", help="leave the ablation out")
    parser.add_argument("--split", default="test", metavar="NAME", help="of index.csv (test)")
    _add_networks(parser)
    parser.add_argument("--inputs", type=int, metavar="N",
                        help=f"radiographs per edit and view ({INPUTS})")  # fmt: skip
    parser.add_argument("--seeds", type=int, metavar="N",
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
    parser.set_defaults(run=run, method="regulated", method_set=[], report=False,
                        off=[])  # fmt: skip


def _add_networks(parser: argparse.ArgumentParser) -> None:
    """Networks that measure; all of them lie on this machine."""
    nets = parser.add_argument_group("networks that measure (docs/methods.md 6)")
    nets.add_argument("--lpips", type=Path, metavar="DIR", help="LPIPS weights")
    nets.add_argument("--clip", type=Path, metavar="DIR", help="CLIP for CLIP-I (a stand-in)")
    nets.add_argument("--feature-net", default="", metavar="DIR|HUB_ID",
                      help="for distances between sets, e.g. RAD-DINO (a stand-in)")  # fmt: skip
    nets.add_argument("--conf-net", action="append", default=[], metavar="FINDING=DIR",
                      help="a finding's network of Conf (the judge J2)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Evaluate; 0 whoever does better."""
    args.inputs = args.inputs or (1 if args.quick else INPUTS)
    args.seeds = args.seeds or (1 if args.quick else SEEDS)
    args.cells = args.cells or ("left effusion" if args.quick else None)
    edits.check(args)
    nets = nets_of(args)
    from monai_cxr_cf.evaluation.edits.store import check_folder
    from monai_cxr_cf.evaluation.methods.entries import parsed

    entries = parsed(args.methods, args.backbone)
    select([name.strip() for name in (args.cells or "").split(",") if name.strip()])
    check_folder(args.out)
    tools = replace(edits.tools_of(args), nets=nets)
    table = evaluate(args, entries, tools)
    args.talker.close()
    if args.json:
        show(table)
    else:
        say((args.out / "table1.md").read_text(encoding="utf-8"))
        say(f"{(args.out / 'index.html').as_posix()} shows the pictures.")
    return 0


def evaluate(args: argparse.Namespace, entries: Any, tools: Any) -> dict[str, Any]:
    """Choose, run, judge, write; returns the tables."""
    from monai_cxr_cf.evaluation.cohort import held_out
    from monai_cxr_cf.evaluation.edits.inputs import COLUMNS
    from monai_cxr_cf.evaluation.methods.entries import able, foreign, write_asked
    from monai_cxr_cf.evaluation.methods.run import Cast, evaluate_methods, hastened, minutes

    bench = tools.load(args.out)
    found, why = able(entries, bench.networks, default=args.backbone)
    chosen = edits.choice(args, bench.networks)
    for name, code in sorted(chosen.refused.items()):
        args.talker.warning("refused", f"Radiograph {name} was passed over: {code}.")
    if args.external is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        write_asked(args.out, chosen.trials)
        entry, digest = foreign(args.external, args.backbone, chosen.trials)
        found, why = [*found, entry], {k: v for k, v in why.items() if k != entry.method}
        tools = replace(tools, more={"external pictures": digest})
    data = data_from(args, args.out, args.split)
    cast = Cast(
        entries=tuple(map(hastened, found) if args.quick else found),
        why=why,
        data=data,
        reals=tuple(held_out(data, args.split, COLUMNS)),
        quick=args.quick,
        axioms=args.axioms,
        notes=tuple(f"{name}: {code}" for name, code in sorted(chosen.refused.items())),
    )
    expected = minutes(chosen.trials, cast.entries, bench.networks) / args.workers
    announcer(args)(f"All edits take about {expected:.0f} min; judging them, and Table 2, more.")
    if not args.no_table2:
        _table2(args, data)
    return evaluate_methods(chosen.trials, cast, args.out, tools, progress=edits.teller(args))


def _table2(args: argparse.Namespace, data: Path) -> None:
    """The ablation of ours, in ``ablation/``; its table is ``table2.md``."""
    from monai_cxr_cf.evaluation.ablation.run import Plan, evaluate_ablation, table_of

    plan = Plan(
        presets=(args.preset,),
        edits=args.inputs * args.seeds if args.quick else TABLE2_EDITS,
        seeds=args.seeds,
        split=args.split,
        clip=args.clip,
        backbone=args.backbone,
        models=args.models,
    )
    tell = announcer(args)
    out = args.out / "ablation"
    result = evaluate_ablation(data, out, plan, progress=args.talker, announce=tell)
    write_text(args.out / "table2.md", table_of(result) + "\n")


def nets_of(args: argparse.Namespace) -> "Nets":
    """The networks of the flags; BadRequest for a pair that is none, or an unknown finding."""
    from monai_cxr_cf.evaluation.edits.runner import Nets

    pairs = []
    for text in args.conf_net:
        name, sign, folder = text.partition("=")
        known = lookup(name.strip())
        if not sign or known is None:
            raise BadRequest(f"--conf-net {text} is not FINDING=DIR.", hint="E.g. edema=nets/edema")
        pairs.append((known.name, folder.strip()))
    return Nets(args.clip, args.feature_net, tuple(pairs))
