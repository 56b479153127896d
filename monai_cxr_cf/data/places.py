# SPDX-License-Identifier: Apache-2.0
"""Where a collection's files lie: tables by the names of any release, images and reports by trial.

People unpack archives into folders of their own. Roots are tried in an order; the first image that
is there decides root and ending for all, so that a large collection is not searched row by row.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from monai_cxr_cf.data.picture import ENDINGS
from monai_cxr_cf.errors import UnreadableInput

PROBES = 400  # rows, evenly spaced, that are looked for before all others


@dataclass(frozen=True)
class Place:
    """Where one image may be: its folders below a root, and the stem of its file."""

    folders: str
    stem: str


def homes(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """``folder`` and the folders below it that match, in that order; the newest release first."""
    found = [folder]
    for pattern in patterns:
        found += sorted((p for p in folder.glob(pattern) if p.is_dir()), reverse=True)
    return list(dict.fromkeys(found))


def find_table(where: Sequence[Path], name: str) -> Path | None:
    """The last by name of the files that match ``name`` in the first folder that has any."""
    wanted = re.compile(rf"{name}(\.gz)?", re.IGNORECASE)
    for folder in where:
        entries = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        found = [e for e in entries if wanted.fullmatch(e) and (folder / e).is_file()]
        plain = [entry for entry in found if not entry.lower().endswith(".gz")]
        if found:
            return folder / (plain or found)[-1]
    return None


def no_table(folder: Path, where: Sequence[Path], name: str) -> UnreadableInput:
    """What was looked for and where, and the tables that are there instead."""
    tried = ", ".join(dict.fromkeys(below(folder, place) or "the folder itself" for place in where))
    there = sorted(
        p.name for place in where if place.is_dir() for p in place.iterdir() if ".csv" in p.name
    )
    found = f" There are {', '.join(there[:8])}." if there else ""
    return UnreadableInput(
        f"The data folder has no {name}; looked in {tried}.{found}",
        hint="Pass the folder as it was downloaded, with the tables under their published names.",
    )


def below(folder: Path, path: Path) -> str:
    """The path below ``folder``, with "/" between; "" for the folder itself."""
    text = path.relative_to(folder).as_posix()
    return "" if text == "." else text


def roots(base: Path, names: Iterable[str]) -> list[Path]:
    """The folders of these names below ``base`` that exist, whatever their case; ``*`` matches."""
    found: list[Path] = []
    for name in names:
        level = [base]
        for part in PurePosixPath(name).parts:
            wanted = re.compile(re.escape(part).replace(r"\*", ".*"), re.IGNORECASE)
            level = [e for at in level for e in _folders(at) if wanted.fullmatch(e.name)]
        found += [place for place in level if place.is_dir()]
    return list(dict.fromkeys(found))


def _folders(at: Path) -> list[Path]:
    return sorted(e for e in at.iterdir() if e.is_dir()) if at.is_dir() else []


class Images:
    """Finds the files of places below some roots.

    Attributes:
        chosen: the root and ending of the first image found, for the record; None if none was.
    """

    def __init__(self, folder: Path, where: Sequence[Path], places: Sequence[Place]) -> None:
        self.folder, self.where = folder, list(where)
        self._listed: dict[Path, dict[str, str]] = {}
        self.chosen: tuple[Path, str, bool] | None = self._first(spread(places))

    def __call__(self, place: Place) -> str | None:
        """The file below the data folder, with "/" between; None if it is not there."""
        if self.chosen is None:
            return None
        root, ending, flat = self.chosen
        for at in (root, *(other for other in self.where if other != root)):
            if flat:
                if name := self._flat(at).get(place.stem):
                    return below(self.folder, at / name)
            elif (path := at / place.folders / f"{place.stem}{ending}").is_file():
                return below(self.folder, path)
        return None

    def _first(self, places: Iterator[Place]) -> tuple[Path, str, bool] | None:
        tops = {at: _names(at) for at in self.where}
        for place in places:
            top = PurePosixPath(place.folders).parts[:1]
            for at in self.where:
                if top and top[0] in tops[at]:
                    for name in _names(at / place.folders):
                        stem, ending = os.path.splitext(name)
                        if stem == place.stem and ending.lower() in ENDINGS:
                            return at, ending, False
                if place.stem in self._flat(at):
                    return at, "", True
        return None

    def _flat(self, at: Path) -> dict[str, str]:
        """Images directly in a folder, by stem."""
        if at not in self._listed:
            names = (os.path.splitext(name) for name in sorted(_names(at)))
            self._listed[at] = {s: s + end for s, end in names if end.lower() in ENDINGS}
        return self._listed[at]


def spread(places: Sequence[Place]) -> Iterator[Place]:
    """Some of all parts of the sequence first, then every one."""
    yield from places[:: max(1, len(places) // PROBES)]
    yield from places


def _names(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(folder)}
    except OSError:
        return set()


def first_holding(
    where: Iterable[Path], names: Sequence[str], path: Callable[[Path, str], Path]
) -> Path | None:
    """The first root below which one of some names is there; ``path`` says where that would be."""
    some = names[:: max(1, len(names) // PROBES)]
    return next((at for at in where if any(path(at, name).is_file() for name in some)), None)
