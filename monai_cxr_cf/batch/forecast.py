# SPDX-License-Identifier: Apache-2.0
"""What a batch would refuse, from headers alone; what it would take, from a sample of its rows."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from monai_cxr_cf.batch.begin import Plan
from monai_cxr_cf.batch.compact import rows
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.rows.columns import in_fields, is_remote, read_row
from monai_cxr_cf.batch.rows.manifest import Bad
from monai_cxr_cf.batch.rows.table import read_table
from monai_cxr_cf.batch.store.results import DONE, REFUSED, Line
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.errors import BadRequest, CxrError


@dataclass(frozen=True)
class Looked:
    """What a dry run saw."""

    rows: int
    radiographs: int
    bad: tuple[Bad, ...]  # rows that are wrong in themselves
    refused: tuple[Bad, ...]  # rows whose header the reader refuses
    elsewhere: int = 0  # rows whose source lies in a store, and was not looked at


def dry_run(plan: Plan, tell: Callable[[int], None] = lambda rows: None) -> Looked:
    """Read the manifest and the header of every radiograph; nothing is written.

    Args:
        plan: with the manifest.
        tell: called with the number of rows looked at.
    """
    from monai_cxr_cf.dicom.reading.read import check_source

    bad, refused, seen, count, elsewhere = [], [], {}, 0, 0
    base = plan.manifest.parent.absolute()
    for number, cells in read_table(plan.manifest):
        count += 1
        tell(count)
        if isinstance(cells, str):
            bad.append(Bad(number, cells))
            continue
        try:
            row = read_row(number, cells, base, plan.common)
        except BadRequest as error:
            bad.append(Bad(number, str(error)))
            continue
        if is_remote(row.path):
            elsewhere += 1
            continue
        reading = row.edit.reading
        if (row.path, reading) not in seen:
            seen[row.path, reading] = _refusal(lambda: check_source(row.path, reading))  # noqa: B023
        if seen[row.path, reading]:
            refused.append(Bad(number, seen[row.path, reading]))
    paths = {path for path, _ in seen}
    return Looked(count, len(paths), tuple(bad), tuple(refused), elsewhere)


def _refusal(look: Callable[[], None]) -> str:
    try:
        look()
    except CxrError as error:
        return in_fields(str(error))
    return ""


def sample(folder: RunFolder, count: int) -> frozenset[int]:
    """Numbers of ``count`` rows that are left, spread evenly over the shards."""
    left = array("q", (row.number for row, history in rows(folder) if not history.over))
    step = max(len(left) / count, 1.0)
    return frozenset(left[int(i * step)] for i in range(min(count, len(left))))


def forecast(
    lines: Sequence[Line], left: int, how: How, price: float | None = None
) -> dict[str, Any]:
    """Hours, gigabytes and money of so many rows, from the lines of some.

    Args:
        lines: of the sample, done or refused.
        left: rows that are to be done.
        how: as it will run: with so many workers.
        price: of an hour of the machine.
    """
    settled = [line for line in lines if line["state"] in (DONE, REFUSED)]
    if not settled:
        raise BadRequest(
            "No row of the sample was done or refused: none is left, or all failed.",
            hint="See cxr-cf batch status DIR, and quarantine.csv.",
        )
    seconds = fmean(line["seconds"] for line in settled)
    hours = seconds * left / how.workers / 3600
    found: dict[str, Any] = {
        "sample": len(settled),
        "refused": sum(line["state"] == REFUSED for line in settled),
        "seconds_a_row": round(seconds, 3),
        "rows": left,
        "workers": how.workers,
        "hours": round(hours, 2),
        "gb": round(fmean(line.get("bytes", 0) for line in settled) * left / 1e9, 2),
    }
    if price is not None:
        found["price"] = round(hours * price, 2)
    return found
