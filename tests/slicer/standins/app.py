# SPDX-License-Identifier: Apache-2.0
"""Stands for the Slicer application behind ``SlicerApp``, around a scene of slicer-core.

Compared: what each method returns, and which nodes a layout's views have.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
import vtk
from CXRCounterfactualLib.scene.app_services import SliceView

from tests.slicer.helpers.database import Database
from tests.slicer.helpers.scene import load_image, names, slice_pair

VIEWS = ("Red", "Yellow", "Green")


class StandInApp:
    """Stands for ``SlicerApp``: same methods, same signatures; a test compares them."""

    def __init__(self, scene: Any, folder: Path) -> None:
        self._scene, self._folder = scene, folder
        self._settings: dict[str, str] = {}
        self._layout = int(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self._layout_changed: list[Callable[[], None]] = []
        self._views = [self._view(name) for name in VIEWS]
        self.database = Database(scene, folder)
        self.edited: list[tuple[str, str]] = []  # what segment_editor was opened on

    def importDicom(self, folder: str) -> bool:
        return self.database.take(folder)

    def loadSeries(self, uids: list[str]) -> list[str]:
        before = set(names(self._scene))
        for uid in uids:
            self.database.load(uid)
        return [identifier for identifier in names(self._scene) if identifier not in before]

    def load_file(self, path: str, name: str) -> str:
        return str(load_image(self._scene, [path], name).GetID())

    def files_for_instance(self, uid: str) -> list[str]:
        return self.database.files(uid)

    def instance_uids(self, node: Any) -> list[str]:
        return (node.GetAttribute("DICOM.instanceUIDs") or "").split()

    def set_layout(self, layout: int) -> None:
        self._layout = layout
        for callback in self._layout_changed:
            callback()

    def current_layout(self) -> int:
        return self._layout

    def on_layout_changed(self, callback: Callable[[], None]) -> None:
        self._layout_changed.append(callback)

    def slice_views(self) -> list[SliceView]:
        return list(self._views)

    def slice_viewer_layers(
        self, background: Any = None, foreground: Any = None, opacity: float | None = None
    ) -> None:
        for view in self._views:
            if background is not None:
                view.composite.SetBackgroundVolumeID(background)
            if foreground is not None:
                view.composite.SetForegroundVolumeID(foreground)
            if opacity is not None:
                view.composite.SetForegroundOpacity(opacity)

    def segment_editor(self, segmentation: Any, source: Any) -> None:
        self.edited.append((segmentation.GetID(), source.GetID()))

    def settings(self, key: str, default: str = "") -> str:
        return self._settings.get(key, default)

    def set_setting(self, key: str, value: str) -> None:
        self._settings[key] = value

    def temp_folder(self) -> str:
        number = sum(1 for _ in self._folder.glob("temporary-*"))
        made = self._folder / f"temporary-{number}"
        made.mkdir()
        return str(made)

    def startup_environment(self) -> dict[str, str]:
        return dict(os.environ)

    def slicer_python(self) -> str:
        return sys.executable

    def home(self) -> str:
        return str(self._folder / "home")

    def later(self, callback: Callable[[], None]) -> None:
        import qt

        qt.QTimer.singleShot(0, callback)

    def scene(self) -> Any:
        return self._scene

    def _view(self, name: str) -> SliceView:
        composite, node = slice_pair(self._scene, name)
        return SliceView(name, composite, node, vtk.vtkRenderer(), lambda: None, lambda: None)
