# SPDX-License-Identifier: Apache-2.0
"""Mask files in, segments out, drawn segments back to the runner; hostile files refused."""

import io
import pickle
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from CXRCounterfactualLib.refused import Refused
from CXRCounterfactualLib.scene import mask_files, results, segments

from tests.slicer.environment import Runner
from tests.slicer.helpers.runs import Case
from tests.slicer.helpers.scene import Desk, names, segment_arrays

READ = """
import sys
import numpy as np
from pathlib import Path
from monai_cxr_cf.anatomy.user_masks import read_region
np.save(sys.argv[2], read_region(Path(sys.argv[1]), (120, 96)))
"""


class Trap:
    """Unpickled, it would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def archive(path: Path, **members: bytes) -> Path:
    """A zip of raw members, as an .npz is one."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)
    return path


def npy(array: Any, *, allow_pickle: bool = False) -> bytes:
    """An array as the bytes of an .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def drawn(desk: Desk, source: Any, mask: Any) -> tuple[Any, str]:
    """A segment as the user's Segment Editor would leave it."""
    node = segments.add_masks(desk.scene, source, {"edit_region": mask}, "Segmentation")
    return node, node.GetSegmentation().GetNthSegmentID(0)


def wedge() -> Any:
    """A mask without any symmetry."""
    y, x = np.mgrid[0:120, 0:96]
    return (y > 20) & (x > 10) & (y + 2 * x < 110)


def test_arrays_and_seg_hold_the_same_masks(runs: dict[str, Case]) -> None:
    for case in runs.values():
        arrays = mask_files.masks_of_npz(case.out / "masks.npz")
        seg = mask_files.masks_of_seg(case.out / "seg.dcm")
        assert set(seg) <= set(arrays)
        assert {"edit_region", "edit_band", "right_lung", "left_lung", "heart"} <= set(seg)
        assert all(np.array_equal(arrays[name], mask) for name, mask in seg.items())


def test_a_pickle_in_the_archive_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "was run"
    trapped = np.empty((1, 1), object)
    trapped[0, 0] = Trap(mark)
    for content in (npy(trapped, allow_pickle=True), pickle.dumps(Trap(mark))):
        with pytest.raises(Refused, match="cannot be read"):
            mask_files.masks_of_npz(archive(tmp_path / "masks.npz", heart=content))
    assert not mark.exists()


def test_a_mask_that_unpacks_to_more_than_a_radiograph_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mask_files, "LARGEST", 10_000)
    bomb = archive(tmp_path / "masks.npz", heart=npy(np.zeros((1000, 1000), bool)))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(Refused):
        mask_files.masks_of_npz(bomb)


@pytest.mark.parametrize("content", [b"", b"PK\3\4 not really", npy(np.zeros((2, 3, 4), bool))])
def test_rubbish_instead_of_masks_is_refused_in_a_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "masks.npz"
    path.write_bytes(content)
    if content[:6] == b"\x93NUMPY":
        archive(path, heart=content)
    for read in (mask_files.masks_of_npz, mask_files.masks_of_seg):
        with pytest.raises(Refused) as refused:
            read(path)
        assert refused.value.hint


def test_a_mask_of_another_picture_is_refused(desk: Desk, runs: dict[str, Case]) -> None:
    source = desk.load(runs["plain"].source)
    with pytest.raises(Refused, match="5 x 7"):
        segments.add_masks(desk.scene, source, {"heart": np.ones((5, 7), bool)}, "wrong")


def test_a_drawn_region_reaches_the_runner_pixel_by_pixel(
    desk: Desk, runs: dict[str, Case], runner: Runner, root: Path
) -> None:
    source = desk.load(runs["plain"].source)
    node, identifier = drawn(desk, source, wedge())
    before = names(desk.scene)
    path = segments.region_to_file(node, identifier, source, desk.folder / "region.png")
    assert names(desk.scene) == before, "nothing temporary stays in the scene"
    words = [runner.python, "-c", READ, path, str(desk.folder / "read.npy")]
    subprocess.run(words, check=True, cwd=root, env=runner.environment())
    assert np.array_equal(np.load(desk.folder / "read.npy"), wedge())


