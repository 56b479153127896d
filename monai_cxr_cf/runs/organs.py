# SPDX-License-Identifier: Apache-2.0
"""A radiograph and what the user drew in, the scene of an edit out, and whether it may go on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monai_cxr_cf.anatomy import upright
from monai_cxr_cf.anatomy.organs import NAMES, Organs, check, measures
from monai_cxr_cf.anatomy.segment import Segmentation
from monai_cxr_cf.case import Scene
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.errors import UnsupportedImage
from monai_cxr_cf.runs.given import MaskChoice, masks_and_region
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.remembered import organs_of


@dataclass(frozen=True, eq=False)
class Found:
    """The organs of one radiograph, plausible or not."""

    scene: Scene
    facts: Mapping[str, Any]  # where the masks came from
    refusal: UnsupportedImage | None  # why no edit may follow


def find_organs(choice: MaskChoice, radiograph: Radiograph, networks: Networks) -> Found:
    """Organs from the user's masks, else from the network; the region from the user, if drawn.

    What does not look like an upright frontal chest is refused, unless the user has drawn both
    organs and region: then it is a warning.
    """
    given = masks_and_region(choice, radiograph)
    segmenter = networks.segmenter(choice.segmenter)
    found = organs_of(radiograph, segmenter, networks.memory)
    organs = found.organs.replaced(given.organs)
    drawn = sorted(set(given.organs) & set(NAMES))
    agreement = None if len(drawn) == len(NAMES) else found.agreement
    notes = list(given.notes)
    refusal, measured = _judged(organs, radiograph, agreement)
    if refusal is not None and drawn and given.region is not None:
        notes.append(
            ("anatomy_unchecked", f"{refusal.message} Gone on with your masks and region.")
        )
        refusal = None
    elif refusal is None:
        notes += _sides(organs, radiograph, found, drawn, segmenter=segmenter)
    facts = {
        "segmenter": found.name,
        "sha256": found.sha256,
        "licence": found.licence,
        "from_user": drawn,
        "region_from_user": given.region is not None,
        "measures": measured,
    }
    scene = Scene(radiograph, organs, found.organs, given.region, tuple(notes))
    return Found(scene, facts, refusal)


def _judged(
    organs: Organs, radiograph: Radiograph, agreement: float | None
) -> tuple[UnsupportedImage | None, dict[str, float]]:
    """Why the organs are no upright frontal chest, if so, and what was measured."""
    try:
        measured = check(organs, agreement=agreement)
        upright.check_upright(organs, radiograph.pixels, radiograph.valid)
    except UnsupportedImage as refusal:
        complete = all(mask.any() for mask in organs.as_dict().values())
        return refusal, measures(organs) if complete else {}
    return None, measured


def _sides(
    organs: Organs, radiograph: Radiograph, found: Segmentation, drawn: list[str], *, segmenter: Any
) -> list[tuple[str, str]]:
    """Warnings about left and right."""
    if upright.lungs_swapped(organs):
        return [upright.SIDES]
    along = upright.heart_along(organs)
    if along < upright.MIDLINE:
        return [upright.MIRRORED]
    if along >= upright.DOUBTFUL or drawn:
        return []
    image = radiograph.pixels, radiograph.valid
    mirrored = segmenter.agreement_mirrored(*image, aspect=radiograph.aspect)
    return [upright.MIRRORED] if mirrored > found.agreement else []
