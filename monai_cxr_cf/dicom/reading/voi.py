# SPDX-License-Identifier: Apache-2.0
"""Step 5 of the reader, second half: Modality LUT or slope, VOI LUT or window -> ``Display``.

``plan_display`` judges the header before anything is decoded; ``finish_display`` adds the one thing
that needs pixels, the robust window of a file that brings none.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.display import Display, Integers, is_monotone
from monai_cxr_cf.dicom.radiograph import Polarity, Voi
from monai_cxr_cf.dicom.reading.lut import apply_lut
from monai_cxr_cf.dicom.reading.matrix import Matrix
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.values import items, numbers, raw_value, text
from monai_cxr_cf.errors import UnsupportedImage

Table = npt.NDArray[np.float64]
ROBUST = (0.5, 99.5)  # percentiles of our own window
LARGEST = 1e9  # of a slope or a window: far beyond any 16 bits, far below what overflows
OUR_WINDOW = "Pass --ignore-voi to use a window of our own."
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True, eq=False)
class DisplayPlan:
    """All that the header says about display; ``voi`` None means: window still to be found."""

    low: int  # stored value of the first table entry
    modality: Table  # modality value of every representable stored value
    modality_kind: str  # none, rescale or LUT
    slope: float
    intercept: float
    voi: Voi | None
    lut: Table | None = None  # 0..1 over the same entries, if a VOI LUT applies


def plan_display(ds: Dataset, matrix: Matrix, options: ReadOptions) -> DisplayPlan:
    """Modality and VOI steps of a header, checked (PS3.3 C.11.1, C.11.2).

    Raises:
        UnsupportedImage: a slope of 0, a value that is not finite, a window or LUT out of range,
            a display that is not monotone.
    """
    low, high = matrix.limits
    stored = np.arange(low, high + 1, dtype=np.float64)
    kind, slope, intercept = "none", 1.0, 0.0
    modality = stored
    luts = items(ds, "ModalityLUTSequence")
    if luts:  # a Modality LUT excludes slope and intercept
        kind, modality = "LUT", apply_lut(luts[0], stored, name="ModalityLUTSequence")
        _check_monotone(modality, hint="Export the image without a Modality LUT.")
    elif raw_value(ds, "RescaleSlope") is not None or raw_value(ds, "RescaleIntercept") is not None:
        kind, (slope, intercept) = "rescale", _rescale(ds)
        modality = stored * slope + intercept
    plan = DisplayPlan(low, modality, kind, slope, intercept, None)
    return plan if options.ignore_voi else _with_voi(plan, ds)


def finish_display(plan: DisplayPlan, polarity: Polarity, values: Integers) -> tuple[Display, Voi]:
    """The display function and how it came about.

    Args:
        plan: from ``plan_display``.
        polarity: MONOCHROME1 inverts, once, after VOI.
        values: the stored values that are not padding, any shape.
    """
    voi = plan.voi or _robust_window(plan, values)
    shown = plan.lut if plan.lut is not None else window(plan.modality, voi)
    scale = None
    if plan.modality_kind != "LUT" and voi.width is not None:
        span = voi.width - 1.0 if voi.function == "LINEAR" else voi.width
        scale = span / plan.slope if voi.function != "SIGMOID" and span > 0 else None
    if polarity == "MONOCHROME1":
        shown = 1.0 - shown
        scale = None if scale is None else -scale
    return Display(plan.low, shown, scale), voi


def window(x: Table, voi: Voi) -> Table:
    """A window of PS3.3 C.11.2.1.2 and C.11.2.1.3 on modality values, 0..1, clipped.

    LINEAR ``(x - (c - .5)) / (w - 1) + .5``, LINEAR_EXACT ``(x - c) / w + .5``,
    SIGMOID ``1 / (1 + exp(-4 (x - c) / w))``.
    """
    c, w = float(voi.center or 0.0), float(voi.width or 1.0)
    if voi.function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (x - c) / w, -700.0, 700.0)))
    if voi.function == "LINEAR_EXACT":
        return np.clip((x - c) / w + 0.5, 0.0, 1.0)
    if w == 1.0:  # the standard's limit: a threshold
        return (x > c - 0.5).astype(np.float64)
    return np.clip((x - (c - 0.5)) / (w - 1.0) + 0.5, 0.0, 1.0)


def _rescale(ds: Dataset) -> tuple[float, float]:
    slope, intercept = _one(ds, "RescaleSlope", 1.0), _one(ds, "RescaleIntercept", 0.0)
    if slope == 0:
        raise UnsupportedImage(
            "RescaleSlope is 0; expected a finite number other than 0.",
            code="rescale_slope",
            hint="Have the file repaired or exported again.",
        )
    return slope, intercept


def _one(ds: Dataset, keyword: str, default: float) -> float:
    found = numbers(ds, keyword) or (default,)
    if len(found) > 1 or abs(found[0]) > LARGEST:
        why = f"has {len(found)} values" if len(found) > 1 else "is too large"
        raise UnsupportedImage(
            f"{keyword} {why}; expected one number.",
            code="rescale_slope",
            hint="Have the file repaired or exported again.",
        )
    return found[0]


def _with_voi(plan: DisplayPlan, ds: Dataset) -> DisplayPlan:
    """The plan with the file's VOI: a LUT wins over a window, the first of several counts."""
    base = (plan.low, plan.modality, plan.modality_kind, plan.slope, plan.intercept)
    luts = items(ds, "VOILUTSequence")
    if luts:
        voi = _voi(plan, "LUT", f"VOI LUT 1 of {len(luts)}")
        shown = apply_lut(luts[0], plan.modality, name="VOILUTSequence", normalise=True)
        _check_monotone(shown, hint=OUR_WINDOW)
        return DisplayPlan(*base, voi, shown)
    centers = numbers(ds, "WindowCenter", hint=OUR_WINDOW)
    widths = numbers(ds, "WindowWidth", hint=OUR_WINDOW)
    if not centers and not widths:
        return plan
    if len(centers) != len(widths):
        raise UnsupportedImage(
            f"WindowCenter has {len(centers)} values and WindowWidth {len(widths)}; expected as "
            "many of each.",
            code="window",
            hint=OUR_WINDOW,
        )
    if max(map(abs, (*centers, *widths))) > LARGEST:
        raise UnsupportedImage(
            f"WindowCenter or WindowWidth is beyond {LARGEST:g}; expected a window on the pixels.",
            code="window",
            hint=OUR_WINDOW,
        )
    function = _window_function(ds, widths[0])
    voi = _voi(plan, function, f"window 1 of {len(centers)}", (centers[0], widths[0]))
    return DisplayPlan(*base, voi)


