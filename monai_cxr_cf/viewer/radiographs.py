# SPDX-License-Identifier: Apache-2.0
"""One DICOM file in, a volume node out, as Slicer's own scalar volume reader makes it."""

import math
from pathlib import Path
from typing import Any

from CXRCounterfactualLib.refused import Refused

NO_DICOM = (
    "This file is not a DICOM image.",
    "Open a DX, CR or single-frame Secondary Capture of a chest, frontal view.",
)
TAGS = ("SOPInstanceUID", "Rows", "WindowCenter", "WindowWidth")


def read_volume(scene: Any, path: Path, name: str) -> Any:
    """A volume node of the scene with the window of the file and its instance UID.

    Args:
        scene: where the node is added.
        path: a DICOM file with one image.
        name: of the node; nothing of the patient.

    Raises:
        Refused: not such a file.
    """
    import pydicom
    from trame_slicer.core import VolumesReader

    try:
        ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS))
        uid = str(ds.SOPInstanceUID)
        node = VolumesReader.load_single_dcm_volume(scene, [str(path)])
    except (pydicom.errors.InvalidDicomError, AttributeError, OSError, RuntimeError) as error:
        raise Refused(*NO_DICOM) from error
    if node is None or node.GetImageData() is None:
        raise Refused(*NO_DICOM)
    node.SetName(name)
    node.SetAttribute("DICOM.instanceUIDs", uid)
    _show_window(node, ds)
    return node


def _show_window(node: Any, ds: Any) -> None:
    """The first window of the file; without one Slicer's own choice stays."""
    level, width = (_first(ds.get(name)) for name in ("WindowCenter", "WindowWidth"))
    display = node.GetDisplayNode()
    if display is not None and math.isfinite(level) and width >= 1:
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(width, level)


def _first(value: Any) -> float:
    """The first of several numbers, or the only one; NaN for none."""
    if value is None or value == "":
        return math.nan
    return float(value) if isinstance(value, (int, float)) else float(value[0])
