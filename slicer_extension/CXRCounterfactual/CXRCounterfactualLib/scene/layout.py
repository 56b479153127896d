# SPDX-License-Identifier: Apache-2.0
"""The compare view and the mark SYNTHETIC on it; the earlier layout returns when it is left.

Side by side: the source left, right the counterfactual over the source, so that one opacity fades
between them. The views are linked and show the radiograph's plane.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .history import SYNTHETIC

if TYPE_CHECKING:
    from .app_services import SlicerApp, SliceView

LEFT, RIGHT = "Red", "Yellow"
MARK = "SYNTHETIC\nresearch only"
_LAYERS = ("BackgroundVolumeID", "ForegroundVolumeID")


@dataclass(frozen=True)
class Before:
    """How a view was before the comparison."""

    layers: tuple[str | None, ...]
    opacity: float
    linked: tuple[int, int]
    plane: Any  # vtkMatrix4x4, slice to RAS
    field: tuple[float, ...]


class Compare:
    """Shows a source and one counterfactual; every call may be made in any order."""

    def __init__(self, app: "SlicerApp") -> None:
        self._app = app
        self._layout: int | None = None
        self._before: dict[str, Before] = {}
        self._faded = RIGHT
        self._pair = ("", "")

    def show(self, source_id: str, cf_id: str) -> None:
        """Source and counterfactual side by side."""
        from slicer import vtkMRMLLayoutNode

        self._open(vtkMRMLLayoutNode.SlicerLayoutSideBySideView, source_id, cf_id, RIGHT)
        for name, opacity in ((LEFT, 0.0), (RIGHT, 1.0)):
            self._lay(name, opacity)

    def one_up(self, source_id: str, cf_id: str) -> None:
        """Both in one large view, half faded; ``fade`` goes from the one to the other."""
        from slicer import vtkMRMLLayoutNode

        self._open(vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView, source_id, cf_id, LEFT)
        self._lay(LEFT, 0.5)

    def fade(self, opacity: float) -> None:
        """0 shows the source, 1 what lies over it."""
        for view in self._views(self._faded):
            view.composite.SetForegroundOpacity(min(max(opacity, 0.0), 1.0))

    def flicker(self, on: bool) -> None:
        """One beat: the counterfactual (True) or the source (False)."""
        self.fade(1.0 if on else 0.0)

    def change_map(self, change_id: str) -> None:
        """Lay the change map over the source; an empty id brings the counterfactual back."""
        for view in self._views(self._faded):
            view.composite.SetForegroundVolumeID(change_id or self._pair[1] or None)
        self.fade(1.0)

    def outline(self, segmentation_id: str, on: bool) -> None:
        """Show or hide the outlines of a run's masks."""
        node = self._app.scene().GetNodeByID(segmentation_id) if segmentation_id else None
        if node is not None and node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetVisibility(on)

    def leave(self) -> None:
        """Put layout, layers, planes and links back as they were."""
        if self._layout is None:
            return
        self._app.set_layout(self._layout)
        for view in self._app.slice_views():
            if view.name in self._before:
                self._put_back(view, self._before[view.name])
        self._layout, self._before = None, {}

    def _open(self, layout: int, source_id: str, cf_id: str, faded: str) -> None:
        if self._layout is None:
            self._layout = self._app.current_layout()
        self._pair, self._faded = (source_id, cf_id), faded
        # Views of a layout may exist only once it is shown: what they were is read after that.
        self._app.set_layout(layout)
        for view in self._views(LEFT, RIGHT):
            self._before.setdefault(view.name, _remember(view))

    def _views(self, *names: str) -> "list[SliceView]":
        return [view for view in self._app.slice_views() if view.name in names]

    def _lay(self, name: str, opacity: float) -> None:
        source = self._app.scene().GetNodeByID(self._pair[0]) if self._pair[0] else None
        for view in self._views(name):
            composite = view.composite
            composite.SetBackgroundVolumeID(self._pair[0] or None)
            composite.SetForegroundVolumeID(self._pair[1] or None)
            composite.SetForegroundOpacity(opacity)
            composite.SetLinkedControl(1)
            composite.SetHotLinkedControl(1)
            if source is not None:
                # Rotating alone keeps a sagittal view sagittal: a radiograph seen edge on.
                view.node.SetOrientation("Axial")
                view.node.RotateToVolumePlane(source)
            view.fit()

    def _put_back(self, view: "SliceView", before: Before) -> None:
        scene = self._app.scene()
        for layer, identifier in zip(_LAYERS, before.layers, strict=True):
            gone = identifier is None or scene.GetNodeByID(identifier) is None
            getattr(view.composite, f"Set{layer}")(None if gone else identifier)
        view.composite.SetForegroundOpacity(before.opacity)
        view.composite.SetLinkedControl(before.linked[0])
        view.composite.SetHotLinkedControl(before.linked[1])
        view.node.GetSliceToRAS().DeepCopy(before.plane)
        view.node.SetFieldOfView(*before.field)
        view.node.UpdateMatrices()


