# SPDX-License-Identifier: Apache-2.0
"""A torch.export archive (.pt2) as a classifier. Archives that need unpickling are refused."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_cxr_cf.errors import BadRequest, UnreadableInput

CODE = ("custom_obj", "opaque_obj")  # constants that are Python objects


def load_exported(path: Path) -> Any:
    """A function from (N, C, H, W) float32 arrays to scores.

    Raises:
        UnreadableInput: no archive of this version of torch.
        BadRequest: it holds pickled objects; or, when run, it wants another shape.
    """
    _check_plain(path)
    try:
        module = torch.export.load(path).module()
    except Exception as error:  # torch raises many types
        raise UnreadableInput(
            "The .pt2 file is no torch.export archive that this torch reads.",
            hint=f"Export it again with torch {torch.__version__}.",
        ) from error

    def run(batch: Any) -> Any:
        with torch.inference_mode():
            try:
                out = module(torch.from_numpy(np.ascontiguousarray(batch)))
            except (RuntimeError, AssertionError) as error:
                raise BadRequest(
                    f"The exported model refused a batch of shape {batch.shape}.",
                    hint="Export it with a dynamic first axis, and mend size and channels.",
                ) from error
        return first(out)

    return run


def first(out: Any) -> Any:
    """The scores of a model that may return several things."""
    if isinstance(out, list | tuple) and out:
        return out[0]
    return out


def _check_plain(path: Path) -> None:
    """BadRequest if reading the archive would run pickled code."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                _check_record(name.rsplit("/", 1)[-1], name, archive.read(name))
    except (OSError, zipfile.BadZipFile) as error:
        raise UnreadableInput(
            "The .pt2 file is no archive.", hint="Use torch.export.save."
        ) from error


def _check_record(short: str, name: str, data: bytes) -> None:
    pickled = short.startswith(CODE)
    if short.endswith("_config.json") and b"use_pickle" in data:
        found = json.loads(data).get("config", {})
        pickled = any(entry.get("use_pickle") for entry in found.values())
    if short.endswith(".pt"):
        try:
            torch.load(io.BytesIO(data), weights_only=True)
        except Exception as error:  # whatever it is, it is no plain tensor
            raise _refused(name) from error
    if pickled:
        raise _refused(name)


def _refused(name: str) -> BadRequest:
    return BadRequest(
        f"The .pt2 archive holds a pickled object ({name.rsplit('/', 1)[-1][:40]}).",
        hint="Nothing is unpickled here: export plain tensors, or use ONNX.",
    )
