# SPDX-License-Identifier: Apache-2.0
"""A manifest laid out in a folder: checked whole, ordered, in shards; or an old folder again.

A manifest that has grown adds shards; what was planned stays as it is.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import monai_cxr_cf
from monai_cxr_cf.batch.points import Hook, unwatched
from monai_cxr_cf.batch.rows.manifest import (
    Bad,
    Checked,
    Planned,
    check_manifest,
    file_sha256,
    in_order,
)
from monai_cxr_cf.batch.rows.shards import shards
from monai_cxr_cf.batch.store.files import make_folders, remove, save_text
from monai_cxr_cf.batch.store.lease import alone
from monai_cxr_cf.batch.store.run_folder import Run, RunFolder, check_columns, check_same
from monai_cxr_cf.errors import BadRequest

SHARD = 64
LEASE = "plan"


class BadRows(BadRequest):
    """Rows of a manifest that cannot be run, every one of them."""

    code = "bad_rows"

    def __init__(self, bad: Sequence[Bad], good: int) -> None:
        count = len(bad) + good
        super().__init__(
            f"{len(bad)} of {count} rows cannot be run, so nothing was begun.",
            hint="Mend them, or leave them out: --skip-bad.",
        )
        self.bad = tuple(bad)


@dataclass(frozen=True)
class Plan:
    """What a batch is begun with.

    Args:
        manifest: the file.
        common: fields of a request that a row has unless it says otherwise.
        settings: what else the bytes of a row depend on.
        shard: rows a shard.
        skip_bad: leave bad rows out.
    """

    manifest: Path
    common: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    shard: int = SHARD
    skip_bad: bool = False

    def fingerprint(self) -> dict[str, Any]:
        """All of it that must not change; a code version among it."""
        version = {"version": monai_cxr_cf.__version__}
        return {**self.settings, **version, "fields": dict(self.common)}


def lay_out(folder: RunFolder, plan: Plan, at: Hook = unwatched) -> tuple[Run, tuple[Bad, ...]]:
    """The run that a folder now holds, and the rows that were left out.

    Raises:
        BadRows: some rows cannot be run, and ``skip_bad`` is not set.
        BadRequest: the folder was begun with other settings or rows, or holds other files.
        UnreadableInput: the manifest is none.
    """
    folder.check_new()
    new = not folder.path.exists()
    if folder.begun():
        check_same(folder.read(), Run(plan.fingerprint(), (), ""))
    try:
        make_folders(folder.path)
        with alone(folder.leases, LEASE):
            return _laid_out(folder, plan, at)
    except BaseException:
        if new and not folder.begun():
            remove(folder.leases)
            with suppress(OSError):
                folder.path.rmdir()
        raise


def _laid_out(folder: RunFolder, plan: Plan, at: Hook) -> tuple[Run, tuple[Bad, ...]]:
    known = folder.read() if folder.begun() else Run(plan.fingerprint(), (), "")
    check_same(known, Run(plan.fingerprint(), (), ""))
    for place in (folder.path, folder.plan(0).parent):  # of a process that died laying it out
        for part in (*place.glob(".run.json.*.part"), *place.glob(".[0-9]*.jsonl.*.part")):
            part.unlink(missing_ok=True)
    if plan.manifest.is_file() and known.manifest == file_sha256(plan.manifest):
        return known, ()
    planned = Planned()
    for number in range(known.shards):
        for row in folder.read_plan(number):
            planned.add(row)
    with tempfile.TemporaryFile(dir=folder.path) as stream:
        found = check_manifest(plan.manifest, stream, common=plan.common, planned=planned)
        if known.shards:
            check_columns(known, found.columns)
        if found.bad and not plan.skip_bad:
            raise BadRows(found.bad, len(found) + found.known)
        columns = tuple(dict.fromkeys((*known.columns, *found.columns)))
        run = _write(folder, replace(known, columns=columns), found, plan.shard)
    at("planned")
    folder.save(run)
    return run, tuple(found.bad)


def _write(folder: RunFolder, run: Run, found: Checked, size: int) -> Run:
    """The shards of the new rows; the run that counts them in."""
    make_folders(folder.plan(0).parent)
    number = run.shards
    for shard in shards(in_order(found), size):
        save_text(folder.plan(number), "".join(row.line() + "\n" for row in shard))
        number += 1
    sha = found.sha256 if not found.bad else ""
    return replace(run, manifest=sha, rows=run.rows + len(found), shards=number)