def _remember(view: "SliceView") -> Before:
    import vtk

    composite, plane = view.composite, vtk.vtkMatrix4x4()
    plane.DeepCopy(view.node.GetSliceToRAS())
    return Before(
        layers=tuple(getattr(composite, f"Get{layer}")() for layer in _LAYERS),
        opacity=composite.GetForegroundOpacity(),
        linked=(composite.GetLinkedControl(), composite.GetHotLinkedControl()),
        plane=plane,
        field=tuple(view.node.GetFieldOfView()),
    )


class Badge:
    """The words SYNTHETIC on every slice view that shows a volume made by the model.

    A text of its own in each view: the application's corner texts are rewritten by others.
    """

    def __init__(self, app: "SlicerApp") -> None:
        self._app = app
        self._running = False
        self._texts: dict[str, tuple[Any, Any]] = {}  # view -> its renderer and our text
        self._observed: list[tuple[Any, int]] = []

    def start(self) -> None:
        """Watch the views from now on."""
        self._running = True
        self.update()

    def update(self) -> None:
        """Look at all views again; to be called when views came or went."""
        if not self._running:
            return
        self._forget()
        for view in self._app.slice_views():
            observer = view.composite.AddObserver("ModifiedEvent", lambda *_, v=view: self._mark(v))
            self._observed.append((view.composite, observer))
            self._mark(view)

    def stop(self) -> None:
        """Take the marks away and watch no more."""
        self._running = False
        self._forget()
        for renderer, text in self._texts.values():
            renderer.RemoveActor2D(text)
        self._texts.clear()

    def _forget(self) -> None:
        for composite, observer in self._observed:
            composite.RemoveObserver(observer)
        self._observed.clear()

    def _mark(self, view: "SliceView") -> None:
        renderer, text = self._texts.get(view.name, (None, None))
        if renderer is not view.renderer:
            text = _text()
            view.renderer.AddActor2D(text)
            self._texts[view.name] = (view.renderer, text)
        text.SetVisibility(shows_synthetic(self._app.scene(), view.composite))
        view.render()


def shows_synthetic(scene: Any, composite: Any) -> bool:
    """True if a view shows anything that the model made, however faint."""
    shown = [composite.GetBackgroundVolumeID()]
    if composite.GetForegroundOpacity() > 0:
        shown.append(composite.GetForegroundVolumeID())
    nodes = (scene.GetNodeByID(identifier) for identifier in shown if identifier)
    return any(node is not None and node.GetAttribute(SYNTHETIC) for node in nodes)


def _text() -> Any:
    import vtk

    text = vtk.vtkTextActor()
    text.SetInput(MARK)
    # Top centre: Slicer writes volume and patient into the corners.
    text.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
    text.GetPositionCoordinate().SetValue(0.5, 0.99)
    look = text.GetTextProperty()
    look.SetJustificationToCentered()
    look.SetVerticalJustificationToTop()
    look.SetFontSize(16)
    look.SetBold(True)
    look.SetColor(1.0, 0.75, 0.2)
    look.SetShadow(True)
    return text
