# SPDX-License-Identifier: Apache-2.0
"""A ``segment`` job: organs of one radiograph, and the region that words name, as files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.organs import Organs, check
from monai_cxr_cf.anatomy.zones import region_mask
from monai_cxr_cf.case import words
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.pipeline import pixel_aspect
from monai_cxr_cf.prompts.findings import region_terms
from monai_cxr_cf.request import EditRequest, from_json
from monai_cxr_cf.runs.masks import weights_of, write_masks
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.run import Stages
from monai_cxr_cf.server.worker.pictures import entry_of, write_picture

ANY = "cardiomegaly"  # a request needs words; these are not used


def find_organs(
    request: Mapping[str, Any], files: Path, *, out: Path, networks: Networks, stages: Stages
) -> dict[str, Any]:
    """Masks of ``files/source`` into ``out``: labels, overlay, SEG; region for given words.

    Raises:
        UnsupportedImage: no plausible chest was found.
    """
    named = "prompt" in request or "findings" in request
    plain = dict(request) if named else {**request, "prompt": ANY}
    asked = from_json({**plain, "source": str(files / "source")})
    with stages("read"):
        radiograph = read_source(asked.source, asked.reading)
    with stages("segment"):
        segmenter = networks.segmenter(asked.segmenter)
        found = segmenter(radiograph.pixels, radiograph.valid, aspect=pixel_aspect(radiograph))
        measures = check(found.organs, agreement=found.agreement)
    masks = {**found.organs.as_dict()}
    if named:
        with stages("region"):
            masks["edit_region"] = _region(asked, found.organs) & radiograph.valid
    with stages("write"):
        written = write_masks(
            radiograph, found.organs, masks=masks, weights=weights_of(found), folder=out
        )
        pictures = [write_picture("source", radiograph.pixels, out / "source.png", out)]
        if named:
            region = masks["edit_region"].astype(np.float32)
            pictures.append(write_picture("region", region, out / "region.png", out))
    uids = {f.path: {"sop_class": f.sop_class, "series_uid": f.series_uid, "sop_uid": f.sop_uid}
            for f in written}  # fmt: skip
    return {
        "files": [{**entry_of(f.role, f.path, out), **uids[f.path]} for f in written] + pictures,
        "measures": measures,
        "pixels": {name: int(mask.sum()) for name, mask in masks.items()},
        "segmenter": {"name": found.name, "sha256": found.sha256, "licence": found.licence},
    }


def _region(asked: EditRequest, organs: Organs) -> NDArray[np.bool_]:
    items = words(asked).findings
    terms = [term for item in items for term in region_terms(item.finding, item.side, item.zone)]
    return region_mask(organs, terms)
