# SPDX-License-Identifier: Apache-2.0
"""Scene, slice views and the two layouts of the page, drawn by Slicer's own libraries.

trame-slicer renders each view on this computer and sends the picture to the browser.
"""

from typing import Any

from CXRCounterfactualLib.scene.app_services import SliceView
from CXRCounterfactualLib.scene.layout import LEFT, RIGHT

from .linking import Link

ONE, PAIR = "one view", "side by side"


class Views:
    """The MRML scene and what shows it.

    Args:
        server: the trame server.
    """

    def __init__(self, server: Any) -> None:
        from slicer import vtkMRMLLayoutNode
        from trame_slicer.core import LayoutManager, SlicerApp
        from trame_slicer.rca_view import register_rca_factories
        from trame_slicer.views import Layout, LayoutDirection, ViewLayoutDefinition
        from vtkmodules.vtkCommonCore import vtkObject

        # VTK's warnings name files, and there is nobody to read them.
        vtkObject.GlobalWarningDisplayOff()
        self._core = SlicerApp()
        self.scene = self._core.scene
        self._sides = vtkMRMLLayoutNode.SlicerLayoutSideBySideView
        self.layout = int(vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        manager = self._core.view_manager
        register_rca_factories(manager, server, slice_view_ui_f=_caption)
        self.manager = LayoutManager(self.scene, manager, server)
        left, right = (
            ViewLayoutDefinition.slice_view("Axial", label=name) for name in (LEFT, RIGHT)
        )
        across = LayoutDirection.Horizontal
        self.manager.register_layout_dict(
            {ONE: Layout(across, [left]), PAIR: Layout(across, [left, right])}
        )
        self.manager.set_layout(ONE)
        self._link = Link(*(view.get_view_node() for view in manager.get_slice_views()))
        for view in manager.get_slice_views():
            view.set_background_color([0, 0, 0])
            view.interactor().AddObserver("WindowResizeEvent", _refit(view))

    def set_layout(self, layout: int) -> None:
        """Switch the layout; a number of vtkMRMLLayoutNode, side by side or one view."""
        self.layout = layout
        self._link.on = layout == self._sides
        self.manager.set_layout(PAIR if layout == self._sides else ONE)

    def slice_views(self) -> list[SliceView]:
        """All slice views, shown or not."""
        return [self._face(view) for view in self._core.view_manager.get_slice_views()]

    def show(self, volume_id: str) -> None:
        """One volume alone in every view."""
        for view in self._core.view_manager.get_slice_views():
            view.set_background_volume_id(volume_id or None)
            view.set_foreground_volume_id(None)
            view.set_orientation("Axial")
            view.fit_view_to_content()
            view.schedule_render()

    def _face(self, view: Any) -> SliceView:
        from slicer import vtkMRMLSliceLogic

        node = view.get_view_node()
        return SliceView(
            name=str(view.get_singleton_tag()),
            composite=vtkMRMLSliceLogic.GetSliceCompositeNode(node),
            node=node,
            renderer=view.first_renderer(),
            render=view.schedule_render,
            fit=view.fit_view_to_content,
        )


def _refit(view: Any) -> Any:
    """Another size of a view shows the whole radiograph again."""
    return lambda *_: view.fit_view_to_content()


def _caption(server: Any, view_id: str, view: Any) -> None:
    """The words below a view: which image it shows."""
    from trame.widgets import html

    html.Div(
        "{{ caption_%s }}" % view.get_singleton_tag(),  # noqa: UP031 - braces are the page's
        classes="caption",
        v_if=(f"caption_{view.get_singleton_tag()}",),
    )
