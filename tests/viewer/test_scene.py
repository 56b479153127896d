# SPDX-License-Identifier: Apache-2.0
"""The application around the scene: the same face as Slicer's, real views, real DICOM files."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from CXRCounterfactualLib.presenter.surface import Surface
from CXRCounterfactualLib.refused import Refused
from CXRCounterfactualLib.scene import pictures
from CXRCounterfactualLib.scene.app_services import SlicerApp

from monai_cxr_cf.viewer.application import ViewerApp
from monai_cxr_cf.viewer.linking import Link
from monai_cxr_cf.viewer.radiographs import read_volume
from monai_cxr_cf.viewer.session import ViewerSession
from tests.posix import posix

OURS = {"open_radiograph", "close"}


def public(kind: type) -> dict[str, inspect.Signature]:
    """Public methods by name."""
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: inspect.signature(each) for name, each in found if name[0] != "_"}


@pytest.fixture(scope="module")
def scene() -> Any:
    """A scene of slicer-core as trame-slicer makes it."""
    from trame_slicer.core import SlicerApp as Core

    core = Core()
    yield core.scene
    core.scene.Clear(1)


def test_the_application_has_the_face_of_slicers() -> None:
    theirs = public(SlicerApp)
    for name, signature in public(ViewerApp).items():
        if name not in OURS:
            assert signature == theirs[name], name


def test_the_page_has_every_method_of_a_surface_with_its_parameters() -> None:
    ours, asked = public(ViewerSession), public(Surface)
    assert len(asked) == 8
    for name, signature in asked.items():
        assert list(ours[name].parameters) == list(signature.parameters), name


def test_a_dicom_file_is_a_volume_with_its_window_and_instance(scene: Any, root: Path) -> None:
    import pydicom

    path = root / "docs" / "example.dcm"
    ds, node = pydicom.dcmread(path), read_volume(scene, path, "Radiograph")
    assert np.array_equal(pictures.pixels(node), ds.pixel_array)
    assert node.GetAttribute("DICOM.instanceUIDs") == ds.SOPInstanceUID
    assert node.GetName() == "Radiograph", "nothing of the patient in a name"
    assert pictures.lies_flat(node)
    display = node.GetDisplayNode()
    if ds.get("WindowWidth"):
        assert display.GetWindow() == pytest.approx(float(ds.WindowWidth))


def test_what_is_no_dicom_image_is_refused(scene: Any, root: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.dcm").write_bytes((root / "docs" / "example.dcm").read_bytes()[:20_000])
    (tmp_path / "empty.dcm").touch()
    count = scene.GetNumberOfNodes()
    for path in (root / "README.md", tmp_path / "empty.dcm", tmp_path / "gone.dcm"):
        with pytest.raises(Refused, match="not a DICOM image"):
            read_volume(scene, path, "Radiograph")
    assert scene.GetNumberOfNodes() == count


@posix
def test_a_session_folder_is_private_and_goes_with_the_session() -> None:
    app = ViewerApp(None)  # type: ignore[arg-type]
    folder = Path(app.temp_folder())
    assert folder.parent.stat().st_mode & 0o077 == 0
    app.close()
    assert not folder.parent.exists()


def test_linked_views_show_the_same_place(scene: Any) -> None:
    import slicer

    nodes = []
    for name in ("One", "Two"):
        node = slicer.vtkMRMLSliceNode()
        node.SetLayoutName(name)
        node.SetSingletonTag(name)
        scene.AddNode(node)
        nodes.append(node)
    first, second = nodes
    first.SetDimensions(500, 400, 1)
    second.SetDimensions(250, 400, 1)
    link = Link(first, second)
    link.on = True
    first.SetFieldOfView(100.0, 80.0, 1.0)
    first.SetXYZOrigin(12.0, -7.0, 0.0)
    assert second.GetXYZOrigin() == (12.0, -7.0, 0.0)
    assert second.GetFieldOfView()[:2] == pytest.approx((50.0, 80.0)), "the same scale"
    second.SetXYZOrigin(0.0, 3.0, 0.0)
    assert first.GetXYZOrigin() == (0.0, 3.0, 0.0)
    link.on = False
    second.SetXYZOrigin(5.0, 5.0, 0.0)
    assert first.GetXYZOrigin() == (0.0, 3.0, 0.0), "a view that is not shown moves nobody"
