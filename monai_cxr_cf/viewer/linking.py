# SPDX-License-Identifier: Apache-2.0
"""Two slice views that show the same place at the same zoom, whichever of them is moved.

Slicer's own link (``LinkedControl``) passes the zoom on, but not the point that it is about.
"""

from typing import Any


class Link:
    """Follows the moves of two slice nodes while it is ``on``.

    Args:
        nodes: two ``vtkMRMLSliceNode``.
    """

    def __init__(self, *nodes: Any) -> None:
        self.on = False  # a view that is not shown has a size of its own
        self._moving = False
        self._last: dict[str, tuple[float, ...]] = {}
        for node, other in (nodes, nodes[::-1]):
            node.AddObserver("ModifiedEvent", lambda *_, a=node, b=other: self._follow(a, b))

    def _follow(self, moved: Any, other: Any) -> None:
        place = (*moved.GetXYZOrigin(), *moved.GetFieldOfView())
        if not self.on or self._moving or self._last.get(moved.GetID()) == place:
            return  # not a move: another image, another colour
        self._last[moved.GetID()] = place
        self._moving = True
        try:
            field, mine, theirs = place[3:], moved.GetDimensions(), other.GetDimensions()
            if mine[0] > 1 and theirs[0] > 1:
                # The same millimetres a pixel, were one view a little wider than the other.
                scaled = [f * b / a for f, a, b in zip(field[:2], mine, theirs, strict=False)]
                other.SetXYZOrigin(*place[:3])
                other.SetFieldOfView(*scaled, field[2])
                other.UpdateMatrices()
                self._last[other.GetID()] = (*other.GetXYZOrigin(), *other.GetFieldOfView())
        finally:
            self._moving = False
