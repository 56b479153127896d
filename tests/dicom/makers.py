# SPDX-License-Identifier: Apache-2.0
"""Makers of files that the reader must refuse: each takes a folder and gives the file's path."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.dicom.factory import Spec, build, save, save_dataset

Maker = Callable[[Path], Path]


def with_(spec: Spec = Spec(), **extra: Any) -> Maker:  # noqa: B008
    """A file with attributes set, or deleted with None."""
    return lambda folder: save(folder / "image.dcm", spec.with_(**extra))


def raw(content: bytes) -> Maker:
    """A file of these bytes."""

    def make(folder: Path) -> Path:
        path = folder / "image.dcm"
        path.write_bytes(content)
        return path

    return make


def cut(keep: int, spec: Spec = Spec()) -> Maker:  # noqa: B008
    """A file that lacks its last ``keep`` bytes."""

    def make(folder: Path) -> Path:
        path = save(folder / "image.dcm", spec)
        path.write_bytes(path.read_bytes()[:-keep])
        return path

    return make


def claims(syntax: str, **extra: Any) -> Maker:
    """A file whose meta group names a transfer syntax and whose fragment is rubbish."""

    def make(folder: Path) -> Path:
        ds = build(Spec().with_(**extra))
        ds.file_meta.TransferSyntaxUID = syntax
        ds.PixelData = encapsulate([b"no codestream at all"])
        ds["PixelData"].is_undefined_length = True
        ds["PixelData"].VR = "OB"
        return save_dataset(folder / "image.dcm", ds)

    return make


def deflated(folder: Path) -> Path:
    ds = build()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return save_dataset(folder / "image.dcm", ds)


def frames(count: int) -> Maker:
    def make(folder: Path) -> Path:
        ds = build()
        ds.NumberOfFrames = count
        ds.PixelData = ds.PixelData * count
        return save_dataset(folder / "image.dcm", ds)

    return make


def colour(folder: Path) -> Path:
    ds = build(Spec(sop="SC", bits=8))
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.PixelData = ds.PixelData * 3
    return save_dataset(folder / "image.dcm", ds)


def no_pixels(folder: Path) -> Path:
    ds = build()
    del ds.PixelData
    return save_dataset(folder / "image.dcm", ds)


def no_mark(folder: Path) -> Path:
    path = save(folder / "image.dcm")
    path.write_bytes(path.read_bytes()[132:])
    return path


def constant(folder: Path) -> Path:
    return save(folder / "image.dcm", Spec(), np.full((120, 96), 500, np.uint16))


def only_padding(folder: Path) -> Path:
    pixels = np.zeros((120, 96), np.uint16)
    return save(folder / "image.dcm", Spec(padding=True), pixels)


def bad_uid(folder: Path) -> Path:
    ds = build()
    ds.SOPInstanceUID = "1.2.840"
    path = save_dataset(folder / "image.dcm", ds)
    path.write_bytes(path.read_bytes().replace(b"1.2.840\0", b"../../x\0"))
    return path


def lut(entries: list[int], bits: int = 12, descriptor: int | None = None) -> Dataset:
    item = Dataset()
    count = len(entries) if descriptor is None else descriptor
    item.add_new("LUTDescriptor", "US", [count, 0, bits])
    item.add_new("LUTData", "US", entries)
    return item


def voi_lut(item: Dataset) -> Maker:
    return with_(Spec(voi="none"), VOILUTSequence=Sequence([item]))


def modality_lut(item: Dataset) -> Maker:
    item.ModalityLUTType = "US"
    return with_(ModalityLUTSequence=Sequence([item]))
