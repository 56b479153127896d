# SPDX-License-Identifier: Apache-2.0
"""Slice views drawn by Slicer's own pipeline and segment outlines, without a display."""

import os
from typing import Any

import slicer
import vtk
from CXRCounterfactualLib.scene.app_services import SliceView
from vtk.util.numpy_support import vtk_to_numpy

from tests.slicer.helpers.scene import application_logic

os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")


def photograph(scene: Any, view: SliceView, side: int = 240) -> Any:
    """What a view shows: ``side`` x ``side`` x 3, 0..255, first row on top."""
    logic, application = slicer.vtkMRMLSliceLogic(), application_logic(scene)
    logic.SetMRMLApplicationLogic(application)
    logic.SetMRMLScene(scene)
    logic.SetSliceNode(view.node)
    logic.SetSliceCompositeNode(view.composite)
    view.node.SetDimensions(side, side, 1)
    logic.FitSliceToAll(side, side)
    view.node.UpdateMatrices()
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetSize(side, side)
    window.AddRenderer(view.renderer)
    interactor = vtk.vtkRenderWindowInteractor()
    window.SetInteractor(interactor)
    shown = _image(logic)
    view.renderer.AddActor2D(shown)
    painters = _outlines(view, application)
    window.Render()
    found = _pixels(window)
    view.renderer.RemoveActor2D(shown)
    window.Finalize()
    del painters, interactor
    return found


def _image(logic: Any) -> Any:
    """The blended layers as a picture behind everything else."""
    logic.UpdatePipeline()
    mapper = vtk.vtkImageMapper()
    mapper.SetInputConnection(logic.GetImageDataConnection())
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    actor = vtk.vtkActor2D()
    actor.SetMapper(mapper)
    actor.SetLayerNumber(0)
    actor.GetProperty().SetDisplayLocationToBackground()
    return actor


def _outlines(view: SliceView, application: Any) -> Any:
    """Slicer's own painter of segment outlines, on this view."""
    painter, group = (
        slicer.vtkMRMLSegmentationsDisplayableManager2D(),
        slicer.vtkMRMLDisplayableManagerGroup(),
    )
    painter.SetMRMLApplicationLogic(application)
    group.SetRenderer(view.renderer)
    group.AddDisplayableManager(painter)
    group.SetMRMLDisplayableNode(view.node)
    return group, painter


def _pixels(window: Any) -> Any:
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    columns, rows, _ = image.GetDimensions()
    array = vtk_to_numpy(image.GetPointData().GetScalars())
    return array.reshape(rows, columns, -1)[::-1, :, :3].copy()
