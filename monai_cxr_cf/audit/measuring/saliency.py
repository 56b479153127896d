# SPDX-License-Identifier: Apache-2.0
"""Saliency maps of the user against the pixels that truly changed the score.

A map is an H x W picture of one radiograph, brighter = more important: NPY, NRRD, NIfTI, PNG or
DICOM SEG, named like the radiograph. Its null is the map of another patient.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_cxr_cf.audit.adapters.classifier import Classifier
from monai_cxr_cf.audit.measuring.parts import SEEN
from monai_cxr_cf.audit.measuring.trial import Trial
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.seg_read import read_segmentation
from monai_cxr_cf.errors import CxrError, UnreadableInput

Array = NDArray[np.float32]
ENDINGS = (".npy", ".nrrd", ".nii", ".nii.gz", ".png", ".dcm")
SHARES = (0.02, 0.05, 0.1, 0.2, 0.4)  # of the pixels, the most important first, are transplanted


def find_map(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The map of a radiograph by its id or its file's stem; None if there is none."""
    places = (folder / f"{name}{ending}" for name in names for ending in ENDINGS)
    return next((place for place in places if place.is_file()), None)


def read_map(path: Path, radiograph: Radiograph) -> Array:
    """A map on the radiograph's pixels, 0 or more; another size is stretched to it.

    Raises:
        UnreadableInput: no map of one H x W layer of finite numbers.
    """
    try:
        if path.suffix == ".dcm":
            masks = list(read_segmentation(path, radiograph).values())
            return np.asarray(np.any(masks, 0), np.float32)
        found = np.squeeze(np.asarray(_layers(path), np.float32))
    except CxrError:
        raise
    except Exception as error:  # of three libraries
        hint = "See docs/audit.md 3."
        raise UnreadableInput("A saliency map cannot be read.", hint=hint) from error
    if found.ndim != 2 or not np.isfinite(found).all():
        raise UnreadableInput(f"A saliency map is {found.shape}; expected H x W, finite.")
    return fitted(radiograph.turn.apply(found), radiograph.shape)


def _layers(path: Path) -> Any:
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if path.suffix == ".png":
        with Image.open(path) as picture:
            return np.asarray(picture.convert("F"))
    import SimpleITK

    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


def fitted(saliency: Array, shape: tuple[int, int]) -> Array:
    """Negative values as 0, and stretched to ``shape``."""
    clipped = np.ascontiguousarray(np.maximum(saliency, 0), np.float32)
    if clipped.shape == shape:
        return clipped
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(clipped).resize(size, Image.Resampling.BILINEAR), np.float32)


def agreement(saliency: Array, change: Array) -> dict[str, float]:
    """How well a map finds the pixels that changed; ``chance`` is the mass of an even map.

    ``pointing``: the brightest pixel lies there (ties: their share). ``mass``: share of the map
    that lies there. ``iou``: overlap of as many of its brightest pixels with them.
    """
    there = np.abs(change) > SEEN
    count, total = int(there.sum()), float(saliency.sum())
    if not count or not total:
        return {"pointing": 0.0, "mass": 0.0, "iou": 0.0, "chance": count / there.size}
    top = _brightest(saliency, count)
    return {
        "pointing": float(there[saliency == saliency.max()].mean()),
        "mass": float(saliency[there].sum()) / total,
        "iou": float((top & there).sum() / (top | there).sum()),
        "chance": count / there.size,
    }


def _brightest(saliency: Array, count: int) -> NDArray[np.bool_]:
    order = np.argsort(-saliency, axis=None, kind="stable")
    found = np.zeros(saliency.size, bool)
    found[order[:count]] = True
    return found.reshape(saliency.shape)


def transplanted(classifier: Classifier, trial: Trial, saliency: Array, label: int) -> float:
    """The mean share of an edit's effect that its pixels carry, the map's brightest first."""
    source, change = trial.picture.pixels, trial.change
    parts = [_brightest(saliency, round(share * change.size)) for share in SHARES]
    images = [source, source + change, *(source + change * part for part in parts)]
    first, last, *scores = classifier.scores(images)[:, label]
    whole = last - first
    return float(np.mean((np.array(scores) - first) / whole)) if abs(whole) > 1e-6 else 0.0


def measure_maps(
    classifier: Classifier, trial: Trial, own: Array, other: Array, label: int
) -> dict[str, Any]:
    """The map of this patient and that of another one against one edit."""
    found = {}
    for name, saliency in (("own", own), ("other", other)):
        told = agreement(saliency, trial.change)
        told["transplant"] = transplanted(classifier, trial, saliency, label)
        found[name] = {key: round(value, 6) for key, value in told.items()}
    return found
