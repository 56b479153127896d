# SPDX-License-Identifier: Apache-2.0
"""What a reading of a collection kept, where captions came from, and what was left out and why."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

LAYOUTS = ("folder", "mimic-cxr-jpg", "chexpert-plus")


@dataclass
class Counts:
    """Filled while a collection is read; told by whoever reads it."""

    layout: str = ""
    table: str = ""  # the file whose rows are counted, below the data folder
    rows: int = 0
    reports: int = 0  # images with a report
    kept: Counter[str] = field(default_factory=Counter)  # "PA, train" -> images
    captions: Counter[str] = field(default_factory=Counter)  # from report, labels or nothing
    left: Counter[str] = field(default_factory=Counter)  # reason -> images left out
    notes: list[str] = field(default_factory=list)  # which files were taken, and which not found

    def drop(self, reason: str) -> None:
        """One image is left out."""
        self.left[reason] += 1

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "layout": self.layout,
            "table": self.table,
            "rows": self.rows,
            "images": sum(self.kept.values()),
            "with_report": self.reports,
            "by_view_and_split": dict(sorted(self.kept.items())),
            "captions": {name: self.captions[name] for name in ("report", "labels", "none")},
            "left_out": dict(sorted(self.left.items())),
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """For people."""
        kept = "; ".join(f"{name} {count:,}" for name, count in sorted(self.kept.items()))
        said = ", ".join(f"{self.captions[name]:,} {name}" for name in ("report", "labels", "none"))
        told = [
            f"{self.layout}: {sum(self.kept.values()):,} images of {self.rows:,} rows in "
            f"{self.table}" + (f" ({kept})" if kept else ""),
            f"{self.reports:,} with a report; captions from: {said}",
        ]
        if self.left:
            reasons = ", ".join(f"{count:,} {name}" for name, count in sorted(self.left.items()))
            told.append(f"left out: {reasons}")
        return told + self.notes
