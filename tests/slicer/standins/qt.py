# SPDX-License-Identifier: Apache-2.0
"""Stands for PythonQt's module ``qt``: the classes of Qt by name, here PySide6's.

Compared (docs/slicer.md 4): ``w.signal.connect(f)``, ``w.setX()`` and ``w.property("x")`` mean
the same in both. What PySide6 has beyond Qt (Signal, Slot, Property) is not offered.
"""

import ctypes
import sys
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from tests.slicer.standins import widgets

for _module in (QtCore, QtGui, QtWidgets):
    globals().update({name: getattr(_module, name) for name in dir(_module) if name[0] == "Q"})

# PySide6 6.12 takes None for immortal, as it is from Python 3.12 on: every call that returns
# nothing takes one reference away, and some ten thousand calls later Python 3.11 aborts.
if sys.version_info < (3, 12):
    ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40

_kept: list[Any] = []  # a loader that is collected takes its widgets' classes with it


class QUiLoader(QtUiTools.QUiLoader):
    """Stands for the loader of Slicer, which knows the widgets of CTK and qMRML as plugins."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        for widget in widgets.ALL:
            self.registerCustomWidget(widget)
        _kept.append(self)
