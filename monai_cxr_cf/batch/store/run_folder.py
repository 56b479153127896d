# SPDX-License-Identifier: Apache-2.0
"""The folder of a batch: where everything lies, and ``run.json``: what it was begun with.

run.json               settings, weights, version, columns: the fingerprint; rows and shards
plan/00000.jsonl       the rows of a shard, in their order; never changed
results/00000.jsonl    a line for every row that is finished, refused or failed; only it counts
rows/ab/cd/KEY/        what an edit wrote; rows/NNNNN/KEY/ until a shard is packed
packs/00000.tar        with --output tar or parquet: the finished rows of a shard
sources/               what was fetched from a DICOMweb store
aside/, leases/        what is being built, and by whom
quarantine.csv         rows that will not be tried again, and why
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.rows.columns import Row, row_of
from monai_cxr_cf.batch.store.files import save_json
from monai_cxr_cf.errors import BadRequest, UnreadableInput

SCHEMA = 1
RUN, QUARANTINE = "run.json", "quarantine.csv"
FOLDERS = "folders"  # rows stay as they were committed
OTHER = "Use the same ones to go on, or name another --out."


@dataclass(frozen=True)
class Run:
    """What ``run.json`` holds."""

    fingerprint: Mapping[str, Any]  # all that a row's bytes depend on besides manifest and weights
    columns: tuple[str, ...]  # of the manifest
    manifest: str  # sha256 of the file that was read last
    rows: int = 0
    shards: int = 0
    weights: Mapping[str, str] = field(default_factory=dict)  # model -> digest of its files
    schema: int = SCHEMA


@dataclass(frozen=True)
class Loose:
    """Finished rows of a shard, side by side, until they are packed."""

    path: Path

    def row(self, key: str) -> Path:
        """Where a finished row lies."""
        return self.path / key


class RunFolder:
    """Paths of a batch."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.run_file = self.path / RUN
        self.leases, self.rows, self.all_aside, self.sources = (
            self.path / name for name in ("leases", "rows", "aside", "sources")
        )

    def plan(self, number: int) -> Path:
        """The rows of a shard."""
        return self.path / "plan" / f"{number:05d}.jsonl"

    def results(self, number: int) -> Path:
        """The lines of a shard."""
        return self.path / "results" / f"{number:05d}.jsonl"

    def aside(self, number: int, epoch: int) -> Path:
        """Where one holder of a shard builds."""
        return self.all_aside / f"{number:05d}.{epoch}"

    def row(self, key: str, number: int | None = None) -> Path:
        """Where a finished row lies; of a shard, if it is going to be packed."""
        if number is not None and self.output != FOLDERS:
            return self.loose(number) / key
        return self.rows / key[:2] / key[2:4] / key

    @cached_property
    def output(self) -> str:
        """What finished rows become: folders, tar or parquet."""
        return str(self.read().fingerprint.get("output", FOLDERS))

    def loose(self, number: int) -> Path:
        """Finished rows of a shard that are not packed yet."""
        return self.rows / f"{number:05d}"

    def pack(self, number: int) -> Path:
        """The packed rows of a shard."""
        return self.path / "packs" / f"{number:05d}.{self.output}"

    def places(self, aside: Path) -> "RunFolder | Loose":
        """Where rows belong that a worker builds in its folder below ``aside``."""
        if self.output == FOLDERS:
            return self
        return Loose(self.loose(int(aside.parent.name.partition(".")[0])))

    def read_plan(self, number: int) -> Iterator[Row]:
        """The rows of a shard, in their order."""
        with self.plan(number).open("rb") as stream:
            yield from map(row_of, stream)

    def planned(self, number: int) -> int:
        """How many rows a shard has; 0 if there is none of that number."""
        path = self.plan(number)
        return path.read_bytes().count(b"\n") if path.is_file() else 0

    def begun(self) -> bool:
        """Whether this is the folder of a batch."""
        return self.run_file.is_file()

    def read(self) -> Run:
        """``run.json``.

        Raises:
            UnreadableInput: there is none, or it is none of ours.
        """
        try:
            told = json.loads(self.run_file.read_text(encoding="utf-8"))
            run = Run(**{**told, "columns": tuple(told["columns"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UnreadableInput(
                "The folder holds no batch; expected one with run.json.",
                code="no_batch",
                hint="Begin one: cxr-cf batch run MANIFEST --out DIR.",
            ) from error
        if run.schema != SCHEMA:
            raise UnreadableInput(
                f"The batch was begun with layout {run.schema}; this is {SCHEMA}.",
                hint="Finish it with the version that began it.",
            )
        return run

    def save(self, run: Run) -> None:
        """Replace ``run.json``."""
        save_json(self.run_file, asdict(run))

    def check_new(self) -> None:
        """BadRequest if no batch must begin here: a file, or a folder with files of others."""
        if self.path.exists() and not self.path.is_dir():
            raise BadRequest("--out names a file; expected a folder.", hint="Name a new folder.")
        ours = {RUN, QUARANTINE, "slurm", "plan", "results", "rows", "packs", "sources", "aside",
                "leases"}  # fmt: skip
        present = {entry.name for entry in self.path.iterdir()} if self.path.is_dir() else set()
        if not self.begun() and present - ours:
            raise BadRequest(
                f"The output folder holds {len(present)} entries; expected a new or an empty one.",
                hint="Name another --out.",
            )


def check_same(known: Run, now: Run) -> None:
    """BadRequest, with the field that differs, if a folder was begun with another fingerprint."""
    for name in sorted({*known.fingerprint, *now.fingerprint}):
        old, new = known.fingerprint.get(name), now.fingerprint.get(name)
        if old != new:
            raise _other(name, old, new)


def check_columns(known: Run, columns: tuple[str, ...]) -> None:
    """BadRequest if a manifest lacks a column that the folder was begun with."""
    if set(known.columns) - set(columns):
        raise _other("set of columns", sorted(known.columns), sorted(columns))


def with_weights(run: Run, found: Mapping[str, str]) -> Run:
    """The run with the digests of models that it did not know yet.

    Raises:
        BadRequest: a model has other weights than before.
    """
    for model, digest in found.items():
        if run.weights.get(model, digest) != digest:
            raise _other(f"weights of {model}", run.weights[model][:12], digest[:12])
    return replace(run, weights={**run.weights, **found})


def _other(name: str, old: Any, new: Any) -> BadRequest:
    was, now = (json.dumps(value)[:80] for value in (old, new))
    return BadRequest(
        f"The folder was begun with another {name}: {was}, now {now}.",
        code="other_settings",
        hint=OTHER,
    )
