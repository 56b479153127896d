# SPDX-License-Identifier: Apache-2.0
"""OHIF's own SEG loader opens what we write, beside every kind of source, with the same masks."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from monai_cxr_cf.dicom import codes
from monai_cxr_cf.dicom.writing.plan import plan_output
from monai_cxr_cf.dicom.writing.seg import write_segmentation
from monai_cxr_cf.dicom.writing.write import write_counterfactuals
from tests.dicom.factory import Spec, phantom, save
from tests.dicom.written import ALL_KINDS, RASTER, RECORD, Case, case_of, plan_of
from tests.ohif.environment import PATIENCE, read_with_ohif

pytestmark = pytest.mark.timeout(2 * PATIENCE)
Pair = tuple[Case, Path, Path]  # a case, the image that its SEG lies on, and the SEG


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """A SEG beside every kind of source; that of a raster lies on its counterfactual."""
    made = {}
    for kind, spec in ALL_KINDS.items():
        folder = tmp_path_factory.mktemp("pair")
        case = case_of(save(folder / "source.dcm", spec))
        seg = write_segmentation(plan_of(case), case.masks, folder)
        made[kind] = (case, folder / "source.dcm", seg.path)
    folder = tmp_path_factory.mktemp("raster")
    picture = np.rint(phantom(120, 96) * 255).astype(np.uint8)
    Image.fromarray(picture).save(folder / "chest.png")
    case = case_of(folder / "chest.png", options=RASTER)
    plan = plan_of(case)
    shown = write_counterfactuals(plan, folder)[0]
    made["raster"] = (case, shown.path, write_segmentation(plan, case.masks, folder).path)
    return made


@pytest.fixture(scope="module")
def found(pairs: dict[str, Pair]) -> dict[str, dict[str, Any]]:
    """What OHIF's loader makes of each, in one process."""
    words = [str(path) for _, *files in pairs.values() for path in files]
    lines = read_with_ohif(*words).splitlines()
    return dict(zip(pairs, map(json.loads, lines), strict=True))


def masks_in(read: dict[str, Any], shape: tuple[int, int]) -> dict[str, npt.NDArray[np.bool_]]:
    """Label -> HxW bool of OHIF's label maps; segments that overlap come in several."""
    layers = [np.frombuffer(base64.b64decode(one), np.uint8) for one in read["layers"]]
    return {
        label: np.any([layer == int(number) for layer in layers], axis=0).reshape(shape)
        for number, label in read["labels"].items()
    }


@pytest.mark.parametrize("kind", [*ALL_KINDS, "raster"])
def test_ohif_finds_every_segment_with_its_pixels(
    kind: str, pairs: dict[str, Pair], found: dict[str, dict[str, Any]]
) -> None:
    case = pairs[kind][0]
    seen = masks_in(found[kind], case.radiograph.shape)
    ours = {codes.SEGMENTS[name].label: mask for name, mask in case.masks.items()}
    assert {name: int(mask.sum()) for name, mask in seen.items()} == {
        name: int(mask.sum()) for name, mask in ours.items()
    }
    for name, mask in ours.items():
        np.testing.assert_array_equal(seen[name], mask, err_msg=name)


def test_a_region_within_a_lung_costs_the_lung_nothing(found: dict[str, dict[str, Any]]) -> None:
    read = found["dx-mono2-12"]
    assert read["overlapping"] is True
    assert len(read["layers"]) == 2, "organs in one label map, region and band in another"


def test_beside_a_source_with_a_plane_of_its_own_the_refusal_is_plain(tmp_path: Path) -> None:
    upright = Spec().with_(
        ImageOrientationPatient=[1, 0, 0, 0, 0, -1], ImagePositionPatient=[0, 0, 0]
    )
    case = case_of(save(tmp_path / "source.dcm", upright))
    seg = write_segmentation(plan_of(case), case.masks, tmp_path)
    with pytest.raises(AssertionError, match="orthogonal to the acquisition plane"):
        read_with_ohif(str(tmp_path / "source.dcm"), str(seg.path))


def test_masks_that_touch_nowhere_come_as_one_label_map(tmp_path: Path) -> None:
    case = case_of(save(tmp_path / "source.dcm", ALL_KINDS["cr-mono1-10"]))
    organs = {name: case.masks[name] for name in ("right_lung", "left_lung", "heart")}
    plan = plan_output(case.radiograph, (), record=RECORD)
    seg = write_segmentation(plan, organs, tmp_path)
    read = json.loads(read_with_ohif(str(tmp_path / "source.dcm"), str(seg.path)))
    assert (read["overlapping"], len(read["layers"])) == (False, 1)
    values = np.frombuffer(base64.b64decode(read["layers"][0]), np.uint8)
    counts = np.bincount(values, minlength=4)[1:].tolist()
    assert counts == [int(mask.sum()) for mask in organs.values()]
