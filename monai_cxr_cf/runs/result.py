# SPDX-License-Identifier: Apache-2.0
"""What is refused before a run begins, and what its folder holds afterwards, JSON-ready."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cxr_cf.errors import BadRequest, UnreadableInput
from monai_cxr_cf.prompts.findings import get
from monai_cxr_cf.prompts.parse import parse_prompt
from monai_cxr_cf.request import EditRequest, OrganRequest

if TYPE_CHECKING:
    from monai_cxr_cf.runs.run import Outcome

OURS = frozenset(
    {
        "cf",
        "diff",
        "seg.dcm",
        "sr.dcm",
        "report.json",
        "preview.png",
        "trace.png",
        "masks.npz",
        "png",
        "sheet.png",
    }
)


def refuse_early(request: EditRequest) -> None:
    """Refuse what needs no library, in a tenth of a second: no such file, unknown words.

    Raises:
        UnreadableInput: the source is not there.
        BadRequest: the words name no finding that is known.
    """
    if not Path(request.source).exists():
        raise UnreadableInput(
            "The source does not exist; expected a file or folder.",
            code="no_file",
            hint="Check the path.",
        )
    refuse_words(request)


def refuse_words(request: EditRequest | OrganRequest) -> None:
    """BadRequest for a prompt that cannot be read or a finding that is not known; loads nothing."""
    if request.prompt:
        parse_prompt(request.prompt)
    for finding in request.findings:
        get(finding.finding)


def check_folder(out: Path, *, overwrite: bool, ours: frozenset[str] = OURS) -> None:
    """Refuse before anything slow; and never replace a folder that holds files of others.

    Raises:
        BadRequest: ``out`` is a file, or holds files.
    """
    if out.exists() and not out.is_dir():
        raise BadRequest("--out names a file; expected a folder.", hint="Name a new folder.")
    present = {entry.name for entry in out.iterdir()} if out.is_dir() else set()
    if present and not overwrite:
        raise BadRequest(
            f"The output folder holds {len(present)} entries; expected a new or an empty one.",
            hint="Name another --out, or pass --overwrite.",
        )
    if present - ours:
        raise BadRequest(
            "The output folder holds files that no run of ours wrote; it is not overwritten.",
            hint="Name another --out.",
        )


def result_of(outcome: "Outcome", out: Path) -> dict[str, Any]:
    """JSON-ready result: files with paths relative to ``out``, figures, verdict, report."""
    root = out.expanduser().absolute()
    files = []
    for file in outcome.files:
        path = file.path.absolute().relative_to(root).as_posix()
        entry = {"role": file.role, "path": path, "sop_class": file.sop_class}
        entry |= {"series_uid": file.series_uid, "sop_uid": file.sop_uid}
        files.append(entry | {"sha256": file.sha256, "label": file.label})
    return {
        "files": files,
        "metrics": dict(outcome.metrics),
        "verdict": dict(outcome.verdict),
        "report": outcome.report.absolute().relative_to(root).as_posix(),
        "seconds": dict(outcome.seconds),
    }
