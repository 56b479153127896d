# SPDX-License-Identifier: Apache-2.0
"""Files of a run -> nodes of the scene, through Slicer's DICOM readers or straight from the file.

Images come before masks: Slicer's SEG reader looks for its grid among what is loaded already.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..refused import Refused
from . import hierarchy, segments
from .mask_files import masks_of_npz, masks_of_seg

if TYPE_CHECKING:
    from ..contract.events import File
    from .app_services import SlicerApp

log = logging.getLogger(__name__)
NO_READER = "Slicer's own reader did not load the masks; they were taken from the runner's arrays."
NOT_IMPORTED = (
    "The DICOM database did not take the result; it is in the scene only. "
    "Save the scene to keep it."
)


@dataclass(frozen=True)
class Place:
    """Where a run is loaded to."""

    scene: Any
    app: "SlicerApp"
    source: Any  # the radiograph's volume node
    in_database: bool  # the files were imported; else they are read where they lie


def verify(files: "Sequence[File]") -> None:
    """Compare the files with the checksums that the runner told.

    Raises:
        Refused: a file is missing or was changed on its way.
    """
    for file in files:
        path = Path(file.path)
        if not path.is_file():
            raise Refused("A file of the result is missing.", "Run again.")
        if file.sha256 and sha256(path.read_bytes()).hexdigest() != file.sha256:
            raise Refused("A file of the result is damaged: its checksum differs.", "Run again.")


def load_images(place: Place, files: "Sequence[File]", names: Sequence[str]) -> Iterator[Any]:
    """Yield one volume node per file, in their order; a series of one by Slicer's DICOM reader.

    Several members are loaded one by one: as a series, Slicer would stack them into one volume
    whose slices are levels or seeds.

    Raises:
        Refused: a file does not load.
    """
    if place.in_database and len(files) == 1:
        volumes = _of_class(place, place.app.loadSeries([files[0].series_uid]), "ScalarVolume")
        if len(volumes) == 1:
            volumes[0].SetName(names[0])
            yield volumes[0]
            return
        for volume in volumes:
            hierarchy.remove(place.scene, volume)
    for file, name in zip(files, names, strict=True):
        yield _load_one(place, file, name)


def _load_one(place: Place, file: "File", name: str) -> Any:
    kept = place.app.files_for_instance(file.sop_uid) if place.in_database else []
    try:
        volume = place.scene.GetNodeByID(place.app.load_file(str((*kept, file.path)[0]), name))
    except RuntimeError as error:
        raise Refused("An image of the result does not load.", "Run again.") from error
    # The job's folder is cleaned later: a saved scene must not point there.
    storage = volume.GetStorageNode()
    if storage is not None:
        place.scene.RemoveNode(storage)
    hierarchy.place_beside(place.scene, volume, place.source)
    hierarchy.name_series(place.scene, volume, file.series_uid)
    if place.in_database:
        volume.SetAttribute("DICOM.instanceUIDs", file.sop_uid)
    return volume


def load_masks(place: Place, files: "Sequence[File]", name: str) -> tuple[Any, tuple[str, ...]]:
    """The segmentation node of a run and what to tell about it; never none without a reason.

    Raises:
        Refused: there is neither a SEG nor an archive of masks that can be read.
    """
    seg = next((file for file in files if file.role == "seg"), None)
    if place.in_database and seg is not None:
        found = _of_class(place, place.app.loadSeries([seg.series_uid]), "Segmentation")
        if len(found) == 1 and found[0].GetSegmentation().GetNumberOfSegments():
            found[0].SetName(name)
            segments.show_outlines(found[0])
            return found[0], ()
        for node in found:
            hierarchy.remove(place.scene, node)
        log.warning("Slicer's SEG reader gave no masks; the runner's arrays are used.")
    masks = _masks_from_files(files)
    node = segments.add_masks(place.scene, place.source, masks, name)
    if seg is not None:
        hierarchy.name_series(place.scene, node, seg.series_uid)
    return node, (NO_READER,) if place.in_database else ()


def _masks_from_files(files: "Sequence[File]") -> Any:
    """Masks by name, from the arrays if the run wrote them, else from the SEG itself."""
    by_role = {file.role: file.path for file in files}
    if "arrays" in by_role:
        return masks_of_npz(by_role["arrays"])
    if "seg" in by_role:
        return masks_of_seg(by_role["seg"])
    raise Refused("The result holds no masks.", "Run again; if it recurs, copy the report.")


def _of_class(place: Place, identifiers: Sequence[str], kind: str) -> list[Any]:
    """The nodes among those just loaded that are volumes, or segmentations."""
    loaded = (place.scene.GetNodeByID(identifier) for identifier in identifiers)
    return [node for node in loaded if node is not None and node.IsA(f"vtkMRML{kind}Node")]
