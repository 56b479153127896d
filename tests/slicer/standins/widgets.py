# SPDX-License-Identifier: Apache-2.0
"""The four widgets of CTK and qMRML that the panel's .ui uses, for real Qt without Slicer.

Compared with Slicer's documentation and with panels of others: property and signal names, and
what a selector does when nodes come and go. Looks are our own.
"""

from typing import Any

from PySide6.QtCore import Property, QPoint, QPointF, QRect, Qt, Signal
from PySide6.QtGui import QFont, QPainter, QPalette, QPolygonF
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

HEADER = 30  # pixels, the title bar of a section
NODE_ADDED, NODE_REMOVED, END_CLOSE = 66000, 66001, 66005  # vtkMRMLScene's event numbers


class qMRMLWidget(QWidget):
    """Stands for qMRMLWidget: a container that knows the scene."""

    mrmlSceneChanged = Signal(object)

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return getattr(self, "_scene", None)


class ctkCollapsibleButton(QWidget):
    """Stands for ctkCollapsibleButton: a titled section that folds; clips what it hides."""

    contentsCollapsed = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text, self._collapsed = "", False
        self.setContentsMargins(0, HEADER, 0, 0)

    def _get_text(self) -> str:
        return self._text

    def setText(self, text: str) -> None:
        self._text = text
        self.update()

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def setCollapsed(self, collapsed: bool) -> None:
        changed = collapsed != self._collapsed
        self._collapsed = collapsed
        self.setMaximumHeight(HEADER if collapsed else 16777215)
        if changed:
            self.contentsCollapsed.emit(collapsed)
        self.update()

    text = Property(str, _get_text, setText)
    collapsed = Property(bool, _get_collapsed, setCollapsed)

    def mousePressEvent(self, event: Any) -> None:
        if event.position().y() < HEADER:
            self.setCollapsed(not self._collapsed)

    def paintEvent(self, event: Any) -> None:
        painter, colours = QPainter(self), self.palette()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        bar = QRect(0, 2, self.width(), HEADER - 6)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colours.color(QPalette.ColorRole.Midlight))
        painter.drawRoundedRect(bar, 4, 4)
        group = QPalette.ColorGroup.Active if self.isEnabled() else QPalette.ColorGroup.Disabled
        ink = colours.color(group, QPalette.ColorRole.WindowText)
        painter.setBrush(ink)
        x, y = 12.0, bar.center().y() + 0.5
        points = ((x - 3, y - 4), (x + 3, y), (x - 3, y + 4))
        if not self._collapsed:
            points = ((x - 4, y - 3), (x + 4, y - 3), (x, y + 3))
        painter.drawPolygon(QPolygonF([QPointF(*point) for point in points]))
        font = QFont(self.font())
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(ink)
        painter.drawText(bar.translated(QPoint(24, 0)), Qt.AlignmentFlag.AlignVCenter, self._text)


class ctkSliderWidget(QWidget):
    """Stands for ctkSliderWidget: a slider with a number box; value, range, steps, decimals."""

    valueChanged = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider, self._box = QSlider(Qt.Orientation.Horizontal), QDoubleSpinBox()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider, 1)
        row.addWidget(self._box)
        self._box.setRange(0.0, 99.0)
        self._box.valueChanged.connect(self._moved)
        self._slider.valueChanged.connect(self._dragged)

    def _moved(self, value: float) -> None:
        self._slider.blockSignals(True)
        self._slider.setRange(0, round(self._span() / self._step()))
        self._slider.setValue(round((value - self._box.minimum()) / self._step()))
        self._slider.blockSignals(False)
        self.valueChanged.emit(value)

    def _dragged(self, steps: int) -> None:
        self._box.setValue(self._box.minimum() + steps * self._step())

    def _span(self) -> float:
        return self._box.maximum() - self._box.minimum()

    def _step(self) -> float:
        return self._box.singleStep() or 1.0

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    def setMinimum(self, value: float) -> None:
        self._box.setMinimum(value)

    def setMaximum(self, value: float) -> None:
        self._box.setMaximum(value)
        self._slider.setRange(0, round(self._span() / self._step()))

    def setSingleStep(self, value: float) -> None:
        self._box.setSingleStep(value)

    def setDecimals(self, count: int) -> None:
        self._box.setDecimals(count)

    value = Property(float, lambda self: self._box.value(), setValue)
    minimum = Property(float, lambda self: self._box.minimum(), setMinimum)
    maximum = Property(float, lambda self: self._box.maximum(), setMaximum)
    singleStep = Property(float, lambda self: self._box.singleStep(), setSingleStep)
    pageStep = Property(float, lambda self: 0.0, lambda self, value: None)
    decimals = Property(int, lambda self: self._box.decimals(), setDecimals)


class qMRMLNodeComboBox(QWidget):
    """Stands for qMRMLNodeComboBox: the nodes of a class in the scene, kept up to date."""

    currentNodeChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._types: list[str] = []
        self._scene: Any = None
        self._tags: list[int] = []
        self._box = QComboBox()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        self._box.currentIndexChanged.connect(self._picked)
        self._fill()

    def setMRMLScene(self, scene: Any) -> None:
        self.detach()
        self._scene = scene
        if scene is not None:
            for event in (NODE_ADDED, NODE_REMOVED, END_CLOSE):
                self._tags.append(scene.AddObserver(event, self._fill))
        self._fill()

    def detach(self) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._tags = []

    def _fill(self, *_: Any) -> None:
        before = self._box.currentData()
        self._box.blockSignals(True)
        self._box.clear()
        self._box.addItem("None", "")
        for name in self._types if self._scene is not None else ():
            for i in range(self._scene.GetNumberOfNodesByClass(name)):
                node = self._scene.GetNthNodeByClass(i, name)
                if node.IsA(name) and not node.GetHideFromEditors():
                    self._box.addItem(node.GetName(), node.GetID())
        self._box.setCurrentIndex(max(self._box.findData(before), 0))
        self._box.blockSignals(False)
        if before and not self._box.currentData():
            self._picked()

    def _picked(self, *_: Any) -> None:
        self.currentNodeChanged.emit(self.currentNode())

    def currentNode(self) -> Any:
        name = self._box.currentData()
        return self._scene.GetNodeByID(name) if name and self._scene is not None else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, name: str) -> None:
        self._fill()
        self._box.setCurrentIndex(max(self._box.findData(name or ""), 0))

    def _set_types(self, names: list[str]) -> None:
        self._types = list(names)
        self._fill()

    nodeTypes = Property("QStringList", lambda self: self._types, _set_types)
    currentNodeID = Property(str, lambda self: self._box.currentData() or "", setCurrentNodeID)
    showChildNodeTypes = Property(bool, lambda self: False, lambda self, on: None)
    addEnabled = Property(bool, lambda self: False, lambda self, on: None)
    removeEnabled = Property(bool, lambda self: False, lambda self, on: None)
    renameEnabled = Property(bool, lambda self: False, lambda self, on: None)
    noneEnabled = Property(bool, lambda self: True, lambda self, on: None)


ALL = (qMRMLWidget, ctkCollapsibleButton, ctkSliderWidget, qMRMLNodeComboBox)
