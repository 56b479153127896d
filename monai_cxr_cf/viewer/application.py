# SPDX-License-Identifier: Apache-2.0
"""What the extension asks of the Slicer application, answered by a web application around MRML.

The same methods as ``CXRCounterfactualLib.scene.app_services.SlicerApp`` as far as they are used
here (a test compares the signatures). There is no DICOM database: files lie in a folder of the
session that goes with it.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CXRCounterfactualLib.refused import Refused
from CXRCounterfactualLib.scene.app_services import SliceView

from .radiographs import read_volume

if TYPE_CHECKING:
    from .views import Views


class ViewerApp:
    """The application as the shared code needs it.

    Args:
        views: scene, layout and slice views.
    """

    def __init__(self, views: "Views") -> None:
        self._views = views
        self._folder = Path(tempfile.mkdtemp(prefix="cxr-cf-viewer-"))  # 0700
        self._settings: dict[str, str] = {}
        self._files: dict[str, str] = {}

    # Files

    def open_radiograph(self, path: Path) -> Any:
        """Load a DICOM file, keep where it lies; its node.

        Raises:
            Refused: no DICOM image.
        """
        node = read_volume(self.scene(), path, "Radiograph")
        for uid in self.instance_uids(node):
            self._files[uid] = str(path)
        return node

    def load_file(self, path: str, name: str) -> str:
        """Load one image file as a volume without showing it; the node's id."""
        try:
            return str(read_volume(self.scene(), Path(path), name).GetID())
        except Refused as refused:
            raise RuntimeError(refused.message) from refused

    def files_for_instance(self, uid: str) -> list[str]:
        """Where an instance was opened from; empty if it, or its file, is not there."""
        path = self._files.get(uid, "")
        return [path] if path and os.path.isfile(path) else []

    def instance_uids(self, node: Any) -> list[str]:
        """The DICOM instances that a volume node was loaded from."""
        return (node.GetAttribute("DICOM.instanceUIDs") or "").split()

    def temp_folder(self) -> str:
        """A new empty folder; the caller removes it."""
        return tempfile.mkdtemp(dir=self._folder)

    def close(self) -> None:
        """Remove everything the session wrote."""
        shutil.rmtree(self._folder, ignore_errors=True)

    # Settings live as long as the session

    def settings(self, key: str, default: str = "") -> str:
        """A text kept in this session."""
        return self._settings.get(key, default)

    def set_setting(self, key: str, value: str) -> None:
        """Keep a text in this session."""
        self._settings[key] = value

    # Views

    def set_layout(self, layout: int) -> None:
        """Switch the layout; a number of vtkMRMLLayoutNode."""
        self._views.set_layout(layout)

    def current_layout(self) -> int:
        """The layout now shown."""
        return self._views.layout

    def slice_views(self) -> list[SliceView]:
        """All slice views, shown or not."""
        return self._views.slice_views()

    def scene(self) -> Any:
        """The application's scene."""
        return self._views.scene

    def later(self, callback: Callable[[], None]) -> None:
        """Call back as soon as the event loop is free."""
        asyncio.get_running_loop().call_soon(callback)
