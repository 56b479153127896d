# SPDX-License-Identifier: Apache-2.0
"""The work of a batch as it is, but every edit passes: a tiny backbone draws nothing that would."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.edit_work import EditWork
from monai_cxr_cf.batch.rows.columns import Row


@dataclass(frozen=True)
class Passing(EditWork):
    """Real edits by the tiny backbone; only the verdict is another."""

    log: str = ""  # a file that gets a line for every edit

    def build(self, parts: Any, row: Row, folder: Path) -> None:
        """The edit, then the verdict."""
        super().build(parts, row, folder)
        with open(self.log, "a") as stream:
            stream.write(row.id + "\n")
        path = folder / "report.json"
        told = json.loads(path.read_text())
        told["verdict"] |= {"verdict": "passed", "checks": [], "proven": True}
        path.write_text(json.dumps(told))
