# SPDX-License-Identifier: Apache-2.0
"""Who takes part in a table of methods: methods, each on a backbone, and folders of pictures."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from monai_cxr_cf.catalogue.table import OURS, TABLE, row_of
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.errors import BadRequest, ComponentMissing, UnreadableInput
from monai_cxr_cf.evaluation.edits.protocol import Trial
from monai_cxr_cf.evaluation.rows import write_text
from monai_cxr_cf.methods.external import COLUMNS, MANIFEST, Wanted, chosen, manifest
from monai_cxr_cf.runs.networks import Networks

FOREIGN = "external"
ASKED = "asked.csv"


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    Attributes:
        method: of the table of methods; what rows are known by.
        backbone: what it runs on.
        settings: of the method.
        preset: of ours, another than the run's.
    """

    method: str
    backbone: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def parsed(specs: Sequence[str], backbone: str) -> list[Entry]:
    """``ID`` or ``ID:BACKBONE`` each; all methods without any. Ours always comes first.

    Raises:
        BadRequest: an unknown method, or one that is named twice.
    """
    found = [Entry(OURS, backbone)]
    for spec in specs or [name for name in TABLE if name != OURS]:
        name, _, own = spec.partition(":")
        row_of(name)
        if name == FOREIGN and specs:
            raise BadRequest("Finished pictures enter with --external DIR, not with --methods.")
        if name == OURS and not own:
            continue
        if name == OURS or name in [entry.method for entry in found]:
            raise BadRequest(f"'{name}' is named twice; a table has one line of each method.")
        own_folder = bool(own) and "emu3" in TABLE[name].needs  # weights that are no backbone
        given = {"folder": own} if own_folder else {}
        found.append(Entry(name, backbone if own_folder else own or backbone, given))
    return found


def able(
    entries: Sequence[Entry], networks: Networks, *, default: str
) -> tuple[list[Entry], dict[str, str]]:
    """Entries that can run, and why the others cannot; nothing is loaded twice.

    A method that was published with another kind of UNet than the default backbone's runs on
    ``DEFAULT-KIND`` where the shipped weights have it.

    Raises:
        BadRequest: none but ours can, though others were asked for.
    """
    found, why = [], {}
    for given in entries:
        row, own = TABLE[given.method], given.backbone != default
        home = (networks.folder() / (name := f"{default}-{row.own}")).is_dir() and not own
        entry = replace(given, backbone=name) if home else given
        backbone = networks.backbone(entry.backbone)
        if "results" in row.needs:
            why[entry.method] = "shows finished pictures: give their folder with --external"
        elif "emu3" in row.needs and not entry.settings:
            why[entry.method] = f"needs its own weights: --methods {entry.method}:DIR"
        elif "own weights" in row.needs and not own:
            why[entry.method] = (
                f"needs weights of its own, which are not published: --methods {entry.method}:DIR"
            )
        elif "classifier" in row.needs and networks.judge("j1") is None:
            why[entry.method] = "needs the classifier J1 beside the weights"
        elif backbone.kind not in row.kinds:
            why[entry.method] = f"runs on another kind of UNet than '{Path(backbone.name).name}'"
        else:
            found.append(_told(entry, backbone))
    if len(entries) > 1 and len(found) == 1:
        raise BadRequest("None of these methods can run: " + "; ".join(why.values()) + ".")
    return found, why


def _told(entry: Entry, backbone: Backbone) -> Entry:
    """With the digest of weights that the user named as the method's own."""
    if "own weights" not in TABLE[entry.method].needs:
        return entry
    digest = next((d for name, d in backbone.files.items() if name.startswith("unet")), "")
    return replace(entry, settings={"weights": digest})


def trials_of(trials: Sequence[Trial], entries: Sequence[Entry]) -> list[Trial]:
    """The same trials for every entry, those of one radiograph and edit side by side.

    A method that cannot remove has none of the removals, and finished pictures have no shams. A
    sham takes the first seed alone: it costs as much as an edit and gives one threshold for all.
    """
    return [
        replace(
            trial,
            seeds=trial.seeds[:1] if trial.sham else trial.seeds,
            settings=replace(
                trial.settings,
                method=entry.method,
                backbone=entry.backbone,
                method_settings=dict(entry.settings),
            ),
        )
        for trial in trials
        for entry in entries
        if TABLE[entry.method].removes or trial.edit.direction != "remove"
        if entry.method != FOREIGN or not trial.sham
    ]


def foreign(folder: Path, backbone: str, trials: Sequence[Trial]) -> tuple[Entry, str]:
    """The entry of a folder of finished pictures, and the digest of all it holds.

    Raises:
        ComponentMissing: there is no manifest.
        BadRequest: a row is wrong, missing, or of a picture that nobody asked for.
    """
    if not (folder / MANIFEST).is_file():
        raise ComponentMissing(
            "The folder of finished pictures has no manifest.csv.",
            hint=f"{ASKED} in --out lists the rows that are wanted: {', '.join(COLUMNS)}.",
        )
    rows, used, found = manifest(folder), set[int](), hashlib.sha256()
    for trial in (trial for trial in trials if not trial.sham):
        edit = trial.edit
        name = Path(trial.input.path).name
        wanted = Wanted(name, edit.finding, edit.direction, trial.seeds, edit.prompt)
        for row in chosen(rows, wanted):
            used.add(row["number"])
            path = folder / row["file"]
            if not path.is_file():
                raise UnreadableInput(
                    f"Row {row['number']} of {MANIFEST} names a picture that is not there: "
                    f"{row['file']}."
                )
            found.update(repr([row[key] for key in COLUMNS]).encode() + path.read_bytes())
    if extra := [row["number"] for row in rows if row["number"] not in used]:
        raise BadRequest(
            f"Row {extra[0]} of {MANIFEST} shows an edit that is not asked for.",
            hint=f"{ASKED} in --out lists what is asked for; drop the other rows.",
        )
    return Entry(FOREIGN, backbone, {"folder": str(folder)}), found.hexdigest()


def write_asked(out: Path, trials: Sequence[Trial]) -> None:
    """``asked.csv``: a manifest without methods and files, for whoever edits elsewhere."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    number = 0
    for trial in (trial for trial in trials if not trial.sham):
        for seed in trial.seeds:
            number += 1
            name, edit = Path(trial.input.path).name, trial.edit
            writer.writerow([number, name, edit.finding, edit.direction, edit.prompt, seed, "", ""])
    write_text(out / ASKED, text.getvalue())
