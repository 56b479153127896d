# SPDX-License-Identifier: Apache-2.0
"""Every call into the Slicer application, in one place, so that tests can stand in for it.

All else of the module works on MRML nodes, which are the same inside and outside the application.
"""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer

GROUP = "CXRCounterfactual"  # of the settings, and prefix of temporary folders


@dataclass(frozen=True)
class SliceView:
    """One slice view of the layout: what it shows, and where text can be drawn on it."""

    name: str  # Red, Yellow, ...
    composite: Any  # vtkMRMLSliceCompositeNode: which volumes it shows
    node: Any  # vtkMRMLSliceNode: which plane
    renderer: Any  # vtkRenderer
    render: Callable[[], None]
    fit: Callable[[], None]


class SlicerApp:
    """The application as this module needs it; every method is one or a few calls."""

    def importDicom(self, folder: str) -> bool:
        """Copy a folder's DICOM files into the database; False means that it failed."""
        from DICOMLib import DICOMUtils

        return bool(DICOMUtils.importDicom(folder, copyFiles=True))

    def loadSeries(self, uids: list[str]) -> list[str]:
        """Load series of the database by Slicer's DICOM readers; ids of all nodes made."""
        from DICOMLib import DICOMUtils

        return [str(identifier) for identifier in DICOMUtils.loadSeriesByUID(uids) or ()]

    def load_file(self, path: str, name: str) -> str:
        """Load one image file as a volume without showing it; the node's id."""
        properties = {"name": name, "singleFile": True, "show": False}
        return str(slicer.util.loadVolume(path, properties).GetID())

    def files_for_instance(self, uid: str) -> list[str]:
        """Where the database keeps an instance; empty if it, or its file, is not there."""
        database = getattr(slicer, "dicomDatabase", None)
        if database is None or not database.isOpen:
            return []
        path = database.fileForInstance(uid)
        return [str(path)] if path and os.path.isfile(path) else []

    def instance_uids(self, node: Any) -> list[str]:
        """The DICOM instances that a volume node was loaded from."""
        return (node.GetAttribute("DICOM.instanceUIDs") or "").split()

    def set_layout(self, layout: int) -> None:
        """Switch the layout; a number of vtkMRMLLayoutNode."""
        slicer.app.layoutManager().setLayout(layout)

    def current_layout(self) -> int:
        """The layout now shown."""
        return int(slicer.app.layoutManager().layout)

    def on_layout_changed(self, callback: Callable[[], None]) -> None:
        """Call back whenever views may have come or gone."""
        manager = slicer.app.layoutManager()
        if manager is not None:
            manager.layoutChanged.connect(lambda _layout: callback())

    def slice_views(self) -> list[SliceView]:
        """All slice views made so far, shown or not; none without a main window."""
        manager = slicer.app.layoutManager()
        views = []
        for name in () if manager is None else manager.sliceViewNames():
            widget = manager.sliceWidget(name)
            logic, view = widget.sliceLogic(), widget.sliceView()
            renderer = view.renderWindow().GetRenderers().GetFirstRenderer()
            views.append(
                SliceView(
                    name=str(name),
                    composite=logic.GetSliceCompositeNode(),
                    node=logic.GetSliceNode(),
                    renderer=renderer,
                    render=view.scheduleRender,
                    fit=logic.FitSliceToAll,
                )
            )
        return views

    def slice_viewer_layers(
        self, background: Any = None, foreground: Any = None, opacity: float | None = None
    ) -> None:
        """Show volumes in every slice view; None leaves a layer as it is."""
        keep = "keep-current"
        slicer.util.setSliceViewerLayers(
            background=keep if background is None else background,
            foreground=keep if foreground is None else foreground,
            foregroundOpacity=opacity,
            fit=True,
        )

    def segment_editor(self, segmentation: Any, source: Any) -> None:
        """Open Segment Editor on a segmentation, with the radiograph to draw on."""
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        editor.setSegmentationNode(segmentation)
        editor.setSourceVolumeNode(source)

    def settings(self, key: str, default: str = "") -> str:
        """A text the module keeps between sessions."""
        return str(slicer.util.settingsValue(f"{GROUP}/{key}", default))

    def set_setting(self, key: str, value: str) -> None:
        """Keep a text between sessions."""
        import qt

        qt.QSettings().setValue(f"{GROUP}/{key}", value)

    def temp_folder(self) -> str:
        """A new empty folder; the caller removes it."""
        return str(slicer.util.tempDirectory(key=f"{GROUP}-"))

    def startup_environment(self) -> dict[str, str]:
        """The environment as it was before Slicer's launcher added its own libraries."""
        return dict(slicer.util.startupEnvironment())

    def slicer_python(self) -> str:
        """Slicer's own interpreter, for scripts that need the standard library only."""
        return shutil.which("PythonSlicer") or sys.executable

    def home(self) -> str:
        """Where the module may keep an environment of its own between sessions."""
        settings = os.path.dirname(str(slicer.app.slicerUserSettingsFilePath))
        return os.path.join(settings, GROUP)

    def later(self, callback: Callable[[], None]) -> None:
        """Call back as soon as the event loop is free."""
        import qt

        qt.QTimer.singleShot(0, callback)

    def scene(self) -> Any:
        """The application's scene."""
        return slicer.mrmlScene
