#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Audit the shipped judge J1, and an ONNX file if one is named, on the same radiographs and edits.

python benchmarks/audit_example.py --data cxr --out audit --onnx net.onnx --preprocessing audit.yaml

Writes audit/j1 and audit/onnx and prints page one of both. The second takes the edits of the first.
"""

import argparse
import shutil
import sys
from pathlib import Path

from monai_cxr_cf.cli import main

FINDINGS = ("left pleural effusion", "cardiomegaly")
KEPT = ("index.html", "audit.json", "rows.csv")


def audit(args: argparse.Namespace, name: str, model: str, more: list[str]) -> int:
    """One audit; its three files are kept under the classifier's name."""
    words = ["audit", "--model", model, "--data", str(args.data), "--out", str(args.out / "work")]
    words += [word for finding in FINDINGS for word in ("--finding", finding)]
    words += ["--patients", str(args.patients), "--split", args.split, *more]
    code = main([*words, "--workers", str(args.workers)])
    if code == 0:
        (args.out / name).mkdir(parents=True, exist_ok=True)
        for file in KEPT:
            shutil.copy(args.out / "work" / file, args.out / name / file)
    return code


def run(words: list[str] | None = None) -> int:
    """Both audits; the exit code of the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with index.csv, or DICOM")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--onnx", help="a classifier of yours")
    parser.add_argument("--preprocessing", help="its audit.yaml")
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--split", default="test")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args(words)
    code = audit(args, "j1", "j1", [])
    if code == 0 and args.onnx:
        code = audit(args, "onnx", args.onnx, ["--preprocessing", args.preprocessing or ""])
    return code


if __name__ == "__main__":
    sys.exit(run())
