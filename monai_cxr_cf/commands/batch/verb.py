# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf batch``: a manifest in, committed results out; each part is a module beside this one."""

import argparse
from typing import Any

from monai_cxr_cf.commands.batch import export, look, plan, run, shard

EXAMPLES = """\
from a folder to results, in four steps:
  cxr-cf batch plan scans/ --prompt "left pleural effusion" --prompt cardiomegaly --out m.csv
  cxr-cf batch run m.csv --out results --dry-run      what would be refused, from headers alone
  cxr-cf batch run m.csv --out results --sample 5     hours and gigabytes, from five rows
  cxr-cf batch run m.csv --out results --workers 2    stopped anywhere, the same command goes on
and then:
  cxr-cf batch status results                         from another terminal, while it runs
  cxr-cf batch verify results                         is every finished row there, whole, once?
  cxr-cf batch compact results                        one table of all rows
  cxr-cf batch export results --to folder --out data  training data with a control arm
on a cluster, one shard a job:
  cxr-cf batch run m.csv --out results --prepare
  cxr-cf batch shard results --number 0

A manifest is a table, a row an edit: a column path, a column prompt (or finding, side, zone,
severity, direction), any field of a request under its own name, and columns of your own.
"""


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Declare the verb and its parts."""
    parser = verbs.add_parser(
        "batch",
        epilog=EXAMPLES,
        help="edit many radiographs, and go on after a stop",
        description="Run the rows of a manifest: none is lost, none is done twice.",
    )
    parts = parser.add_subparsers(title="what", metavar="WHAT", required=True)
    for part in (plan, run, shard, look, export):
        part.add(parts, common)
