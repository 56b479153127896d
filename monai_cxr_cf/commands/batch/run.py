# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf batch run``: a manifest in, committed results out."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_cxr_cf import __version__
from monai_cxr_cf.batch.begin import SHARD, BadRows, Plan, lay_out
from monai_cxr_cf.batch.count import count as count_rows
from monai_cxr_cf.batch.edit_work import ALL, KEPT
from monai_cxr_cf.batch.forecast import dry_run, forecast, sample
from monai_cxr_cf.batch.rows.manifest import Bad
from monai_cxr_cf.batch.run import STOPPED, Ended
from monai_cxr_cf.batch.run import run as run_batch
from monai_cxr_cf.batch.store.packs import KINDS as OUTPUTS
from monai_cxr_cf.batch.store.packs import PARQUET, check_kind
from monai_cxr_cf.batch.store.run_folder import FOLDERS, QUARANTINE, RunFolder
from monai_cxr_cf.commands.batch.cluster import (
    add_engine_flags,
    check_engine,
    engine_from,
    run_on_slurm,
)
from monai_cxr_cf.commands.batch.flags import (
    add_field_flag,
    add_how_flags,
    common_from,
    how_from,
    positive,
    settings_from,
    work_of,
)
from monai_cxr_cf.commands.batch.show import Watch, tell_counts, time_in_words
from monai_cxr_cf.commands.say import add_place_flags, count, place_from, say, show
from monai_cxr_cf.devices import check_place

EXAMPLES = """\
examples:
  cxr-cf batch run manifest.csv --out results --dry-run     headers only: what would be refused
  cxr-cf batch run manifest.csv --out results --sample 8 --workers 2 --price-per-hour 1.2
  cxr-cf batch run manifest.csv --out results --workers 2
  cxr-cf batch run manifest.csv --out results --retry-failed
  cxr-cf batch run manifest.csv --out results --engine ray --address auto --workers 16
  cxr-cf batch run manifest.csv --out results --engine slurm --sbatch "--gres=gpu:1 --time=4:00:00"
  cxr-cf batch run manifest.csv --out results --prepare     lay out the shards, run nothing

Stop it with Ctrl-C, or let it crash: the same command goes on, with finished rows kept. The
manifest may have grown meanwhile. Other settings, weights or rows are refused: their results would
not belong together. Two of these commands may run on one folder, also from two machines.

what lands in results: rows/ab/cd/KEY/ as cxr-cf edit writes it, results/ with a line a row,
quarantine.csv with the rows that were refused or given up, and why; docs/batch.md has it all.
exit code: 0 every row is done or refused, 1 some failed, 2 bad input, 3 stopped before the end
"""


