# SPDX-License-Identifier: Apache-2.0
"""The chosen volume in, the file that a run starts from out.

That is the original DICOM file in the database, never a re-export. Without one, a temporary
Secondary Capture is written, and the user is told that patient and study are missing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..refused import Refused
from . import pictures
from .capture import write_capture
from .hierarchy import nodes
from .history import SYNTHETIC

if TYPE_CHECKING:
    from .app_services import SlicerApp

NO_DICOM = (
    "This volume has no DICOM file in the database. The run starts from a temporary copy, "
    "so patient and study data are missing from the result."
)


@dataclass(frozen=True)
class Source:
    """A file that the runner can read."""

    path: str
    in_database: bool
    warning: str = ""  # to be shown before the run


def check(app: "SlicerApp", node: Any) -> None:
    """Refuse what no run can start from; cheap enough for every change of the selection.

    Raises:
        Refused: nothing chosen, several images, colour, or an image of ours.
    """
    if node is None or node.GetImageData() is None:
        raise Refused("No radiograph is chosen.", "Load a DX or CR and pick it here.")
    if node.GetAttribute(SYNTHETIC):
        raise Refused(
            "This volume is itself synthetic.", "Pick the radiograph that it was made from."
        )
    columns, rows, slices = node.GetImageData().GetDimensions()
    instances = len(app.instance_uids(node))
    if slices != 1 or instances > 1:
        raise Refused(
            f"This volume holds {max(slices, instances)} images; expected one radiograph.",
            "Pick a single DX or CR image; in the DICOM module load one instance.",
        )
    if node.GetImageData().GetNumberOfScalarComponents() != 1:
        raise Refused("This volume is in colour.", "Convert it to grey values first.")
    if not rows * columns:
        raise Refused("This volume is empty.", "Load the radiograph again.")


def first(app: "SlicerApp") -> str:
    """Node id of the first volume of the scene that a run can start from; "" if there is none."""
    for node in nodes(app.scene(), "vtkMRMLScalarVolumeNode"):
        try:
            check(app, node)
        except Refused:
            continue
        return str(node.GetID())
    return ""


def find_source(app: "SlicerApp", node: Any, folder: str | Path) -> Source:
    """The file to start from.

    Args:
        app: the calls into the application.
        node: the chosen volume.
        folder: where a temporary file may be written.

    Raises:
        Refused: as ``check``; or a volume without a file whose values no DICOM file can hold.
    """
    check(app, node)
    for uid in app.instance_uids(node):
        files = app.files_for_instance(uid)
        if files:
            return Source(files[0], True)
    if not pictures.lies_flat(node):
        raise Refused(
            "This volume has no DICOM file and does not lie as a radiograph does.",
            "Load the radiograph from DICOM, PNG or TIFF.",
        )
    return Source(write_capture(node, Path(folder) / "source.dcm"), False, NO_DICOM)
