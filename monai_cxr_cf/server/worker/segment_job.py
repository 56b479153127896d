# SPDX-License-Identifier: Apache-2.0
"""A ``segment`` job: organs of one radiograph, and the region that words name, as files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from monai_cxr_cf.case import words
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.pipeline import segment
from monai_cxr_cf.request import organs_from_json
from monai_cxr_cf.runs.masks import masks_of, told, write_masks
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.run import Stages
from monai_cxr_cf.server.worker.pictures import entry_of, write_picture


def find_organs(
    request: Mapping[str, Any], files: Path, *, out: Path, networks: Networks, stages: Stages
) -> dict[str, Any]:
    """Masks of ``files/source`` into ``out``: labels, overlay, SEG; region for given words.

    Raises:
        UnsupportedImage: no plausible chest was found, or the words name no pixel of it.
    """
    choice = organs_from_json({**request, "source": str(files / "source")})
    named = bool(choice.prompt or choice.findings)
    with stages("read"):
        radiograph = read_source(choice.source, choice.reading)
    with stages("segment"):
        scene, source = segment(choice, radiograph, networks)
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
    return {"files": files_, **told(masks, source, scene)}
