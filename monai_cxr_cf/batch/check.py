# SPDX-License-Identifier: Apache-2.0
"""Whether a batch holds what its lines say: every finished row whole, once, and nothing besides."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.perform import Work
from monai_cxr_cf.batch.store.files import subfolders
from monai_cxr_cf.batch.store.packs import row_files
from monai_cxr_cf.batch.store.results import DONE, read_lines
from monai_cxr_cf.batch.store.run_folder import FOLDERS, RunFolder
from monai_cxr_cf.errors import UnreadableInput

TOLD = {
    "missing": "it is done, but its folder is not there",
    "damaged": "a file of its folder is not as its report says",
    "twice": "it was committed twice",
    "unknown": "it is done, but no row of the plan",
    "stray": "a finished folder that no line names; the next run takes it or removes it",
}


@dataclass
class Checked:
    """What was found."""

    rows: int = 0  # planned
    whole: int = 0  # done, there, and as their reports say
    left: int = 0  # not done
    faults: list[tuple[str, str]] = field(default_factory=list)  # (kind, id or key)
    again: set[str] = field(default_factory=set)  # result files of rows that are to be made again

    @property
    def ok(self) -> bool:
        """Nothing is missing that should be there; strays do no harm."""
        return not [kind for kind, _ in self.faults if kind != "stray"]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        faults = [{"kind": kind, "of": name} for kind, name in self.faults]
        counts = {"rows": self.rows, "whole": self.whole, "left": self.left}
        return {"ok": self.ok, **counts, "faults": faults, "move_away": sorted(self.again)}


def check(
    folder: RunFolder, work: Work, tell: Callable[[int], None] = lambda rows: None
) -> Checked:
    """Look at every line and at every file of every finished row.

    Args:
        folder: of a batch, which may still be running.
        work: what its rows were made with; says when a folder is whole.
        tell: called with the number of rows looked at.
    """
    found, keys = Checked(), set[str]()
    for number in range(folder.read().shards):
        planned = {row.number for row in folder.read_plan(number)}
        done = set[int]()
        for line in read_lines(folder.results(number)):
            if line["state"] != DONE:
                continue
            keys.add(line["key"])
            with row_files(folder, number, line["key"]) as place:
                fault = _fault(place, work)
            if line["n"] in done:
                fault = "twice"
            elif line["n"] not in planned:
                fault = "unknown"
            done.add(line["n"])
            if fault:
                found.faults.append((fault, line["id"]))
                found.again.add(f"results/{folder.results(number).name}")
                if folder.pack(number).is_file():
                    found.again.add(f"packs/{folder.pack(number).name}")
            else:
                found.whole += 1
        found.rows += len(planned)
        found.left += len(planned - done)
        tell(found.rows)
    found.faults += [("stray", path.name) for path in _folders(folder) if path.name not in keys]
    return found


def _fault(path: Path, work: Work) -> str:
    if not path.is_dir():
        return "missing"
    try:
        work.facts(path)
    except UnreadableInput:
        return "damaged"
    return ""


def _folders(folder: RunFolder) -> Iterator[Path]:
    """Every folder of a finished row; those of rows that are not packed yet."""
    for first in subfolders(folder.rows):
        if folder.output != FOLDERS:
            yield from subfolders(first)
            continue
        for second in subfolders(first):
            yield from subfolders(second)
