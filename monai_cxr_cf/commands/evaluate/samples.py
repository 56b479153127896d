# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate samples``: a backbone and radiographs in, the generator's own figures out."""

import argparse
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands.evaluate.layouts import add_data_flags, data_from
from monai_cxr_cf.commands.say import count, say, show
from monai_cxr_cf.devices import AUTO, check_place
from monai_cxr_cf.runs.networks import Networks

EXAMPLES = """\
examples:
  cxr-cf evaluate samples --data cxr --out figures                       everything, on split test
  cxr-cf evaluate samples --data cxr --out figures --parts sheet         only the 64 samples
  cxr-cf evaluate samples --data cxr --out mine --backbone my/folder --guidance 3
  cxr-cf evaluate samples --data cxr --out quick --parts sensitivity --images 2 --split judge

what lands in the folder: sheet.png (8 captions in rows, 8 seeds in columns), sensitivity_ID.png
(edits above, difference from the opposite prompt below), table.md and table.json with intervals.
Started again with the same --out, it goes on where it was. exit code: 1 if a bar is missed
"""
PARTS = ("sheet", "frechet", "autoencoder", "sensitivity")


def add(kinds: Any, common: argparse.ArgumentParser) -> None:
    """Declare the evaluation."""
    parser = kinds.add_parser(
        "samples",
        parents=[common],
        epilog=EXAMPLES,
        help="what the generator draws by itself",
        description="Measure the generator alone: autoencoder, samples from text, their Frechet "
        "distance, and how far words move an edit before any law of the method acts.",
    )
    add_data_flags(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new, or to go on")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS),
                        help="what to measure (all)")  # fmt: skip
    parser.add_argument("--backbone", default="cxr-mini", metavar="NAME|DIR", help="(cxr-mini)")
    parser.add_argument("--split", default="test", help="rows of index.csv to use (test)")
    parser.add_argument("--guidance", type=float, default=4.0, help="guidance scale (4)")
    parser.add_argument("--steps", type=count, default=30, help="sampling steps (30)")
    parser.add_argument("--solver", choices=["dpmpp", "ddim"], default="dpmpp")
    parser.add_argument("--device", default=AUTO, metavar="NAME",
                        help="auto, cpu, cuda, cuda:N or mps [auto]")  # fmt: skip
    parser.add_argument("--bf16", action="store_true", help="faster on CPUs with AMX and on GPUs")
    parser.add_argument("--strength", type=float, default=0.7, help="of sensitivity edits (.7)")
    parser.add_argument("--images", type=count, default=6, metavar="N",
                        help="radiographs of the sensitivity edits (6)")  # fmt: skip
    parser.add_argument("--samples", type=count, metavar="N",
                        help="samples for the distance (all the real ones allow)")  # fmt: skip
    parser.add_argument("--limit", type=count, metavar="N", help="use the first N radiographs only")
    parser.add_argument("--progress", choices=["bar", "ndjson", "none"], default="bar")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate; 1 if a bar is missed."""
    from monai_cxr_cf.evaluation.generator.generate import Plain
    from monai_cxr_cf.evaluation.generator.run import Plan, evaluate_samples, table_text

    check_place(args.device, "fp32")
    plain = Plain(args.guidance, args.steps, args.solver, bf16=args.bf16)
    plain.config(args.strength)  # refuse a value out of range before anything slow
    plan = Plan(
        backbone=args.backbone,
        split=args.split,
        parts=tuple(args.parts),
        plain=plain,
        strength=args.strength,
        images=args.images,
        samples=args.samples,
        limit=args.limit,
    )
    data = data_from(args, args.out, args.split)
    networks = Networks(device=args.device, precision="fp32")  # --bf16 computes beside it
    result = evaluate_samples(data, args.out, plan, networks=networks, progress=args.talker)
    args.talker.close()
    if args.json:
        show(result)
    else:
        say(table_text(result))
        say(f"written: {args.out / 'table.md'}, {args.out / 'table.json'}")
    return 1 if any(row["reached"] is False for row in result["figures"]) else 0
