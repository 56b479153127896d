# SPDX-License-Identifier: Apache-2.0
"""A ``segment`` job: organs of one radiograph, and the region that words name, as files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from monai_cxr_cf.case import words
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.errors import UnsupportedImage
from monai_cxr_cf.request import organs_from_json
from monai_cxr_cf.runs import organs
from monai_cxr_cf.runs.masks import masks_of, told, write_masks
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.run import Stages
from monai_cxr_cf.server.queue.jobs import REFUSED, drawn
from monai_cxr_cf.server.worker.pictures import entry_of, write_picture


def find_organs(
    request: Mapping[str, Any], files: Path, *, out: Path, networks: Networks, stages: Stages
) -> dict[str, Any]:
    """Masks of ``files/source`` into ``out``: labels, overlay, SEG; region for given words.

    What is no plausible chest is written all the same, so that a person can correct it; the result
    then holds the refusal.

    Raises:
        UnsupportedImage: the words name no pixel of the chest.
    """
    choice = organs_from_json({**request, "source": str(files / "source"), **drawn(files)})
    with stages("read"):
        radiograph = read_source(choice.source, choice.reading)
    with stages("segment"):
        found = organs.find_organs(choice, radiograph, networks)
    scene, source, refusal = found.scene, found.facts, found.refusal
    named = bool(choice.prompt or choice.findings) and refusal is None
    if named:
        with stages("region"):
            masks = masks_of(scene, words(choice))
    else:
        masks = masks_of(scene, None)
    with stages("write"):
        written = write_masks(scene, masks, source=source, folder=out)
        pictures = [write_picture("source", radiograph.pixels, out / "source.png", out)]
        if named:
            region = masks["edit_region"].astype(np.float32)
            pictures.append(write_picture("region", region, out / "region.png", out))
    uids = {f.path: {"sop_class": f.sop_class, "series_uid": f.series_uid, "sop_uid": f.sop_uid}
            for f in written}  # fmt: skip
    files_ = [{**entry_of(f.role, f.path, out), **uids[f.path]} for f in written] + pictures
    refused = {} if refusal is None else {REFUSED: _correctable(refusal).as_dict()}
    return {"files": files_, **told(masks, source, scene), **refused}


def _correctable(refusal: UnsupportedImage) -> UnsupportedImage:
    """The refusal of organs that lie in the job's files for a person to correct."""
    return UnsupportedImage(
        refusal.message,
        code=refusal.code,
        hint="What was found is in the files of this job. Correct labels.png and send it as masks; "
        "with roi as well nothing is refused.",
    )
