# SPDX-License-Identifier: Apache-2.0
"""Section 3: the region that may change, found from the finding or drawn by the user.

The automatic one is shown before anything runs; a drawn one is written for the run as a mask.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import mask_files, segments
from .params import Parameters
from .refused import Refused
from .widgets import Handler, Widgets, data_of, fill, index_of, on, quiet, say

if TYPE_CHECKING:
    from .app_services import SlicerApp
    from .run import End

AUTOMATIC, OWN = 0, 1  # the items of regionBox
NAME = "My region"
NO_SEGMENT = "Choose the segment that is your region, or let the finding decide."


class RegionPanel:
    """Which region, and a look at it.

    Args:
        widgets: the panel's.
        app: for Segment Editor.
        parameters: the parameter node of the open scene.
        changed: called when another region is chosen.
    """

    def __init__(
        self,
        widgets: Widgets,
        app: "SlicerApp",
        parameters: Callable[[], Parameters],
        changed: Handler,
    ) -> None:
        self._w, self._app, self._parameters, self._changed = widgets, app, parameters, changed
        w = widgets
        on(w.regionBox.currentIndexChanged, self._chosen)
        on(w.segmentationSelector.currentNodeChanged, self._segmentation_chosen)
        on(w.segmentBox.currentIndexChanged, self._chosen)
        on(w.drawButton.clicked, self.draw)
        say(w.regionStatusLabel, "")
        self._refresh()

    @property
    def own(self) -> bool:
        """Whether a drawn region replaces the automatic one."""
        return index_of(self._w.regionBox) == OWN

    @property
    def problems(self) -> list[str]:
        """A sentence if a drawn region is wanted and none is chosen."""
        chosen = self._node() is not None and data_of(self._w.segmentBox)
        return [] if chosen or not self.own else [NO_SEGMENT]

    def restore(self) -> None:
        """Show what the parameter node says."""
        w, parameters = self._w, self._parameters()
        with quiet(w.regionBox, w.segmentationSelector):
            w.regionBox.setCurrentIndex(OWN if parameters.region_id else AUTOMATIC)
            w.segmentationSelector.setCurrentNodeID(parameters.region_id)
        self._list_segments(parameters.segment_id)
        self._refresh()

    def write(self, source: Any, folder: Path) -> Path | None:
        """The drawn region as a file for a run; None for the automatic one.

        Raises:
            Refused: the segment is gone, or does not lie on the radiograph.
        """
        if not self.own:
            return None
        path = folder / "region.png"
        segments.region_to_file(self._node(), data_of(self._w.segmentBox), source, path)
        return path

    def draw(self) -> None:
        """A new segment on the radiograph, open in Segment Editor, and chosen here."""
        scene = self._app.scene()
        source = scene.GetNodeByID(self._parameters().source_id)
        if source is None:
            say(self._w.regionStatusLabel, "Pick a radiograph first.")
            return
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", NAME)
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(source)
        segment = segments.add_empty(node, NAME)
        with quiet(self._w.regionBox, self._w.segmentationSelector):
            self._w.regionBox.setCurrentIndex(OWN)
            self._w.segmentationSelector.setCurrentNodeID(node.GetID())
        self._list_segments(segment)
        self._chosen()
        self._app.segment_editor(node, source)

    def show(self, end: "End", source: Any, folder: Path) -> None:
        """The answer to "which region?": an outline on the radiograph, or why there is none."""
        document = end.document or {}
        files = [f for f in document.get("files", ()) if f.get("role") == "seg"]
        if end.exit_code != 0 or not files:
            say(self._w.regionStatusLabel, _why(end))
            return
        try:
            masks = mask_files.masks_of_seg(folder / Path(str(files[0]["path"])).name)
            segments.show_region(self._app.scene(), source, masks["edit_region"])
        except (Refused, KeyError) as refused:
            message = refused.message if isinstance(refused, Refused) else "It has no pixels."
            say(self._w.regionStatusLabel, message)
            return
        area = int(masks["edit_region"].sum())
        say(self._w.regionStatusLabel, f"Outlined: {area} pixels may change, and a soft rim.")

    def tell(self, words: str) -> None:
        """A sentence below the buttons."""
        say(self._w.regionStatusLabel, words)

    def _node(self) -> Any:
        identifier = str(self._w.segmentationSelector.property("currentNodeID") or "")
        return self._app.scene().GetNodeByID(identifier) if identifier else None

    def _segmentation_chosen(self) -> None:
        self._list_segments("")
        self._chosen()

    def _list_segments(self, chosen: str) -> None:
        node, items = self._node(), []
        if node is not None:
            segmentation = node.GetSegmentation()
            for index in range(segmentation.GetNumberOfSegments()):
                identifier = segmentation.GetNthSegmentID(index)
                items.append((segmentation.GetSegment(identifier).GetName(), identifier))
        fill(self._w.segmentBox, items, chosen=chosen)

    def _chosen(self) -> None:
        parameters, node = self._parameters(), self._node()
        used = self.own and node is not None
        parameters.region_id = node.GetID() if used else ""
        parameters.segment_id = data_of(self._w.segmentBox) if used else ""
        self._refresh()
        self._changed()

    def _refresh(self) -> None:
        self._w.ownRegion.setVisible(self.own)
        self._w.showRegionButton.setVisible(not self.own)


def _why(end: "End") -> str:
    """Why there is no region, in the runner's own words if it said any."""
    if end.exit_code is None:
        return "The runner could not be started. Check it in the section on where it runs."
    told = (end.document or {}).get("error")
    if isinstance(told, dict):
        return f"{told.get('message', '')} {told.get('hint', '')}".strip()
    return f"The region was not found (exit code {end.exit_code}). Check the runner."
