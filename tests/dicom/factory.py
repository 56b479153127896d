# SPDX-License-Identifier: Apache-2.0
"""Radiographs made in code: a phantom chest as CR, DX or SC file of any bit depth and polarity.

``Spec`` says what the file should be, ``build`` makes the data set and ``save`` the Part-10 file.
The files are clean for dciodvfy (0 errors), so that what a writer derives from them can be too.
"""

from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SOP_CLASSES = {
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "SC": "1.2.840.10008.5.1.4.1.1.7",
}


@dataclass(frozen=True)
class Spec:
    """One file to be made; every field has a plain default."""

    sop: str = "DX"  # CR, DX or SC
    photometric: str = "MONOCHROME2"
    bits: int = 12  # BitsStored, 8..16
    signed: bool = False
    rows: int = 120
    columns: int = 96
    spacing: str = "plain"  # none, plain, calibrated, anisotropic, zero
    voi: str = "window"  # none, window, exact, sigmoid, lut, two
    slope: float | None = None  # RescaleSlope; None leaves both out, where the IOD allows it
    intercept: float = 0.0
    padding: bool = False  # PixelPaddingValue and a padded rim of four columns
    syntax: str = ExplicitVRLittleEndian
    seed: int = 0  # phantom texture and UIDs
    extra: tuple[tuple[str, Any], ...] = field(default=())  # (keyword, value); None deletes

    def with_(self, **extra: Any) -> "Spec":
        """The same file with attributes set, or deleted with None."""
        return replace(self, extra=self.extra + tuple(extra.items()))


KINDS: dict[str, Spec] = {
    "dx-mono2-12": Spec(),
    "dx-mono1-14": Spec(photometric="MONOCHROME1", bits=14, seed=1),
    "dx-mono2-16": Spec(bits=16, rows=96, columns=128, seed=2),
    "dx-mono2-12-lut": Spec(voi="lut", seed=3),
    "cr-mono1-10": Spec(sop="CR", photometric="MONOCHROME1", bits=10, seed=4),
    "cr-mono2-12-sigmoid": Spec(sop="CR", voi="sigmoid", spacing="calibrated", seed=5),
    "cr-mono1-15-nospacing": Spec(
        sop="CR", photometric="MONOCHROME1", bits=15, spacing="none", voi="two", seed=6
    ),
    "cr-mono2-16-signed": Spec(
        sop="CR", bits=16, signed=True, slope=2.0, intercept=-100.0, voi="exact", seed=7
    ),
    "sc-mono2-8": Spec(sop="SC", bits=8, spacing="none", voi="none", seed=8),
    "sc-mono1-8": Spec(sop="SC", bits=8, photometric="MONOCHROME1", seed=9),
    "sc-mono2-12-signed": Spec(sop="SC", signed=True, slope=1.0, intercept=0.0, seed=10),
    "cr-mono2-12-padded": Spec(sop="CR", padding=True, slope=1.0, seed=11),
}
"""One file of every kind of source: the gates run over all of them."""


def phantom_masks(rows: int, columns: int) -> dict[str, npt.NDArray[np.bool_]]:
    """HxW masks by name; the patient's right lung lies on the left of the picture."""
    y, x = np.mgrid[0:rows, 0:columns]
    v, u = (y + 0.5) / rows, (x + 0.5) / columns

    def ellipse(cy: float, cx: float, ry: float, rx: float) -> npt.NDArray[np.bool_]:
        return ((v - cy) / ry) ** 2 + ((u - cx) / rx) ** 2 <= 1.0

    heart = ellipse(0.62, 0.56, 0.16, 0.17)
    return {
        "right lung": ellipse(0.47, 0.29, 0.31, 0.16) & ~heart,
        "left lung": ellipse(0.47, 0.72, 0.31, 0.15) & ~heart,
        "heart": heart,
    }


