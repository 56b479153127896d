# SPDX-License-Identifier: Apache-2.0
"""What a user draws in Slicer or elsewhere comes back bit for bit and by name, or is refused."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image

from monai_cxr_cf.anatomy.user_masks import canonical_name, read_masks
from monai_cxr_cf.errors import BadRequest, UnreadableInput


@pytest.fixture
def labels() -> NDArray[np.uint8]:
    """A 30 x 40 label image: right lung, left lung, heart, region."""
    array = np.zeros((30, 40), np.uint8)
    array[5:25, 4:14], array[5:25, 24:36], array[14:24, 15:23], array[20:25, 30:36] = 1, 2, 3, 4
    return array


@pytest.mark.parametrize("name", ["m.nrrd", "m.nii.gz", "m.nii", "m.png"])
@pytest.mark.parametrize("slices", [False, True])
def test_label_image_round_trips(tmp_path: Path, labels, name: str, slices: bool) -> None:
    path = tmp_path / name
    array = labels[None] if slices and not name.endswith("png") else labels
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    masks = read_masks(path, labels.shape)
    assert list(masks) == ["right_lung", "left_lung", "heart", "roi"]
    assert all(np.array_equal(mask, labels == k) for k, mask in enumerate(masks.values(), 1))


def slicer_segmentation(path: Path, array: NDArray[np.uint8], header: dict[str, str]) -> None:
    """A .seg.nrrd as Slicer writes it: one slice, names in the header."""
    image = sitk.GetImageFromArray(array[None], isVector=array.ndim == 3)
    for key, value in header.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path))


def test_slicer_segments_are_found_by_name(tmp_path: Path, labels) -> None:
    path = tmp_path / "drawn.seg.nrrd"
    header = {"Segment0_Name": "Heart", "Segment0_LabelValue": "3",
              "Segment1_Name": "Left lung", "Segment1_LabelValue": "2",
              "Segment2_Name": "my notes", "Segment2_LabelValue": "1"}  # fmt: skip
    slicer_segmentation(path, labels, header)
    masks = read_masks(path, labels.shape)
    assert set(masks) == {"heart", "left_lung"}
    assert np.array_equal(masks["heart"], labels == 3)


def test_overlapping_slicer_segments_lie_in_layers(tmp_path: Path, labels) -> None:
    path = tmp_path / "layers.seg.nrrd"
    array = np.stack([(labels == 2), (labels == 4)], -1).astype(np.uint8)
    header = {
        "Segment0_Name": "left_lung",
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "0",
        "Segment1_Name": "ROI",
        "Segment1_LabelValue": "1",
        "Segment1_Layer": "1",
    }
    slicer_segmentation(path, array, header)
    masks = read_masks(path, labels.shape)
    assert np.array_equal(masks["roi"], labels == 4)
    assert np.array_equal(masks["left_lung"], labels == 2)


def test_cropped_slicer_segmentation_is_put_back(tmp_path: Path, labels) -> None:
    path = tmp_path / "cropped.seg.nrrd"
    header = {"Segment0_Name": "heart", "Segment0_LabelValue": "3",
              "Segmentation_ReferenceImageExtentOffset": "15 14 0"}  # fmt: skip
    slicer_segmentation(path, labels[14:24, 15:23].copy(), header)
    assert np.array_equal(read_masks(path, labels.shape)["heart"], labels == 3)


def test_folder_of_files_named_after_organs(tmp_path: Path, labels) -> None:
    for name, value in (("heart", 3), ("Left_Lung", 2)):
        Image.fromarray(((labels == value) * 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "notes.txt").write_text("x")
    masks = read_masks(tmp_path, labels.shape)
    assert set(masks) == {"heart", "left_lung"}
    assert np.array_equal(masks["left_lung"], labels == 2)


@pytest.mark.parametrize(
    ("text", "name"),
    [("Right Lung", "right_lung"), ("lung-left", "left_lung"), ("HEART ", "heart"),
     ("Edit region", "roi"), ("liver", None)],
)  # fmt: skip
def test_names_are_forgiving(text: str, name: str | None) -> None:
    assert canonical_name(text) == name


def test_other_shapes_values_and_files_are_refused(tmp_path: Path, labels) -> None:
    path = tmp_path / "m.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(path))
    with pytest.raises(BadRequest, match="30 x 40, the image 60 x 40"):
        read_masks(path, (60, 40))
    sitk.WriteImage(sitk.GetImageFromArray(labels * 50), str(path))
    with pytest.raises(BadRequest, match="label values"):
        read_masks(path)
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([labels, labels])), str(path))
    with pytest.raises(BadRequest, match="2 slices"):
        read_masks(path)
    with pytest.raises(UnreadableInput, match="no mask file"):
        read_masks(tmp_path / "absent.nrrd")
    path.write_bytes(b"not an image")
    with pytest.raises(UnreadableInput, match="cannot be read"):
        read_masks(path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadRequest, match="known name"):
        read_masks(empty)


def test_two_files_of_one_organ_are_refused(tmp_path: Path, labels) -> None:
    for name in ("heart.png", "cardiac.bmp"):
        Image.fromarray((labels == 3).astype(np.uint8)).save(tmp_path / name)
    with pytest.raises(BadRequest, match="Two mask files mean heart"):
        read_masks(tmp_path)