def add(parts: Any, common: argparse.ArgumentParser) -> None:
    """Declare the part."""
    parser = parts.add_parser(
        "run",
        parents=[common],
        epilog=EXAMPLES,
        help="do the rows of a manifest",
        description="Edit what a manifest says. It is checked whole before anything runs.",
    )
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help=".csv, .jsonl, .parquet")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="new, or begun by the same command")  # fmt: skip
    look = parser.add_argument_group("look before it runs")
    look.add_argument("--dry-run", action="store_true",
                      help="read headers, say what will be refused; writes nothing")  # fmt: skip
    look.add_argument("--sample", type=count, metavar="N",
                      help="do N rows, say what all will take; they are kept")  # fmt: skip
    look.add_argument("--price-per-hour", type=positive, metavar="P", help="of the machine")
    look.add_argument("--prepare", action="store_true",
                      help="only lay out the shards, for cxr-cf batch shard")  # fmt: skip
    rows = parser.add_argument_group("the rows; the same at every start")
    add_field_flag(rows)
    rows.add_argument("--skip-bad", action="store_true",
                      help="leave out rows that cannot be run; else nothing begins")  # fmt: skip
    rows.add_argument("--shard-size", type=count, default=SHARD, metavar="N",
                      help=f"rows that one process takes at a time [{SHARD}]")  # fmt: skip
    rows.add_argument("--arrays", action="store_true", help="also write masks.npz")
    rows.add_argument("--output", choices=OUTPUTS, default=FOLDERS,
                      help="a folder a row, or a file a shard: tar for WebDataset, parquet "
                      "with PNG inside [folders]")  # fmt: skip
    rows.add_argument("--keep", choices=KEPT, default=ALL,
                      help="report: of a row's files its report.json alone [all]")  # fmt: skip
    add_engine_flags(parser)
    add_place_flags(parser)
    add_how_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, lay out, and do what was asked of it."""
    check_place(**{k: v for k, v in place_from(args).items() if k != "compiled"})
    check_kind(args.output)
    png = {"png": True} if args.output == PARQUET else {}
    plan = Plan(
        args.manifest,
        common={**png, **common_from(args)},
        settings=settings_from(args),
        shard=args.shard_size,
        skip_bad=args.skip_bad,
    )
    how_from(args, 1)  # a wrong flag is told before the manifest is read
    check_engine(args)
    if args.dry_run:
        return _dry_run(plan, args)
    folder = RunFolder(args.out)
    try:
        told, bad = lay_out(folder, plan)
    except BadRows as error:
        _tell_bad(error.bad, args)
        raise
    _tell_bad(bad, args)
    if args.prepare:
        facts = {"out": str(args.out), "rows": told.rows, "shards": told.shards}
        if args.json:
            show(facts)
        else:
            say(f"{args.out}: {told.rows:,} rows in {told.shards:,} shards, 0 to {told.shards - 1}")
            say(f"next, for each of them: cxr-cf batch shard {args.out} --number N")
        return 0
    if args.engine == "slurm":
        return run_on_slurm(folder, args)
    if args.sample:
        return _sample(folder, args)
    return go(folder, args)


def go(folder: RunFolder, args: argparse.Namespace, shards: Sequence[int] | None = None) -> int:
    """Do what is left, and tell how it ended."""
    ended, _ = _run(folder, args, shards=shards)
    told = {**ended.counts.as_dict(), "stopped": ended.stopped}
    args.talker.result({**told, "exit_code": ended.exit_code})
    if args.json:
        show(told)
    elif args.progress != "ndjson":
        tell_counts(told)
        _tell_next(folder, ended, args)
    return ended.exit_code


def _run(
    folder: RunFolder,
    args: argparse.Namespace,
    *,
    shards: Sequence[int] | None = None,
    only: frozenset[int] | None = None,
) -> tuple[Ended, Watch]:
    run_, talker = folder.read(), args.talker
    how = replace(how_from(args, int(run_.fingerprint["threads"])), only=only)
    talker.hello({"version": __version__, "rows": run_.rows, "shards": run_.shards})
    watch = Watch(count_rows(folder, shards), talker)
    watch.keep = only is not None
    try:
        engine = engine_from(folder, args)
        ended = run_batch(
            folder, work_of(folder, args), how, tell=watch, shards=shards, engine=engine
        )
    finally:
        watch.close()
    return ended, watch


def _tell_next(folder: RunFolder, ended: Ended, args: argparse.Namespace) -> None:
    if (folder.path / QUARANTINE).is_file():
        say(f"put aside, and why: {args.out / QUARANTINE}")
    if ended.stopped:
        say(f"stopped: {ended.stopped} The same command goes on.")
    elif ended.exit_code == STOPPED:
        say("not all rows are reached; other shards are left, or held by other processes.")
    say("SYNTHETIC - research only.")


def _sample(folder: RunFolder, args: argparse.Namespace) -> int:
    """Some rows, spread over the manifest, and what that says of the rest."""
    numbers = sample(folder, args.sample)
    ended, watch = _run(folder, args, only=numbers)
    left = ended.counts.left
    facts = forecast(watch.lines, left, how_from(args, 1), args.price_per_hour)
    if args.json:
        show({**facts, "stopped": ended.stopped})
    else:
        say(f"{facts['sample']} rows, {facts['refused']} of them refused: "
            f"{facts['seconds_a_row']:g} s a row")  # fmt: skip
        money = f", {facts['price']:g} at {args.price_per_hour:g} an hour" * ("price" in facts)
        say(f"the {left:,} rows that are left, {facts['workers']} workers: "
            f"{time_in_words(facts['hours'] * 3600)}, {facts['gb']:g} GB{money}")  # fmt: skip
    return STOPPED if ended.stopped else 0


def _dry_run(plan: Plan, args: argparse.Namespace) -> int:
    """What would be refused; 1 if a row is bad, since the run would not begin."""
    looked = dry_run(plan, lambda rows: None)
    found = {"rows": looked.rows, "radiographs": looked.radiographs}
    found |= {"in_a_store": looked.elsewhere}
    if args.json:
        lists = {"bad": looked.bad, "refused": looked.refused}
        show({**found, **{name: [vars(row) for row in rows] for name, rows in lists.items()}})
        return 1 if looked.bad else 0
    for kind, rows in (("bad", looked.bad), ("would be refused", looked.refused)):
        for row in rows:
            say(f"row {row.number} {kind}: {row.message}")
    if looked.elsewhere:
        say(f"{looked.elsewhere:,} rows of a DICOM store were not looked at")
    say(f"{looked.rows:,} rows, {looked.radiographs:,} radiographs: {len(looked.bad):,} bad rows, "
        f"{len(looked.refused):,} that the reader would refuse. Nothing was written.")  # fmt: skip
    return 1 if looked.bad else 0


def _tell_bad(bad: Sequence[Bad], args: argparse.Namespace) -> None:
    """Every bad row; to standard error, since it is no result."""
    for row in bad:
        args.talker.warn("bad_row", f"row {row.number}: {row.message}")
