# SPDX-License-Identifier: Apache-2.0
"""A DICOM file in, a MetaTensor out, its padded square, and masks back on the native grid.

MONAI's own readers are not used: which one runs depends on what is installed, and with it the
polarity, the axis order and the spacing of the same file (docs/dicom-conformance.md 3.2).
"""

from collections.abc import Hashable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform
from monai.utils.misc import ensure_tuple_rep
from torch import Tensor

from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.transforms.items import REQUEST, switch


class LoadCXRDicomd(MapTransform):
    """Path of a DICOM file -> picture, through the strict reader of the package.

    Leaves under ``key`` a MetaTensor (1, H, W) float32, 0..1, bright = dense, rows down, columns
    right; under ``key_valid`` (1, H, W) bool, False = padding; under ``key_radiograph`` the
    ``Radiograph`` with stored values, warnings, and ``header``, the pydicom Dataset without pixels.

    The affine holds the row and column spacing that viewers apply, 1 where the file states none,
    and no orientation: a projection has no place in the patient's frame. A picture that its file
    stores mirrored or turned is upright here, and the writers turn it back. ``meta`` holds
    ``filename_or_obj``, ``spatial_shape``, ``original_affine``, ``aspect`` (row over column
    spacing), ``spacing_known`` and ``polarity``; no header values.

    Args:
        keys: keys of the paths; a folder stands for the one image in it.
        reading: limits and permissions for items whose ``request`` brings none; None = strict.
        allow_missing_keys: skip an absent key.

    Raises:
        UnreadableInput, UnsupportedImage, ComponentMissing: as the strict reader does.
    """

    def __init__(
        self,
        keys: KeysCollection,
        reading: Mapping[str, Any] | ReadOptions | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.reading = reading if isinstance(reading, ReadOptions) else _options(reading or {})

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with picture, valid mask and radiograph of each key."""
        item = dict(data)
        request = item.get(REQUEST)
        options = request.reading if isinstance(request, EditRequest) else self.reading
        for key in self.key_iterator(item):
            path = str(item[key])
            radiograph = read_source(path, options)
            item[key] = _picture(radiograph, path)
            item[f"{key}_valid"] = torch.from_numpy(radiograph.valid.copy())[None]
            item[f"{key}_radiograph"] = radiograph
        return item


def _options(given: Mapping[str, Any]) -> ReadOptions:
    """Permissions of a configuration, whose switches may be words."""
    flags = {f.name for f in fields(ReadOptions) if isinstance(f.default, bool)}
    values: dict[str, Any] = {n: switch(n, v) if n in flags else v for n, v in given.items()}
    return ReadOptions(**values)


def _picture(radiograph: Radiograph, path: str) -> MetaTensor:
    row, column = radiograph.spacing.display or (1.0, 1.0)
    affine = torch.diag(torch.tensor([row, column, 1.0, 1.0], dtype=torch.float64))
    meta = {
        "filename_or_obj": path,
        "spatial_shape": np.array(radiograph.shape),
        "original_affine": affine.clone(),
        "aspect": radiograph.aspect,
        "spacing_known": radiograph.spacing.display is not None,
        "polarity": radiograph.polarity,
    }
    return MetaTensor(torch.from_numpy(radiograph.pixels.copy())[None], affine=affine, meta=meta)


class SquarePadResized(MapTransform):
    """Picture (1, H, W) -> (1, side, side): padded with zeros, resized, never stretched.

    ``key_valid``, where there is one, becomes (1, side, side) float32: the share of each pixel
    that the detector recorded, 0 in the pad. ``meta`` gains ``native_shape`` and ``side``, from
    which ``RestoreMaskd`` finds the way back, and the affine follows the pixels.

    Args:
        keys: keys of the pictures.
        side: side of the square in pixels.
        allow_missing_keys: skip an absent key.
    """

    def __init__(
        self, keys: KeysCollection, side: int = 256, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.side = side

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with each picture as a square."""
        item = dict(data)
        for key in self.key_iterator(item):
            picture = _as_meta(item[key])
            grid = _grid(picture, self.side)
            square = grid.to_model(_plane(picture))
            item[key] = _square(square, picture, grid)
            if f"{key}_valid" in item:
                share = grid.mask_to_model(_plane(item[f"{key}_valid"]).astype(bool))
                item[f"{key}_valid"] = _square(share, picture, grid)
        return item


class RestoreMaskd(MapTransform):
    """Masks (C, side, side) -> (C, H, W) on the native grid, nearest pixel centre.

    Labels stay labels and one-hot stays one-hot: bilinear resampling would make values that no
    network gave.

    Args:
        keys: keys of the masks.
        orig_keys: for each, the key of the picture that ``SquarePadResized`` made square.
        allow_missing_keys: skip an absent key.
    """

    def __init__(
        self,
        keys: KeysCollection,
        orig_keys: KeysCollection = "image",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.orig_keys = ensure_tuple_rep(orig_keys, len(self.keys))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with each mask on the native grid."""
        item = dict(data)
        for key, original in self.key_iterator(item, self.orig_keys):
            meta = _as_meta(item[original]).meta
            if "native_shape" not in meta:
                raise BadRequest(
                    f"'{original}' is not on a square of ours.",
                    hint=f"Put SquarePadResized(keys='{original}') before RestoreMaskd.",
                )
            rows, columns = (int(n) for n in meta["native_shape"])
            grid = ModelGrid((rows, columns), int(meta["side"]), float(meta["aspect"]))
            mask = np.asarray(_tensor(item[key]).cpu())
            if mask.shape[-2:] != (grid.side, grid.side):
                raise BadRequest(
                    f"'{key}' is {mask.shape}; expected (C, {grid.side}, {grid.side})."
                )
            native = torch.from_numpy(np.ascontiguousarray(grid.labels_to_native(mask)))
            affine = torch.as_tensor(meta["original_affine"])
            known = {name: meta[name] for name in ("filename_or_obj", "aspect") if name in meta}
            item[key] = MetaTensor(native, affine=affine.clone(), meta=known)
        return item


def _square(values: np.ndarray[Any, Any], picture: MetaTensor, grid: ModelGrid) -> MetaTensor:
    """The square with its affine: pixel (i, j) lies where the native pixel under it lies."""
    (top, left), (rows, columns) = grid.corner, grid.inner
    scale = (grid.shape[0] / rows, grid.shape[1] / columns)
    to_native = torch.diag(torch.tensor([*scale, 1.0, 1.0], dtype=torch.float64))
    for axis, first in enumerate((top, left)):
        to_native[axis, 3] = (0.5 - first) * scale[axis] - 0.5
    meta = {
        **{name: value for name, value in picture.meta.items() if name != "affine"},
        "original_affine": picture.affine.clone(),
        "aspect": grid.aspect,
        "native_shape": np.array(grid.shape),
        "side": grid.side,
        "spatial_shape": np.array([grid.side, grid.side]),
    }
    affine = picture.affine.to(torch.float64) @ to_native
    return MetaTensor(torch.from_numpy(values)[None], affine=affine, meta=meta)


def _grid(picture: MetaTensor, side: int) -> ModelGrid:
    if picture.ndim != 3 or picture.shape[0] != 1:
        raise BadRequest(
            f"The picture is {tuple(picture.shape)}; expected (1, rows, columns).",
            hint="Load it with LoadCXRDicomd, or add a channel.",
        )
    aspect = float(picture.meta.get("aspect", 1.0))
    return ModelGrid((picture.shape[1], picture.shape[2]), side, aspect)


def _as_meta(picture: Any) -> MetaTensor:
    return picture if isinstance(picture, MetaTensor) else MetaTensor(torch.as_tensor(picture))


def _tensor(value: Any) -> Tensor:
    return value.as_tensor() if isinstance(value, MetaTensor) else torch.as_tensor(value)


def _plane(value: Any) -> np.ndarray[Any, Any]:
    return np.asarray(_tensor(value)[0].cpu())
