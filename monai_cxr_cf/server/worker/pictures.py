# SPDX-License-Identifier: Apache-2.0
"""Pictures of a finished edit for a browser: source, counterfactual, region, band, change."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.seg_read import read_segmentation
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.runs.pictures import grey_png
from monai_cxr_cf.runs.run import Outcome

FOLDER = "view"


def write_view(request: EditRequest, outcome: Outcome, out: Path) -> list[dict[str, Any]]:
    """Write them into ``out/view``, 8 bits, native grid, upright, bright = dense.

    The counterfactual is shown through the source's own window, so that equal values look equal;
    in the change, mid grey is no change.

    Returns:
        Entries for the result's file list.
    """
    source = read_source(request.source, request.reading)
    main = _main_member(request, outcome)
    shown = _shown(source, main)
    masks = read_segmentation(out / "seg.dcm", source)
    pictures: dict[str, NDArray[Any]] = {
        "source": source.pixels,
        "cf": shown,
        "region": masks["edit_region"].astype(np.float32),
        "band": masks["edit_band"].astype(np.float32),
        "change": 0.5 + (shown - source.pixels) / 2,
    }
    return [write_picture(f"view_{name}", image, out / FOLDER / f"{name}.png", out)
            for name, image in pictures.items()]  # fmt: skip


def write_picture(role: str, image: NDArray[Any], path: Path, out: Path) -> dict[str, Any]:
    """An H x W picture 0..1 as PNG, and its entry in the file list."""
    grey_png(image, path)
    return entry_of(role, path, out)


def entry_of(role: str, path: Path, out: Path) -> dict[str, Any]:
    """A file without UIDs as an entry of the file list, its path relative to ``out``."""
    digest = sha256(path.read_bytes()).hexdigest()
    blank = dict.fromkeys(("sop_class", "series_uid", "sop_uid"))
    name = path.relative_to(out).as_posix()
    return {"role": role, "path": name, **blank, "sha256": digest, "label": ""}


def _main_member(request: EditRequest, outcome: Outcome) -> Path:
    """The counterfactual that stands for the series: highest level of the first seed."""
    levels = request.levels or (1.0,)
    members = [file.path for file in outcome.files if file.role == "cf"]
    return members[levels.index(max(levels))]


def _shown(source: Radiograph, member: Path) -> NDArray[np.float32]:
    """Stored values of our own file through the display of its source."""
    import pydicom

    pixels = pydicom.dcmread(member).pixel_array
    stored = source.turn.apply(pixels).astype(source.stored.dtype)
    return source.rendered(stored)
