# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf verify``: is a file ours, which marks are left, does its hash hold; one line a file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cxr_cf.commands.say import say, show
from monai_cxr_cf.errors import UnreadableInput

if TYPE_CHECKING:
    from monai_cxr_cf.runs.verify import Finding

EXAMPLES = """\
examples:
  cxr-cf verify out                              every file of an output folder
  cxr-cf verify fetched/*.dcm                    what an archive gave back: marks alone
  cxr-cf verify copy.dcm --report out/report.json
  cxr-cf verify out --json

exit code: 0 all are ours and whole, 1 one is not ours, lacks a mark or has other bytes than its
report says, 2 bad input (the other files are still told). "not ours" says nothing about what else
a file may be.
"""


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "verify",
        parents=[common],
        epilog=EXAMPLES,
        help="is a file ours, and still marked synthetic?",
        description="Look for the marks that every file of ours carries, and hold its bytes "
        "against report.json: the one named, else the one beside it or one folder up.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="files or folders")
    parser.add_argument("--report", type=Path, metavar="FILE", help="report.json with the hashes")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """One line a file; 1 if one of them is not ours or not whole, 2 if one cannot be read."""
    from monai_cxr_cf.runs.verify import UNREADABLE, verify

    found = []
    for finding in verify(args.files, args.report):
        found.append(finding)
        if not args.json:
            say(line(finding))
    whole = all(finding.ok for finding in found)
    if args.json:
        show({"ok": whole, "files": [finding.as_dict() for finding in found]})
    if any(finding.role == UNREADABLE for finding in found):
        return UnreadableInput.exit_code
    return 0 if whole else 1


def line(finding: "Finding") -> str:
    """Such as ``ok    counterfactual  cf/0001.dcm  13 marks, hash holds``."""
    left = sum(finding.marks.values())
    words = [f"{left} mark{'' if left == 1 else 's'}"] if finding.marks and finding.ours else []
    if not finding.ours:
        words.append("not ours")
    if finding.role == "unreadable":
        words = ["its header is damaged"]
    if finding.lacks:
        words.append(f"lacks {', '.join(finding.lacks)}")
    words.append({"missing": "the report lists it, but it is not there",
                  "not listed": "not in the report",
                  "no report": "no report to hold its hash against"}
                 .get(finding.hash, f"hash {finding.hash}"))  # fmt: skip
    if finding.role == "run report":
        words = ["lists the others"]
    return f"{'ok  ' if finding.ok else 'FAIL'}  {finding.role:<14}  {finding.path}  " + ", ".join(
        words
    )
