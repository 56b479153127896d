# SPDX-License-Identifier: Apache-2.0
"""How many cases the drawing tests draw, and the long runs that no test makes.

CXR_CF_FUZZ=40 (``make fuzz``) draws 40 times as many; without it the same cases in every run.
``python tests/fuzz.py headers --count 20000`` runs one of ``RUNS`` by itself, from a seed.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

FACTOR = int(os.environ.get("CXR_CF_FUZZ", "1"))
RUNS = {"headers": "tests.dicom.mutate"}
"""Name -> module with ``run(count, seed) -> exit code``."""


def examples(number: int) -> int:
    """``number`` cases in a plain run, many times as many in a long one."""
    return number * FACTOR


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=sorted(RUNS))
    parser.add_argument("--count", type=int, default=20_000, help="how many cases")
    parser.add_argument("--seed", type=int, default=0, help="of the first case; then one by one")
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    run = importlib.import_module(RUNS[args.what]).run
    return int(run(args.count, args.seed))


if __name__ == "__main__":
    sys.exit(main())
