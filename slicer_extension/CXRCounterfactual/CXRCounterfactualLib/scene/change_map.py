# SPDX-License-Identifier: Apache-2.0
"""The signed change as a volume: counterfactual minus source, in a diverging table around zero.

Computed from the two loaded volumes, so that it shows what is on the screen: positive (red) is
brighter, that is denser, negative (blue) darker, and what did not change is transparent.
"""

from typing import Any

from .pictures import pixels, put_pixels

TABLE = "CXRCF change"
HALF = 127  # entries on either side of the one for zero
RED = ((1.0, 0.76, 0.70), (0.72, 0.04, 0.06))  # denser: pale, full
BLUE = ((0.70, 0.82, 1.0), (0.05, 0.18, 0.70))  # darker


def colours(scene: Any) -> Any:
    """The diverging colour table of the scene; made once and saved with it."""
    found = scene.GetFirstNodeByName(TABLE)
    if found is not None and found.IsA("vtkMRMLColorTableNode"):
        return found
    from slicer import vtkMRMLColorTableNode

    table = vtkMRMLColorTableNode()
    table.SetTypeToUser()
    table.SetName(TABLE)
    table.SetNumberOfColors(2 * HALF + 1)
    for index in range(2 * HALF + 1):
        table.SetColor(index, f"{(index - HALF) / HALF:+.2f}", *entry((index - HALF) / HALF))
    table.SetHideFromEditors(True)
    return scene.AddNode(table)


def entry(t: float) -> tuple[float, float, float, float]:
    """Red, green, blue and opacity at t in -1..1: clear at zero, deeper in hue to the ends.

    Slicer's views know clear and opaque, nothing between: how much changed is told by the hue.
    It starts pale, not white, or small changes would look like dense lung.
    """
    pale, full = RED if t > 0 else BLUE
    share = abs(t) ** 0.7
    red, green, blue = (a + (b - a) * share for a, b in zip(pale, full, strict=True))
    return red, green, blue, float(t != 0)


def add_change(scene: Any, source: Any, counterfactual: Any, name: str) -> Any:
    """A new volume node with the change of ``counterfactual`` against ``source``."""
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    volume.CopyOrientation(source)
    show_change(volume, source, counterfactual)
    return volume


def show_change(volume: Any, source: Any, counterfactual: Any) -> None:
    """Fill a change volume anew, for another member of the same run.

    The window is symmetric, so that zero stays in the middle of the table; values are float32,
    in which every difference of 16-bit values is exact.
    """
    import numpy as np

    change = np.subtract(pixels(counterfactual), pixels(source), dtype=np.float32)
    put_pixels(volume, change)
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.SetAndObserveColorNodeID(colours(volume.GetScene()).GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(2 * max(float(np.abs(change).max(initial=0.0)), 1.0), 0.0)
    display.SetInterpolate(False)
