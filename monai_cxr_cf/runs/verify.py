# SPDX-License-Identifier: Apache-2.0
"""Files in, one finding a file out: is it ours, which marks are left, does its hash hold.

A hash holds against ``report.json``: the one that is named, else the one beside the file or one
folder up. A file without such a report is judged by its marks alone.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Any

from monai_cxr_cf.dicom.marks import expected, is_ours, marks_of, role_of
from monai_cxr_cf.dicom.png_origin import TOOL, png_origin
from monai_cxr_cf.dicom.writing.fileio import load
from monai_cxr_cf.errors import BadRequest, UnreadableInput

REPORT = "report.json"
HOLDS, DIFFERS, UNLISTED, NO_REPORT = "holds", "differs", "not listed", "no report"
ROLES = {"cf": "counterfactual", "diff": "difference", "seg": "masks", "sr": "report"}
UNREADABLE = "unreadable"  # a DICOM object or PNG whose header is damaged
LATER = ("banner", "run report")  # made after the report, or the report itself


@dataclass(frozen=True)
class Report:
    """The files that a report.json lists."""

    folder: Path
    files: tuple[Mapping[str, str], ...]

    def entry(self, path: Path, sha256: str, sop_uid: str) -> Mapping[str, str]:
        """What it says of a file: by its place, else by its identifier, else by its hash."""
        here = path.resolve()
        by_place = [e for e in self.files if (self.folder / e["path"]).resolve() == here]
        by_uid = [e for e in self.files if sop_uid and e.get("sop_uid") == sop_uid]
        by_hash = [e for e in self.files if e["sha256"] == sha256]
        return next(iter([*by_place, *by_uid, *by_hash]), {})


@dataclass(frozen=True)
class Finding:
    """What was found out about one file."""

    path: Path
    role: str  # counterfactual, difference, masks, report, banner, run report, unknown, ...
    ours: bool
    marks: Mapping[str, bool] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()  # marks that a whole file of this role carries
    hash: str = NO_REPORT  # holds, differs, not listed, no report, missing
    sop_uid: str = ""

    @property
    def ok(self) -> bool:
        """Ours, every mark there, and nothing speaks against its bytes."""
        known = self.hash in (HOLDS, NO_REPORT) or (self.hash == UNLISTED and self.role in LATER)
        return self.ours and not self.lacks and known

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "path": str(self.path),
            "ok": self.ok,
            "ours": self.ours,
            "role": self.role,
            "marks": dict(self.marks),
            "lacks": list(self.lacks),
            "hash": self.hash,
        }


def verify(paths: list[Path], report: Path | None = None) -> Iterator[Finding]:
    """One finding a file, in order; a folder stands for its files and for what its report lists.

    Args:
        paths: files and folders.
        report: the report.json that the hashes are held against; None looks for one.

    Raises:
        BadRequest: an empty folder.
        UnreadableInput: no such file, or ``report`` is none of ours.
    """
    given = read_report(report) if report is not None else None
    for path in paths:
        if not path.exists():
            raise UnreadableInput(
                "A file to verify does not exist; expected files or folders.",
                code="no_file",
                hint="Check the paths.",
            )
    known: dict[Path, Report | None] = {}
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        if not files:
            raise BadRequest("A folder to verify holds no file.", hint="Name an output folder.")
        for file in files:
            yield _judge(file, given or _near(file, known))
        listed = _report_in(path) if path.is_dir() else None
        if listed is not None:
            yield from _missing(listed)


def read_report(path: Path) -> Report:
    """The list of files in a report.json.

    Raises:
        UnreadableInput: it is none.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        files = tuple({k: str(v) for k, v in entry.items()} for entry in told["files"])
        whole = all({"role", "path", "sha256"} <= set(entry) for entry in files)
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise _no_report() from error
    if not whole or not str(told.get("notice", "")).startswith("SYNTHETIC"):
        raise _no_report()
    return Report(path.parent, files)


def _no_report() -> UnreadableInput:
    return UnreadableInput(
        "The report is none of ours; expected the report.json of an output folder.",
        code="bad_report",
        hint="Name it with --report, or verify the files in another folder.",
    )


def _near(file: Path, known: dict[Path, Report | None]) -> Report | None:
    """The report beside a file or one folder up, read once."""
    for folder in (file.parent, file.parent.parent):
        if folder not in known:
            known[folder] = _report_in(folder)
        if known[folder] is not None:
            return known[folder]
    return None


def _report_in(folder: Path) -> Report | None:
    """The report of an output folder; None if there is none, or one of another program."""
    try:
        return read_report(folder / REPORT)
    except UnreadableInput:
        return None


def _judge(file: Path, report: Report | None) -> Finding:
    """Marks first, then the hash; what carries no marks is known by its hash alone."""
    found = _look(file)
    if report is None:
        return found
    with file.open("rb") as stream:
        sha256 = file_digest(stream, "sha256").hexdigest()
    entry = report.entry(file, sha256, found.sop_uid)
    held = UNLISTED
    if entry:
        held = HOLDS if entry["sha256"] == sha256 else DIFFERS
    role, ours = found.role, found.ours
    if role in ("unknown", "picture") and entry:
        role, ours = ROLES.get(entry["role"], entry["role"]), ours or held == HOLDS
    return Finding(file, role, ours, found.marks, found.lacks, held, found.sop_uid)


def _look(file: Path) -> Finding:
    """Kind and marks of one file, by its content and never by its name alone."""
    with file.open("rb") as stream:
        head = stream.read(132)
    try:
        return _look_inside(file, head)
    except UnreadableInput:
        return Finding(file, UNREADABLE, ours=False)


def _look_inside(file: Path, head: bytes) -> Finding:
    if head[128:] == b"DICM":
        ds = load(file, pixels=False)
        marks, wanted = marks_of(ds), expected(ds)
        ours = is_ours(marks)
        lacks = tuple(name for name in wanted if not marks[name]) if ours else ()
        shown = {name: marks[name] for name in marks if name in wanted or marks[name]}
        role = role_of(ds) if ours else "unknown"
        return Finding(file, role, ours, shown, lacks, sop_uid=str(ds.SOPInstanceUID))
    if head.startswith(b"\x89PNG"):
        return _look_at_png(file)
    if file.name == REPORT and _report_in(file.parent) is not None:
        return Finding(file, "run report", ours=True)
    return Finding(file, "unknown", ours=False)


def _look_at_png(file: Path) -> Finding:
    tool, kind = png_origin(file)
    marks = {"CreatorTool": tool == TOOL, "digitalSourceType": bool(kind)}
    ours = marks["CreatorTool"]
    lacks = ("digitalSourceType",) if ours and not kind else ()
    return Finding(file, "picture" if ours else "unknown", ours, marks, lacks)


def _missing(report: Report) -> Iterator[Finding]:
    """What a folder's report lists and the folder does not hold."""
    for entry in report.files:
        path = report.folder / entry["path"]
        if not path.is_file():
            yield Finding(path, ROLES.get(entry["role"], entry["role"]), ours=True, hash="missing")
