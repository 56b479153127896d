# SPDX-License-Identifier: Apache-2.0
"""The files of a run as digests, so that two runs can be compared byte for byte."""

import json
from hashlib import sha256
from pathlib import Path


def contents(folder: Path) -> dict[str, str]:
    """sha256 of every file; of ``report.json`` without ``run``."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if path.name == "report.json":
            report = json.loads(data)
            del report["run"]
            data = json.dumps(report).encode()
        found[path.relative_to(folder).as_posix()] = sha256(data).hexdigest()
    return found
