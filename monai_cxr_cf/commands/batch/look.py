# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf batch status``, ``verify`` and ``compact``: how far, how whole, and as one table."""

import argparse
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.check import TOLD, check
from monai_cxr_cf.batch.compact import KINDS, compact
from monai_cxr_cf.batch.count import at_work, count
from monai_cxr_cf.batch.quarantine import write_quarantine
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.commands.batch.flags import work_of
from monai_cxr_cf.commands.batch.show import in_words, tell_counts
from monai_cxr_cf.commands.say import say, show

STATUS = """\
examples:
  cxr-cf batch status results
  watch cxr-cf batch status results
  cxr-cf batch status results --json

exit code: 0 every row is done or refused, 1 some failed, 2 no batch, 3 rows are left
"""
VERIFY = """\
examples:
  cxr-cf batch verify results
  cxr-cf batch verify results --json

Reads every file and holds it against its report. Rows that are not done yet are no fault.
exit code: 0 all that is done is there, whole and once; 1 something is not; 2 no batch
"""
COMPACT = """\
examples:
  cxr-cf batch compact results                 results/results.parquet (needs the extra batch)
  cxr-cf batch compact results --to csv

One row a row of the manifest: what was asked, what became of it, its verdict and folder, and your
own columns. Two runs of one manifest give the same table.
"""


def add(parts: Any, common: argparse.ArgumentParser) -> None:
    """Declare the parts."""
    about = (
        ("status", "how far it is", "How far a batch is; it may be running.", STATUS, run_status),
        ("verify", "is every row there, whole, once?", "Hold every finished row against its "
         "report.", VERIFY, run_verify),
        ("compact", "one table of all rows", "Write what became of every row as one table.",
         COMPACT, run_compact),
    )  # fmt: skip
    for name, short, long, examples, function in about:
        parser = parts.add_parser(
            name, parents=[common], epilog=examples, help=short, description=long
        )
        parser.add_argument("folder", type=Path, metavar="DIR", help="of the batch")
        parser.set_defaults(run=function)
        if name == "compact":
            parser.add_argument("--to", choices=KINDS, default="parquet", help="kind (parquet)")


def run_status(args: argparse.Namespace) -> int:
    """Count; the exit code says whether something is left."""
    folder = RunFolder(args.folder)
    counts = count(folder)
    told, held = counts.as_dict(), at_work(folder)
    if args.json:
        show({**told, "shards_at_work": held})
    else:
        tell_counts(told)
        say(f"at work  {held} shards; {in_words(told)}" if held else "at work  nobody")
    return 3 if counts.left else 1 if counts.failed else 0


def run_verify(args: argparse.Namespace) -> int:
    """Look at every file; 1 if one is not as it should be."""
    folder = RunFolder(args.folder)
    found = check(folder, work_of(folder))
    if args.json:
        show(found.as_dict())
        return 0 if found.ok else 1
    for kind, name in found.faults:
        say(f"{kind:<8} {name}: {TOLD[kind]}")
    for name in sorted(found.again):
        say(f"move {name} away and run again: whole rows are kept, the others made anew")
    say(f"{found.whole:,} of {found.rows:,} rows are done and whole, {found.left:,} are not done")
    return 0 if found.ok else 1


def run_compact(args: argparse.Namespace) -> int:
    """Write the table, and quarantine.csv anew."""
    folder = RunFolder(args.folder)
    path = compact(folder, args.to)
    write_quarantine(folder)
    if args.json:
        show({"table": str(path)})
    else:
        say(str(args.folder / path.name))
    return 0
