# SPDX-License-Identifier: Apache-2.0
"""Section 3: the region that may change, found from the finding or drawn by the user.

The automatic one is outlined before a run (``looker``); a drawn one is written for it as a mask.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contract.params import Parameters
from ..scene import segments
from .widgets import Handler, Widgets, data_of, fill, index_of, is_on, on, quiet, say

if TYPE_CHECKING:
    from ..scene.app_services import SlicerApp

AUTOMATIC, OWN = 0, 1  # the items of regionBox
NAME = "My region"
BY_ITSELF = "show-region"  # the setting that keeps whether the region is shown by itself
NO_SEGMENT = "Choose the segment that is your region, or let the finding decide."


class RegionPanel:
    """Which region, and whether it is shown by itself.

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
        w.showRegionCheck.setChecked(app.settings(BY_ITSELF, "1") == "1")
        on(w.showRegionCheck.toggled, self._switched)
        say(w.regionStatusLabel, "")
        self._refresh()

    @property
    def own(self) -> bool:
        """Whether a drawn region replaces the automatic one."""
        return index_of(self._w.regionBox) == OWN

    @property
    def by_itself(self) -> bool:
        """Whether the region is to be shown without being asked for."""
        return is_on(self._w.showRegionCheck)

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

    def tell(self, words: str) -> None:
        """A sentence below the buttons; "" for none."""
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

    def _switched(self) -> None:
        self._app.set_setting(BY_ITSELF, "1" if self.by_itself else "0")
        self._changed()

    def _refresh(self) -> None:
        self._w.ownRegion.setVisible(self.own)
        for widget in (self._w.showRegionCheck, self._w.showRegionButton):
            widget.setVisible(not self.own)
