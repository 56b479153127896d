# SPDX-License-Identifier: Apache-2.0
"""An output folder that appears whole or not at all, whatever stops the run."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monai_cxr_cf.errors import BadRequest, ResourceExhausted


@contextmanager
def staged(out: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary sibling of ``out`` to write into; moved into place only on success.

    On any exception, Ctrl-C included, the temporary folder is removed and ``out`` is untouched.

    Raises:
        BadRequest: ``out`` is a file, or holds files and ``overwrite`` is not set.
        ResourceExhausted: the disk is full or not writable.
    """
    out = out.expanduser().absolute()
    if out.exists() and not out.is_dir():
        raise BadRequest(f"The output '{out.name}' is a file; expected a folder.")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise BadRequest(
            f"The output folder '{out.name}' is not empty.",
            hint="Name a new folder or pass --overwrite.",
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise ResourceExhausted(
            f"The output folder cannot be made ({error.strerror}).",
            hint="Choose a folder that is writable and has space.",
        ) from error
    work.chmod(0o755)
    try:
        yield work
        _replace(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _replace(work: Path, out: Path) -> None:
    """Move ``work`` to ``out``; an old ``out`` goes last, so a crash never leaves nothing."""
    old = work.with_name(work.name + ".old")
    if out.exists():
        out.rename(old)
    work.rename(out)
    shutil.rmtree(old, ignore_errors=True)