def test_a_region_drawn_on_a_finer_grid_is_put_on_the_radiographs(
    desk: Desk, runs: dict[str, Case]
) -> None:
    import slicer
    import vtk

    source = desk.load(runs["plain"].source)
    sx, sy, _ = source.GetSpacing()
    fine = slicer.vtkOrientedImageData()
    fine.SetExtent(40, 79, 60, 119, 0, 0)
    fine.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    fine.GetPointData().GetScalars().Fill(1)
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 0, -sx / 2)
    matrix.SetElement(1, 1, -sy / 2)
    fine.SetImageToWorldMatrix(matrix)
    node = desk.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    node.CreateDefaultDisplayNodes()
    identifier = node.AddSegmentFromBinaryLabelmapRepresentation(fine, "blob")
    mask = segments.mask_of(node, identifier, source)
    rows, columns = np.nonzero(mask)
    assert mask.shape == (120, 96)
    assert (rows.min(), columns.min()) == (30, 20)
    assert abs(int(rows.max()) - 59) <= 1
    assert abs(int(columns.max()) - 39) <= 1


def test_segments_that_share_a_picture_are_told_apart(desk: Desk, runs: dict[str, Case]) -> None:
    source = desk.load(runs["plain"].source)
    masks = mask_files.masks_of_seg(runs["plain"].out / "seg.dcm")
    kept = {name: masks[name] for name in ("left_lung", "right_lung", "heart")}
    node = segments.add_masks(desk.scene, source, kept, "organs")
    node.GetSegmentation().CollapseBinaryLabelmaps(False)
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    for name, mask in kept.items():
        assert np.array_equal(segments.mask_of(node, name, source), mask), name


def test_a_segmentation_under_another_transform_is_refused(
    desk: Desk, runs: dict[str, Case]
) -> None:
    source = desk.load(runs["plain"].source)
    node, identifier = drawn(desk, source, wedge())
    transform = desk.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    source.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(Refused, match="transforms"):
        segments.mask_of(node, identifier, source)
    node.SetAndObserveTransformNodeID(transform.GetID())
    assert np.array_equal(segments.mask_of(node, identifier, source), wedge())


def test_an_empty_or_removed_segment_is_refused_with_a_next_step(
    desk: Desk, runs: dict[str, Case]
) -> None:
    source = desk.load(runs["plain"].source)
    node, identifier = drawn(desk, source, wedge())
    empty = node.GetSegmentation().AddEmptySegment("empty")
    for wanted in (empty, "gone"):
        with pytest.raises(Refused) as refused:
            segments.region_to_file(node, wanted, source, desk.folder / "region.png")
        assert refused.value.hint
    node.GetSegmentation().RemoveSegment(identifier)
    assert not (desk.folder / "region.png").exists()


def test_the_region_is_outlined_before_a_run_and_one_node_is_reused(
    desk: Desk, runs: dict[str, Case]
) -> None:
    source = desk.load(runs["plain"].source)
    mask = mask_files.masks_of_seg(runs["plain"].out / "seg.dcm")["edit_region"]
    first = segments.show_region(desk.scene, source, mask)
    second = segments.show_region(desk.scene, source, wedge())
    assert first == second
    node = desk.scene.GetNodeByID(first)
    arrays = segment_arrays(node, source)
    assert list(arrays) == ["Edit region"]
    assert np.array_equal(arrays["Edit region"], wedge())
    display = node.GetDisplayNode()
    assert display.GetVisibility2DOutline()
    assert not display.GetVisibility2DFill()
    case = runs["plain"]
    results.add_results(desk.scene, desk.app, source, case.result, case.out)
    assert not display.GetVisibility(), "a run's own masks take its place"
