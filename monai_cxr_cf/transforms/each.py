# SPDX-License-Identifier: Apache-2.0
"""A folder's images through one evaluator, one by one, each committed as a row of a batch is.

``batch.perform`` builds an output aside, syncs it and renames it; a refused image ends itself, not
the run. ``sources.json`` in the output folder says which source each numbered output came from, and
what was refused and why. It is replaced after every image; what it calls done is whole, and is not
done again when the same run is started once more.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.data.dataloader import DataLoader
from monai.data.dataset import Dataset

from monai_cxr_cf import __version__
from monai_cxr_cf.batch.edit_work import REPORT, EditWork, Parts
from monai_cxr_cf.batch.perform import FULL, OWN_FAULT, Desk, perform
from monai_cxr_cf.batch.rows.columns import Row
from monai_cxr_cf.batch.store.files import make_folders, remove, save_json
from monai_cxr_cf.batch.store.results import DONE, REFUSED
from monai_cxr_cf.batch.store.run_folder import Run, with_weights
from monai_cxr_cf.errors import BadRequest, CxrError, ResourceExhausted
from monai_cxr_cf.runs.failures import typed
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.transforms.items import Item

LISTING, ASIDE = "sources.json", ".aside"
ROW, AGAIN = "row", "again"  # of an item: as a row of a batch; whether what lies there goes


@dataclass(frozen=True)
class Numbered:
    """Where an image's output lies when it is finished, whatever its key."""

    path: Path

    def row(self, key: str) -> Path:
        """The folder."""
        return self.path


@dataclass(frozen=True)
class Chain(EditWork):
    """Edits by the evaluator of a bundle; keys as of a batch, but for the weights.

    The evaluator's handlers load them when it runs: ``facts`` has them from the report.
    """

    evaluator: Any = None
    items: Mapping[int, Item] = field(default_factory=dict)  # by number
    caught: list[BaseException] = field(default_factory=list)  # on the current image

    def weights(self, parts: Parts, row: Row | None) -> Mapping[str, str]:
        """None that are known before."""
        return {}

    def key(self, parts: Parts, row: Row) -> str:
        """Over request, drawn masks, source and version."""
        try:
            return super().key(parts, row)
        except Exception as error:
            self.caught.append(error)
            raise

    def build(self, parts: Parts, row: Row, folder: Path) -> None:
        """Run the evaluator over this image alone; what it raises, ``caught`` holds."""
        own = {
            name: value
            for name, value in self.items[row.number].items()
            if name not in (ROW, AGAIN)
        }
        one = Dataset(
            [{**own, "output": str(folder)}], self.evaluator.data_loader.dataset.transform
        )
        self.evaluator.data_loader = DataLoader(one, batch_size=1, num_workers=0)
        self.evaluator.state.epoch_length = 1
        self.evaluator.run()
        if self.caught:
            raise self.caught[0]

    def facts(self, folder: Path) -> Mapping[str, Any]:
        """As of a batch, with the weights that the report names."""
        found = super().facts(folder)
        told = json.loads((folder / REPORT).read_text(encoding="utf-8"))["weights"]
        return {**found, "weights": {f"{w['role']} {w['name']}": w["sha256"] for w in told}}


class Listing:
    """``sources.json``: an entry an image, and the weights that made all outputs."""

    def __init__(self, out: Path) -> None:
        self._path, told = out / LISTING, dict[str, Any]()
        with suppress(OSError, ValueError):
            told = json.loads(self._path.read_text(encoding="utf-8"))
        self.version, self._weights = told.get("version"), dict(told.get("weights", {}))
        self._known = {entry["output"]: entry for entry in told.get("images", ())}
        self.entries: list[dict[str, str]] = []  # of this run

    def begun_with(self, rows: Sequence[Row]) -> bool:
        """Whether it is of this run: of these rows, by this version; they may have grown.

        So is a folder in which a first image was begun and nothing finished.
        """
        out = self._path.parent
        if out.is_dir() and [entry.name for entry in out.iterdir()] == [ASIDE]:
            return True
        now = {row.id: row.digest for row in rows}
        told = [entry.get("request") == now.get(name) for name, entry in self._known.items()]
        return bool(told) and all(told) and self.version == __version__

    def holds(self, row: Row, key: str) -> bool:
        """Whether the row's output was finished, under this key."""
        entry = self._known.get(row.id, {})
        return bool(entry.get("state") == DONE and entry.get("key") == key)

    def learn(self, found: Mapping[str, str]) -> None:
        """Take note of weights; BadRequest if an earlier output has others."""
        known = with_weights(Run({}, (), "", weights=self._weights), found)
        self._weights = dict(known.weights)

    def add(self, row: Row, state: str, more: Mapping[str, str]) -> None:
        """One more image; on disk on return."""
        first = {"output": row.id, "source": row.given, "state": state, "request": row.digest}
        self.entries.append({**first, **more})
        self._known.pop(row.id, None)
        told = {"version": __version__, "weights": self._weights}
        make_folders(self._path.parent)
        save_json(self._path, {"images": [*self.entries, *self._known.values()], **told})


def run_each(evaluator: Any) -> list[dict[str, str]]:
    """Run every item of the evaluator's dataset by itself; returns what the listing says of each.

    Args:
        evaluator: a MONAI evaluator over items with ``listed``, as ``cases`` makes of a folder.

    Raises:
        Exception: what was raised, where it is not an image's own fault.
    """
    items: Sequence[Item] = evaluator.data_loader.dataset.data
    work = Chain(evaluator=evaluator, items={item[ROW].number: item for item in items})
    evaluator.add_event_handler(Events.EXCEPTION_RAISED, lambda _, e: work.caught.append(e))
    out, parts = Path(items[0]["output"]).parent, Parts(Networks())
    listing, new = Listing(out), not out.exists()
    try:
        for item in items:
            _one(work, parts, item, listing)
    finally:
        remove(out / ASIDE)
        if new and not listing.entries:
            with suppress(OSError):
                out.rmdir()
    return listing.entries


def _one(work: Chain, parts: Parts, item: Item, listing: Listing) -> None:
    """One image: done, taken as it lies there, or refused; all else is raised."""
    row, place = item[ROW], Path(item["output"])
    work.caught.clear()
    key = ""
    with suppress(Exception):  # ``perform`` meets it again
        key = work.key(parts, row)
    if item[AGAIN] or not listing.holds(row, key):
        remove(place)
    record = perform(Desk(work, parts, Numbered(place)), [row], place.parent / ASIDE)[0]
    if record["state"] == DONE:
        try:
            listing.learn(record["weights"])
        except BadRequest:
            remove(place)
            raise
        listing.add(row, DONE, {"key": record["key"]})
        return
    ours = first_of_ours(work.caught[0] if work.caught else None)
    if isinstance(ours, OWN_FAULT):
        listing.add(row, REFUSED, ours.as_dict())
    elif work.caught:
        raise work.caught[0]
    elif record["state"] == FULL:
        raise ResourceExhausted("The disk is full.", hint="Make room; the same command goes on.")
    else:
        raise CxrError(record["message"], code=record["code"])


def first_of_ours(error: BaseException | None) -> CxrError | None:
    """The first error on the way to the cause that is ours, or that the command line names."""
    while error is not None:
        known = typed(error)
        # MONAI says "module not found", without a name, of a wrong _target_.
        if type(known) is not CxrError and getattr(error, "name", "") is not None:
            return known
        error = error.__cause__
    return None
