# SPDX-License-Identifier: Apache-2.0
"""The base classes of a scripted module; a test puts this file in the place of Slicer's own.

Compared with modules of others: which methods a module may call, and the order in which a widget
is built. ``slicer.mrmlScene`` must be set.
"""

import sys
import unittest
from pathlib import Path
from typing import Any

import qt
import slicer


def _resource(module: str, name: str) -> str:
    return str(Path(str(sys.modules[module].__file__)).parent / "Resources" / name)


class ScriptedLoadableModule:
    """Stands for slicer.ScriptedLoadableModule.ScriptedLoadableModule: describes the module."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent

    def resourcePath(self, name: str) -> str:
        return _resource(type(self).__module__, name)


class ScriptedLoadableModuleWidget:
    """Stands for ScriptedLoadableModuleWidget: with no parent it makes one and calls setup()."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.parent = parent or qt.QWidget()
        if self.parent.layout() is None:
            qt.QVBoxLayout(self.parent)
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()

    def resourcePath(self, name: str) -> str:
        return _resource(type(self).__module__, name)

    def setup(self) -> None:
        """Slicer puts Reload and Test here."""


class ScriptedLoadableModuleLogic:
    """Stands for ScriptedLoadableModuleLogic: one parameter node a module and scene."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self) -> Any:
        found = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if found is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(self.moduleName)
            node.SetAttribute("ModuleName", self.moduleName)
            found = slicer.mrmlScene.AddNode(node)
        return found


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Stands for ScriptedLoadableModuleTest: a unittest case that can say what it does."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*(words or ("runTest",)))

    def delayDisplay(self, message: str, msec: int = 0) -> None:
        """Slicer shows it for a moment."""
