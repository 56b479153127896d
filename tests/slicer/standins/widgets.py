# SPDX-License-Identifier: Apache-2.0
"""The four widgets of CTK and qMRML that the panel's .ui uses, on real Qt.

Compared with Slicer's documentation and with panels of others: names of properties, methods and
signals, and what a selector does when nodes come and go. Looks are our own.
"""

from typing import Any

from PySide6.QtCore import Property, QPointF, QRect, Qt, Signal
from PySide6.QtGui import QFont, QPainter, QPalette, QPolygonF
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

HEADER = 30  # pixels, the title bar of a section
NODE_ADDED, NODE_REMOVED, END_CLOSE = 8193, 8195, 8707  # vtkMRMLScene's event numbers


def ignored(kind: type, value: Any) -> Any:
    """A property that the .ui file sets and nothing here depends on."""
    return Property(kind, lambda self: value, lambda self, new: None)


class qMRMLWidget(QWidget):
    """Stands for qMRMLWidget: a container that knows the scene."""

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    def mrmlScene(self) -> Any:
        return getattr(self, "_scene", None)


class ctkCollapsibleButton(QWidget):
    """Stands for ctkCollapsibleButton: a titled section that folds; clips what it hides."""

    contentsCollapsed = Signal(bool)
    _text, _collapsed = "", False

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setContentsMargins(0, HEADER, 0, 0)

    def setText(self, text: str) -> None:
        self._text = text
        self.update()

    def setCollapsed(self, collapsed: bool) -> None:
        changed, self._collapsed = collapsed != self._collapsed, collapsed
        self.setMaximumHeight(HEADER if collapsed else 16777215)
        if changed:
            self.contentsCollapsed.emit(collapsed)

    text = Property(str, lambda self: self._text, setText)
    collapsed = Property(bool, lambda self: self._collapsed, setCollapsed)

    def mousePressEvent(self, event: Any) -> None:
        if event.position().y() < HEADER:
            self.setCollapsed(not self._collapsed)

    def paintEvent(self, event: Any) -> None:
        painter, bar = QPainter(self), QRect(0, 2, self.width(), HEADER - 6)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self.palette().color(QPalette.ColorRole.Midlight))
        painter.drawRoundedRect(bar, 4, 4)
        painter.setOpacity(1.0 if self.isEnabled() else 0.4)
        ink = self.palette().color(QPalette.ColorGroup.Active, QPalette.ColorRole.WindowText)
        painter.setBrush(ink)
        x, y = 12.0, bar.center().y() + 0.5
        right, down = ((-3, -4), (3, 0), (-3, 4)), ((-4, -3), (4, -3), (0, 3))
        tip = right if self._collapsed else down
        painter.drawPolygon(QPolygonF([QPointF(x + dx, y + dy) for dx, dy in tip]))
        painter.setFont(QFont(self.font().family(), self.font().pointSize(), QFont.Weight.Bold))
        painter.setPen(ink)
        painter.drawText(bar.translated(24, 0), Qt.AlignmentFlag.AlignVCenter, self._text)


class ctkSliderWidget(QWidget):
    """Stands for ctkSliderWidget: a slider with a number box; value, range, step, decimals."""

    valueChanged = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slider, self.box = QSlider(Qt.Orientation.Horizontal), QDoubleSpinBox()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.slider, 1)
        row.addWidget(self.box)
        self.box.valueChanged.connect(self._moved)
        self.slider.sliderMoved.connect(lambda at: self.box.setValue(at / 1000))
        self.setMinimum, self.setMaximum = self.box.setMinimum, self.box.setMaximum
        self.setValue = self.box.setValue

    def _moved(self, value: float) -> None:
        self.slider.setRange(round(1000 * self.box.minimum()), round(1000 * self.box.maximum()))
        self.slider.setValue(round(1000 * value))
        self.valueChanged.emit(value)

    value = Property(float, lambda self: self.box.value(), lambda self, v: self.box.setValue(v))
    minimum = Property(float, lambda s: s.box.minimum(), lambda s, v: s.box.setMinimum(v))
    maximum = Property(float, lambda s: s.box.maximum(), lambda s, v: s.box.setMaximum(v))
    singleStep = Property(float, lambda s: s.box.singleStep(), lambda s, v: s.box.setSingleStep(v))
    decimals = Property(int, lambda s: s.box.decimals(), lambda s, v: s.box.setDecimals(v))
    spinBoxVisible = Property(bool, lambda s: True, lambda s, on: s.box.setVisible(on))
    pageStep = ignored(float, 0.0)


class qMRMLNodeComboBox(QComboBox):
    """Stands for qMRMLNodeComboBox: the nodes of a class in the scene, kept up to date."""

    currentNodeChanged = Signal(object)
    _types: tuple[str, ...] = ()
    _tags: tuple[int, ...] | list[int] = ()
    _scene: Any = None

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.addItem("None", "")
        self.currentIndexChanged.connect(lambda *_: self._tell())

    def setMRMLScene(self, scene: Any) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        events = (NODE_ADDED, NODE_REMOVED, END_CLOSE) if scene is not None else ()
        self._tags = [scene.AddObserver(event, self._fill) for event in events]
        self._scene = scene
        self._fill()

    def _fill(self, *_: Any) -> None:
        before = self.currentData()
        was = self.blockSignals(True)
        self.clear()
        self.addItem("None", "")
        for kind in self._types if self._scene is not None else ():
            for i in range(self._scene.GetNumberOfNodesByClass(kind)):
                node = self._scene.GetNthNodeByClass(i, kind)
                if not node.GetHideFromEditors():
                    self.addItem(node.GetName(), node.GetID())
        self.setCurrentIndex(max(self.findData(before), 0))
        self.blockSignals(was)
        if before and not self.currentData():
            self._tell()

    def _tell(self) -> None:
        self.currentNodeChanged.emit(self.currentNode())

    def currentNode(self) -> Any:
        found = self.currentData()
        return self._scene.GetNodeByID(found) if found and self._scene is not None else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, wanted: str) -> None:
        self._fill()
        self.setCurrentIndex(max(self.findData(wanted or ""), 0))

    def setNodeTypes(self, kinds: list[str]) -> None:
        self._types = tuple(kinds)
        self._fill()

    nodeTypes = Property("QStringList", lambda self: list(self._types), setNodeTypes)
    currentNodeID = Property(str, lambda self: self.currentData() or "", setCurrentNodeID)
    showChildNodeTypes, noneEnabled = ignored(bool, False), ignored(bool, True)
    addEnabled, removeEnabled = ignored(bool, False), ignored(bool, False)
    renameEnabled = ignored(bool, False)


ALL = (qMRMLWidget, ctkCollapsibleButton, ctkSliderWidget, qMRMLNodeComboBox)
