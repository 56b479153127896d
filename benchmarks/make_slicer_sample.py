# SPDX-License-Identifier: Apache-2.0
"""A chest drawn in code in, the sample radiograph of the Slicer extension out (a DX file).

    python benchmarks/make_slicer_sample.py

Nobody was ever X-rayed for it: every outline below is made up, so it can be shared freely. It
serves to try the module and to test it; what a model makes of a drawing says nothing about it.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, RLELossless
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from monai_cxr_cf.dicom.writing.uids import stable_uid

TARGET = Path("slicer_extension/CXRCounterfactual/Resources/SampleData/drawn-chest.dcm")
SIDE, BITS, SPACING = 384, 10, 1.05  # pixels, stored bits, millimetres at the detector
Picture = NDArray[np.float64]
Points = list[tuple[float, float]]

# Outlines in fractions of the side, x to the right of the picture, which is the patient's left.
RIGHT_LUNG: Points = [
    (0.365, 0.125), (0.42, 0.19), (0.435, 0.30), (0.43, 0.42), (0.415, 0.56), (0.405, 0.66),
    (0.385, 0.705), (0.31, 0.665), (0.24, 0.675), (0.17, 0.735), (0.135, 0.80), (0.125, 0.66),
    (0.14, 0.46), (0.19, 0.28), (0.27, 0.165),
]  # fmt: skip
LEFT_LUNG: Points = [
    (0.635, 0.125), (0.585, 0.19), (0.565, 0.27), (0.575, 0.36), (0.60, 0.44), (0.655, 0.53),
    (0.71, 0.62), (0.735, 0.70), (0.79, 0.70), (0.84, 0.755), (0.87, 0.82), (0.878, 0.66),
    (0.862, 0.46), (0.81, 0.28), (0.73, 0.165),
]  # fmt: skip
HEART: Points = [
    (0.46, 0.40), (0.55, 0.37), (0.60, 0.44), (0.66, 0.53), (0.715, 0.62), (0.735, 0.71),
    (0.64, 0.755), (0.47, 0.75), (0.405, 0.70), (0.40, 0.60), (0.425, 0.50),
]  # fmt: skip
TORSO: Points = [
    (0.40, 0.00), (0.60, 0.00), (0.64, 0.055), (0.80, 0.10), (0.95, 0.17), (1.02, 0.30),
    (0.985, 0.45), (0.955, 0.70), (0.97, 1.05), (0.03, 1.05), (0.045, 0.70), (0.015, 0.45),
    (-0.02, 0.30), (0.05, 0.17), (0.20, 0.10), (0.36, 0.055),
]  # fmt: skip
CLAVICLES: tuple[Points, ...] = (
    [(0.455, 0.185), (0.36, 0.155), (0.25, 0.115), (0.13, 0.12)],
    [(0.545, 0.185), (0.64, 0.155), (0.75, 0.115), (0.87, 0.12)],
)


def draw_chest(side: int = SIDE) -> Picture:
    """A frontal chest: SxS float64, 0..1, bright = dense."""
    y, x = np.mgrid[0:side, 0:side] / side
    right, left = _filled(RIGHT_LUNG, side), _filled(LEFT_LUNG, side)
    heart, torso = _filled(HEART, side), _filled(TORSO, side)
    lungs = np.maximum(right, left)
    image = 0.60 + 0.16 * np.clip(y - 0.68, 0, 1) / 0.32  # the belly is denser than the chest
    image = image - lungs * (0.44 - 0.10 * y)
    image += 0.05 * lungs * _vessels(x, y, side)
    spine = np.exp(-(((x - 0.5) / 0.045) ** 2))
    image += 0.14 * spine * (1 + 0.08 * np.sin(2 * np.pi * y / 0.052))
    image += 0.17 * np.exp(-(((x - 0.5) / 0.075) ** 2)) * _fade(y) * (1 - lungs)
    image += heart * (0.74 - image) * 0.85 * _fade(y)
    image += 0.16 * _blob(x, y, 0.575, 0.305, 0.035, 0.04)  # the aortic knob
    for centre in (0.425, 0.585):  # the hila
        image += 0.13 * _blob(x, y, centre, 0.43, 0.035, 0.06)
    image -= 0.13 * np.exp(-(((x - 0.5) / 0.018) ** 2)) * _ramp(0.36 - y, 0.05)  # the trachea
    image += _ribs(side) * (0.35 + 0.65 * lungs) * (1 - 0.7 * heart)
    for bone in CLAVICLES:
        image += 0.11 * _stroke(bone, side, width=0.022)
    return _film(image * torso + 0.04 * (1 - torso))


def _film(image: Picture) -> Picture:
    """The unsharpness and the grain of a detector."""
    side = image.shape[0]
    rng = np.random.default_rng(20260401)
    grain = gaussian_filter(rng.standard_normal(image.shape), 0.8) / 0.35
    cloudy = gaussian_filter(rng.standard_normal(image.shape), side / 40) * side / 40
    return np.clip(gaussian_filter(image, 1.0) + 0.006 * grain + 0.01 * cloudy, 0, 1)


def _smooth(points: Points, samples: int = 40) -> NDArray[np.float64]:
    """A closed outline through rounded corners."""
    corners = np.repeat(np.array(points), samples, axis=0)
    steps = np.tile(np.arange(samples) / samples, len(points))[:, None]
    line = corners + steps * (np.roll(corners, -samples, axis=0) - corners)
    return gaussian_filter1d(line, samples * 0.45, axis=0, mode="wrap")


def _filled(points: Points, side: int) -> Picture:
    """1 inside an outline, 0 outside, a soft rim of some pixels."""
    scale = 4
    canvas = Image.new("L", (side * scale, side * scale))
    outline = [(float(u) * side * scale, float(v) * side * scale) for u, v in _smooth(points)]
    ImageDraw.Draw(canvas).polygon(outline, fill=255)
    small = np.asarray(canvas.resize((side, side), Image.Resampling.BOX), np.float64) / 255
    return gaussian_filter(small, side / 300)


def _stroke(points: Points, side: int, width: float) -> Picture:
    """A tube along an open line: brighter at its rims, as a bone is."""
    scale = 2
    dense = np.linspace(0, len(points) - 1, 60)
    line = [np.interp(dense, range(len(points)), [p[i] for p in points]) for i in (0, 1)]
    places = [*map(tuple, np.transpose([gaussian_filter1d(c, 5, mode="nearest") for c in line]))]
    places = [(u * side * scale, v * side * scale) for u, v in places]
    tube = []
    for share in (1.0, 0.55):
        canvas = Image.new("L", (side * scale, side * scale))
        pen = ImageDraw.Draw(canvas)
        pen.line(places, fill=255, width=round(width * share * side * scale), joint="curve")
        small = canvas.resize((side, side), Image.Resampling.BOX)
        tube.append(gaussian_filter(np.asarray(small, np.float64) / 255, side / 400))
    return tube[0] - 0.45 * tube[1]


def _ribs(side: int) -> Picture:
    """Nine pairs: the posterior parts fall outwards, the anterior parts inwards and fainter."""
    image = np.zeros((side, side))
    for number in range(9):
        top = 0.155 + 0.062 * number
        reach = 0.20 + 0.17 * min(number / 4, 1.0)
        for sign in (-1, 1):
            back = [(0.04, 0.0), (reach * 0.55, -0.012), (reach, 0.055), (reach + 0.015, 0.11)]
            front = [(reach, 0.12), (reach * 0.75, 0.185), (0.14, 0.20)]
            back, front = ([(0.5 + sign * u, top + v) for u, v in line] for line in (back, front))
            image += 0.10 * _stroke(back, side, width=0.021)
            if number < 6:
                image += 0.06 * _stroke(front, side, width=0.026)
    return image


def _vessels(x: Picture, y: Picture, side: int) -> Picture:
    """Branches that leave the hila and thin out towards the rim of the lung."""
    image = np.zeros((side, side))
    rng = np.random.default_rng(7)
    for sign, centre in ((-1, 0.43), (1, 0.58)):
        for angle in np.linspace(-1.25, 1.35, 15):
            length, bend = rng.uniform(0.16, 0.30), rng.uniform(-0.25, 0.25)
            steps = np.linspace(0, 1, 5)
            points = [
                (centre + sign * length * t * np.cos(angle + bend * t),
                 0.43 + length * 1.25 * t * np.sin(angle + bend * t)) for t in steps
            ]  # fmt: skip
            image += _stroke(points, side, width=rng.uniform(0.006, 0.011))
    fading = np.exp(-(np.hypot((np.abs(x - 0.505) - 0.075) / 0.22, (y - 0.43) / 0.30) ** 2))
    return gaussian_filter(image, side / 350) * fading * 2.5


def _blob(x: Picture, y: Picture, cx: float, cy: float, rx: float, ry: float) -> Picture:
    return np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)


def _ramp(distance: Picture, width: float) -> Picture:
    return np.clip(distance / width, 0, 1)


def _fade(y: Picture) -> Picture:
    """1 in the chest, 0 in the belly: what lies there is as dense as its surroundings."""
    return 1 - gaussian_filter(_ramp(y - 0.64, 0.11), y.shape[0] / 60)


def make_sample(picture: Picture) -> Dataset:
    """The data set: Digital X-Ray Image, for presentation, 10 bits, bright = dense."""
    stored = np.rint(picture * (2**BITS - 1)).astype("<u2")
    ds = Dataset()
    _identify(ds, stored.tobytes().hex())
    ds.Modality, ds.PresentationIntentType = "DX", "FOR PRESENTATION"
    ds.ImageType = ["DERIVED", "PRIMARY", ""]
    ds.BodyPartExamined, ds.ViewPosition = "CHEST", "PA"
    ds.ImageLaterality, ds.PatientOrientation = "U", ["L", "F"]
    ds.PositionerType, ds.DetectorType = "NONE", "DIRECT"
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1
    ds.AcquisitionContextSequence = Sequence([])
    ds.AnatomicRegionSequence = _code("816094009", "Chest")
    ds.ViewCodeSequence = _code("272479007", "postero-anterior")
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence([])
    ds.PatientOrientationCodeSequence = _code("10904000", "erect")
    ds.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = _code(
        "10904000", "standing"
    )
    ds.ImagerPixelSpacing = [SPACING, SPACING]
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, 0, "US"
    ds.PresentationLUTShape = "IDENTITY"
    ds.WindowCenter, ds.WindowWidth = 2**BITS / 2, 2**BITS
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, BITS, BITS - 1, 0
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def _identify(ds: Dataset, pixels: str) -> None:
    """A patient that nobody is; UIDs from the pixels, so that the file can be made again."""
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(ds, keyword, stable_uid("drawn chest", pixels, keyword))
    ds.PatientName, ds.PatientID = "Drawn^Chest", "DRAWN-1"
    for keyword in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
                    "ReferringPhysicianName", "AccessionNumber", "AcquisitionDate",
                    "AcquisitionTime", "ContentDate", "ContentTime"):  # fmt: skip
        setattr(ds, keyword, "")
    ds.SeriesDescription = "Chest PA, drawn in code"
    ds.ImageComments = "A drawing, not a radiograph: benchmarks/make_slicer_sample.py"
    ds.Manufacturer, ds.ManufacturerModelName = "monai-cxr-cf", "make_slicer_sample.py"
    ds.SeriesNumber = ds.InstanceNumber = 1


def _code(value: str, meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return Sequence([item])


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=TARGET)
    chosen = parser.parse_args()
    ds = make_sample(draw_chest())
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.compress(RLELossless, generate_instance_uid=False)  # every viewer reads it
    ds.save_as(chosen.out, enforce_file_format=True)


if __name__ == "__main__":
    main()
