# SPDX-License-Identifier: Apache-2.0
"""How ``python -m monai.bundle run`` enters and leaves: one sentence and an exit code for errors.

MONAI wraps what a component raises into a RuntimeError with a page of traceback; only SystemExit
passes through. So the three functions that ``inference.json`` calls turn our errors into one. From
Python call ``cases`` and ``evaluator.run()``, which raise the errors themselves.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai_cxr_cf.devices import check_place, device_of
from monai_cxr_cf.errors import BadRequest, CxrError
from monai_cxr_cf.runs.failures import typed
from monai_cxr_cf.transforms.cases import Row, cases
from monai_cxr_cf.transforms.items import Item


def checked_cases(
    source: str | Path,
    request: Row | None = None,
    *,
    output_dir: str | Path = "out",
    overwrite: bool = False,
) -> list[Item]:
    """``cases``; an error of ours ends the program with its sentence and exit code."""
    with spoken():
        return cases(source, request, output_dir=output_dir, overwrite=overwrite)


def checked_place(device: str, precision: str) -> str:
    """The torch device of ``device``; an error of ours ends the program as above."""
    with spoken():
        check_place(device, precision)
        return device_of(device)


def run(evaluator: Any) -> None:
    """Run a MONAI evaluator over its cases; an error of ours ends the program as above.

    Raises:
        SystemExit: 2 for bad input, 3 for a missing component, 4 for memory or disk.
    """
    with spoken():
        if not len(evaluator.data_loader.dataset):
            raise BadRequest("No source is named.", hint="Give --source FILE and --prompt TEXT.")
        evaluator.run()


@contextmanager
def spoken() -> Iterator[None]:
    """Turn an error of ours, however deep MONAI wrapped it, into a sentence and SystemExit."""
    try:
        yield
    except Exception as error:
        refusal = _ours(error)
        if refusal is None:  # a bug keeps its traceback
            raise
        sys.stderr.write(f"error: {refusal}\n")
        raise SystemExit(refusal.exit_code) from error


def _ours(error: BaseException | None) -> CxrError | None:
    """The first error on the way to the cause that is ours, or that the command line names."""
    while error is not None:
        known = typed(error)
        # MONAI says "module not found", without a name, of a wrong _target_.
        if type(known) is not CxrError and getattr(error, "name", "") is not None:
            return known
        error = error.__cause__
    return None