def phantom(rows: int, columns: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """HxW float32, 0..1, bright = dense: dark lungs, bright heart and spine, grain, dark air."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns]
    v, u = (y + 0.5) / rows, (x + 0.5) / columns
    image = np.full((rows, columns), 0.62)
    image[((v - 0.55) / 0.62) ** 2 + ((u - 0.5) / 0.49) ** 2 > 1.0] = 0.05
    masks = phantom_masks(rows, columns)
    image[masks["right lung"] | masks["left lung"]] = 0.25
    image += 0.08 * (np.abs(u - 0.5) < 0.04)
    image[masks["heart"]] = 0.8
    image += 0.03 * np.sin(40.0 * v) * (masks["right lung"] | masks["left lung"])
    image += rng.normal(0.0, 0.01, image.shape)
    return np.clip(image, 0.0, 1.0).astype(np.float32)


def stored_values(spec: Spec) -> npt.NDArray[Any]:
    """HxW stored integers of the phantom; padding, if any, in the four leftmost columns."""
    low, high = _limits(spec)
    shown = phantom(spec.rows, spec.columns, spec.seed).astype(np.float64)
    if spec.photometric == "MONOCHROME1":
        shown = 1.0 - shown
    span = high - low
    values = np.rint(low + span * (0.06 + 0.86 * shown)).astype(np.int64)
    if spec.padding:
        values[:, :4] = _padding_value(spec)
    return values.astype(_dtype(spec))


def build(spec: Spec = Spec(), pixels: npt.NDArray[Any] | None = None) -> FileDataset:
    """The whole data set, native little endian pixels; ``pixels`` replaces the phantom's."""
    stored = stored_values(spec) if pixels is None else pixels
    # With a prefix: without one pydicom draws at random, and a run's own seed comes from these.
    content = sha256(stored.tobytes()).hexdigest()
    uids = [generate_uid(entropy_srcs=[repr(spec), content, str(i)]) for i in range(3)]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SOP_CLASSES.get(spec.sop, spec.sop)
    meta.MediaStorageSOPInstanceUID = uids[0]
    meta.TransferSyntaxUID = spec.syntax
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID = meta.MediaStorageSOPClassUID
    ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.StudyInstanceUID = uids
    _add_patient_and_study(ds, spec)
    {"DX": _add_dx, "CR": _add_cr, "SC": _add_sc}.get(spec.sop, _add_dx)(ds)
    _add_spacing(ds, spec)
    _add_image(ds, spec, stored)
    _add_voi(ds, spec)
    for keyword, value in spec.extra:
        if value is None:
            ds.pop(keyword, None)
        else:
            setattr(ds, keyword, value)
    return ds


def save(path: Path, spec: Spec = Spec(), pixels: npt.NDArray[Any] | None = None) -> Path:
    """Write ``build(spec, pixels)`` as a Part-10 file and return its path."""
    return save_dataset(path, build(spec, pixels))


def save_dataset(path: Path, ds: Dataset) -> Path:
    """Write a data set as it is, in the transfer syntax its file meta names."""
    ds.save_as(path, enforce_file_format=True)
    return path


def code(value: str, scheme: str, meaning: str) -> Sequence:
    """A code sequence of one item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return Sequence([item])


def _limits(spec: Spec) -> tuple[int, int]:
    if spec.signed:
        return -(1 << (spec.bits - 1)), (1 << (spec.bits - 1)) - 1
    return 0, (1 << spec.bits) - 1


def _dtype(spec: Spec) -> Any:
    return np.dtype(f"{'i' if spec.signed else 'u'}{1 if spec.bits == 8 else 2}")


def _padding_value(spec: Spec) -> int:
    low, high = _limits(spec)
    return high if spec.photometric == "MONOCHROME1" else low


def _add_patient_and_study(ds: Dataset, spec: Spec) -> None:
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName, ds.PatientID = "Phantom^Chest", "PH-0001"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19600101", "F", "060Y"
    ds.StudyDate, ds.StudyTime, ds.StudyID = "20200102", "101112", "1"
    ds.AccessionNumber, ds.ReferringPhysicianName = "A1", "Doctor^Phantom"
    ds.SeriesDate, ds.SeriesTime = "20200102", "101113"
    ds.ContentDate, ds.ContentTime = "20200102", "101114"
    ds.AcquisitionDate, ds.AcquisitionTime = "20200102", "101114"
    ds.SeriesNumber, ds.InstanceNumber = 1, 1
    ds.Manufacturer, ds.ManufacturerModelName = "Phantom Works", "Code"
    ds.PatientOrientation = ["L", "F"]
    ds.BodyPartExamined, ds.ViewPosition = "CHEST", "PA"
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"


def _add_dx(ds: Dataset) -> None:
    ds.Modality, ds.PresentationIntentType = "DX", "FOR PRESENTATION"
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.ImageLaterality = "U"
    ds.PositionerType, ds.DetectorType = "NONE", "DIRECT"
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1
    ds.AcquisitionContextSequence = Sequence([])
    ds.AnatomicRegionSequence = code("816094009", "SCT", "Chest")
    ds.ViewCodeSequence = code("272479007", "SCT", "postero-anterior")
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence([])
    ds.PatientOrientationCodeSequence = code("10904000", "SCT", "erect")
    ds.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = code(
        "10904000", "SCT", "standing"
    )


def _add_cr(ds: Dataset) -> None:
    ds.Modality = "CR"
    ds.KVP, ds.PlateID = "125", "1"


def _add_sc(ds: Dataset) -> None:
    ds.Modality, ds.ConversionType = "CR", "WSD"
    ds.SecondaryCaptureDeviceManufacturer = "Phantom Works"
    ds.SecondaryCaptureDeviceManufacturerModelName = "Code"
    ds.SecondaryCaptureDeviceSoftwareVersions = "1"


def _add_spacing(ds: Dataset, spec: Spec) -> None:
    pairs = {"plain": [0.2, 0.2], "calibrated": [0.2, 0.2], "anisotropic": [0.2, 0.3]}
    values = pairs.get(spec.spacing, [0, 0])
    if spec.sop == "SC":
        if spec.spacing != "none":
            ds.PixelSpacing = values
        return
    if spec.spacing != "none" or spec.sop == "DX":
        ds.ImagerPixelSpacing = values if spec.spacing != "none" else [0.2, 0.2]
    if spec.spacing == "calibrated":
        ds.PixelSpacing = [0.18, 0.18]
        ds.PixelSpacingCalibrationType = "GEOMETRY"
        ds.PixelSpacingCalibrationDescription = "made in code"
    if spec.spacing == "none":
        ds.pop("ImagerPixelSpacing", None)


def _add_image(ds: Dataset, spec: Spec, stored: npt.NDArray[Any]) -> None:
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = spec.photometric
    ds.Rows, ds.Columns = stored.shape[:2]
    ds.BitsAllocated = 8 * stored.dtype.itemsize
    ds.BitsStored, ds.HighBit = spec.bits, spec.bits - 1
    ds.PixelRepresentation = int(spec.signed)
    if spec.padding:
        ds.PixelPaddingValue = _padding_value(spec)
    if spec.slope is not None or spec.sop == "DX":
        ds.RescaleSlope = 1.0 if spec.slope is None else spec.slope
        ds.RescaleIntercept, ds.RescaleType = spec.intercept, "US"
    if spec.sop == "DX":
        inverse = spec.photometric == "MONOCHROME1"
        ds.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    payload = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    ds.PixelData = payload + b"\0" * (len(payload) % 2)
    ds["PixelData"].VR = "OW"


def _add_voi(ds: Dataset, spec: Spec) -> None:
    if spec.voi == "none":
        return
    if spec.voi == "lut":
        ds.VOILUTSequence = _voi_lut(spec)
        return
    low, high = _limits(spec)
    slope = 1.0 if spec.slope is None else spec.slope
    center = slope * (low + high) / 2.0 + spec.intercept
    width = abs(slope) * (high - low)
    ds.WindowCenter, ds.WindowWidth = round(center, 1), round(width, 1)
    if spec.voi == "two":
        ds.WindowCenter = [ds.WindowCenter, ds.WindowCenter]
        ds.WindowWidth = [ds.WindowWidth, round(width / 2, 1)]
        ds.WindowCenterWidthExplanation = ["NORMAL", "HARD"]
    if spec.voi in ("exact", "sigmoid"):
        ds.VOILUTFunction = "LINEAR_EXACT" if spec.voi == "exact" else "SIGMOID"


def _voi_lut(spec: Spec) -> Sequence:
    """A smooth monotone S-curve over all stored values, 16-bit entries."""
    low, high = _limits(spec)
    t = np.linspace(-1.0, 1.0, high - low + 1)
    curve = np.rint(65535 * (0.5 + 0.5 * np.tanh(1.8 * t) / np.tanh(1.8))).astype("<u2")
    item = Dataset()
    entries = 0 if len(curve) == 65536 else len(curve)
    item.add_new("LUTDescriptor", "SS" if spec.signed else "US", [entries, low, 16])
    item.LUTExplanation = "S-curve"
    item.add_new("LUTData", "OW", curve.tobytes())
    return Sequence([item])