def _window_function(ds: Dataset, width: float) -> str:
    function = text(ds, "VOILUTFunction") or "LINEAR"
    if function not in _FUNCTIONS:
        raise UnsupportedImage(
            "VOILUTFunction is unknown; expected LINEAR, LINEAR_EXACT or SIGMOID.",
            code="voi_function",
            hint=OUR_WINDOW,
        )
    too_narrow = width < 1 if function == "LINEAR" else width <= 0
    if too_narrow:
        least = "at least 1" if function == "LINEAR" else "above 0"
        raise UnsupportedImage(
            f"WindowWidth is {width:g}; expected {least} for {function}.",
            code="window",
            hint=OUR_WINDOW,
        )
    return function


def _robust_window(plan: DisplayPlan, values: Integers) -> Voi:
    """Our own window when the file brings none: percentiles of the pixels that are not padding."""
    # Percentiles of the integers, then mapped: the modality step is monotone, and 64 million
    # float64 values would take half a gigabyte.
    origin, ends = f"percentile {ROBUST[0]:g}-{ROBUST[1]:g}", np.percentile(values, ROBUST)
    if ends[0] == ends[1]:
        origin, ends = "full range", np.array([values.min(), values.max()])
    positions = np.arange(len(plan.modality))
    low, high = sorted(float(v) for v in np.interp(ends - plan.low, positions, plan.modality))
    return _voi(plan, "LINEAR_EXACT", origin, ((low + high) / 2.0, high - low))


def _voi(
    plan: DisplayPlan, function: str, origin: str, limits: tuple[float, float] | None = None
) -> Voi:
    center, width = limits or (None, None)
    return Voi(function, origin, center, width, plan.modality_kind, plan.slope, plan.intercept)


def _check_monotone(table: Table, *, hint: str) -> None:
    if not is_monotone(table):
        raise UnsupportedImage(
            "The lookup table is not monotone, so a change of the picture has no one answer in "
            "stored values; expected a table that only rises or only falls.",
            code="lut_not_monotone",
            hint=hint,
        )
