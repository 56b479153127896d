# SPDX-License-Identifier: Apache-2.0
"""How ``python -m monai.bundle run`` enters and leaves: one sentence and an exit code for errors.

MONAI wraps what a component raises into a RuntimeError with a page of traceback; only SystemExit
passes through. So the three functions that ``inference.json`` calls turn our errors into one. From
Python call ``cases`` and ``evaluator.run()``, which raise the errors themselves.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai_cxr_cf.devices import check_place, device_of
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.transforms.cases import Row, cases
from monai_cxr_cf.transforms.each import LISTING, first_of_ours, run_each
from monai_cxr_cf.transforms.items import Item


def checked_cases(
    source: str | Path,
    request: Row | None = None,
    *,
    output_dir: str | Path = "out",
    overwrite: bool | str = False,
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

    Of a folder or a datalist every image is run; those that are refused are told at the end.

    Raises:
        SystemExit: 2 for bad input or a refused image, 3 for a missing component, 4 for memory or
            disk.
    """
    with spoken():
        items = evaluator.data_loader.dataset
        if not len(items):
            raise BadRequest("No source is named.", hint="Give --source FILE and --prompt TEXT.")
        if "listed" not in items.data[0]:
            evaluator.run()
            return
        told = run_each(evaluator)
    _tell(told)


def _tell(told: Sequence[Mapping[str, str]]) -> None:
    """Say which numbers were refused and why; their sources stand in the listing alone."""
    refused = [entry for entry in told if entry["state"] == "refused"]
    for entry in refused:
        sys.stderr.write(f"refused {entry['output']}: {entry['message']} {entry['hint']}\n")
    if refused:
        sys.stderr.write(
            f"error: {len(refused)} of {len(told)} images were refused; {LISTING} names them.\n"
        )
        raise SystemExit(BadRequest.exit_code)


@contextmanager
def spoken() -> Iterator[None]:
    """Turn an error of ours, however deep MONAI wrapped it, into a sentence and SystemExit."""
    try:
        yield
    except Exception as error:
        refusal = first_of_ours(error)
        if refusal is None:  # a bug keeps its traceback
            raise
        sys.stderr.write(f"error: {refusal}\n")
        raise SystemExit(refusal.exit_code) from error
