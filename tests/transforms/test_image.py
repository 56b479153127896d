# SPDX-License-Identifier: Apache-2.0
"""LoadCXRDicomd, SquarePadResized, RestoreMaskd: one picture whatever is installed, and back."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import Compose

from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.errors import BadRequest, UnsupportedImage
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.transforms import LoadCXRDicomd, RestoreMaskd, SquarePadResized
from tests.dicom.factory import KINDS, Spec, save

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
import hashlib, sys
if sys.argv[2] == "without":
    sys.modules["itk"] = None
from monai.data.image_reader import has_itk
from monai_cxr_cf.transforms.image import LoadCXRDicomd
image = LoadCXRDicomd("image")({"image": sys.argv[1]})["image"]
digest = hashlib.sha256(image.numpy().tobytes() + image.affine.numpy().tobytes()).hexdigest()
print(has_itk, tuple(image.shape), digest)
"""
STUB = 'def __getattr__(name):\n    raise RuntimeError("itk was used: " + name)\n'


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_file_gives_the_strict_readers_picture(kind: str, tmp_path: Path) -> None:
    path = save(tmp_path / "x.dcm", KINDS[kind])
    item = LoadCXRDicomd("image")({"image": str(path)})
    expected = read_source(path)
    image = item["image"]
    # Rows stay rows, MONOCHROME1 is inverted once, VOI is applied: what MONAI's readers differ in.
    assert np.array_equal(image.numpy()[0], expected.pixels)
    assert np.array_equal(item["image_valid"].numpy()[0], expected.valid)
    assert isinstance(item["image_radiograph"], Radiograph)
    assert item["image_radiograph"].header is not None
    row, column = expected.spacing.display or (1.0, 1.0)
    expected_affine = torch.diag(torch.tensor([row, column, 1, 1], dtype=torch.float64))
    assert torch.equal(image.affine, expected_affine)
    assert bool(image.meta["spacing_known"]) == (expected.spacing.display is not None)


def test_the_same_file_reads_alike_with_and_without_itk(tmp_path: Path) -> None:
    path = save(tmp_path / "x.dcm", KINDS["dx-mono1-14"])
    (tmp_path / "itk").mkdir()
    (tmp_path / "itk" / "__init__.py").write_text(STUB)  # installed, and must not be asked
    said = {}
    for way in ("with", "without"):
        places = [str(ROOT), str(tmp_path)] if way == "with" else [str(ROOT)]
        done = subprocess.run(
            [sys.executable, "-c", PROBE, str(path), way],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        said[way] = done.stdout.split(maxsplit=1)
    assert (said["with"][0], said["without"][0]) == ("True", "False")
    assert said["with"][1] == said["without"][1]


def test_a_refusal_of_the_reader_is_a_refusal_of_the_transform(tmp_path: Path) -> None:
    path = save(tmp_path / "x.dcm", Spec().with_(BodyPartExamined="FOOT"))
    with pytest.raises(UnsupportedImage):
        LoadCXRDicomd("image")({"image": str(path)})
    allowed = LoadCXRDicomd("image", reading={"allow_body_part": True})
    assert allowed({"image": str(path)})["image"].shape[0] == 1


def test_radiograph_and_request_pass_through_a_dataloader(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{i}.dcm", Spec(seed=i)) for i in range(2)]
    request = EditRequest(source="x", prompt="edema")
    items = [{"image": str(path), "request": request, "output": f"out{i}"}
             for i, path in enumerate(paths)]  # fmt: skip
    chain = Compose([LoadCXRDicomd("image"), SquarePadResized("image", side=64)])
    (batch,) = DataLoader(Dataset(items, chain), batch_size=2, num_workers=0)
    assert batch["image"].shape == (2, 1, 64, 64)
    for i, item in enumerate(decollate_batch(batch)):
        found = item["image_radiograph"]
        assert found.source_sop_uid == read_source(paths[i]).source_sop_uid
        assert item["request"] == request
        assert item["output"] == f"out{i}"
        assert [int(n) for n in item["image"].meta["native_shape"]] == [120, 96]


@pytest.mark.parametrize("kind", ["dx-mono2-12", "dx-mono2-16", "cr-mono2-12-padded"])
def test_the_square_is_the_pipelines_own(kind: str, tmp_path: Path) -> None:
    path = save(tmp_path / "x.dcm", KINDS[kind])
    item = Compose([LoadCXRDicomd("image"), SquarePadResized("image")])({"image": str(path)})
    source = read_source(path)
    grid = ModelGrid(source.shape, 256)
    assert np.array_equal(item["image"].numpy()[0], grid.to_model(source.pixels * source.valid))
    assert np.array_equal(item["image_valid"].numpy()[0], grid.mask_to_model(source.valid))
    assert item["image_valid"].max() <= 1


def test_the_affine_of_the_square_puts_corners_where_they_were(tmp_path: Path) -> None:
    path = save(tmp_path / "x.dcm", Spec())
    loaded = LoadCXRDicomd("image")({"image": str(path)})
    square = SquarePadResized("image", side=60)(loaded)["image"]  # 120 x 96 -> 60 x 48, left pad 6
    first = square.affine @ torch.tensor([-0.5, 5.5, 0, 1]).double()
    last = square.affine @ torch.tensor([59.5, 53.5, 0, 1]).double()
    native = loaded["image"].affine
    assert torch.allclose(first, native @ torch.tensor([-0.5, -0.5, 0, 1]).double())
    assert torch.allclose(last, native @ torch.tensor([119.5, 95.5, 0, 1]).double())


@pytest.mark.parametrize("shape", [(120, 96), (96, 128), (300, 301)])
def test_masks_return_by_nearest_pixel_and_hold_no_new_value(shape: tuple[int, int]) -> None:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    labels = ((rows > shape[0] // 3).astype(np.uint8) * 2) + (columns > shape[1] // 2)
    item = SquarePadResized("image", side=256)({"image": torch.zeros(1, *shape)})
    grid = ModelGrid(shape, 256)
    square = np.stack([grid.mask_to_model(labels == value) > 0.5 for value in range(4)])
    item["pred"] = torch.from_numpy(square.argmax(0)[None].astype(np.float32))
    back = RestoreMaskd("pred")(item)["pred"]
    assert isinstance(back, MetaTensor)
    assert tuple(back.shape) == (1, *shape)
    assert set(np.unique(back.numpy())) <= {0, 1, 2, 3}  # bilinear would give dozens of values
    assert (back.numpy()[0] == labels).mean() > 0.97


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="SquarePadResized"):
        RestoreMaskd("pred")({"image": torch.zeros(1, 8, 8), "pred": torch.zeros(1, 8, 8)})
    with pytest.raises(BadRequest, match="rows, columns"):
        SquarePadResized("image")({"image": torch.zeros(3, 8, 8)})
    square = SquarePadResized("image", side=64)({"image": torch.zeros(1, 80, 80)})
    with pytest.raises(BadRequest, match="expected"):
        RestoreMaskd("pred")({**square, "pred": torch.zeros(1, 32, 32)})
