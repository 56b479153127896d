# SPDX-License-Identifier: Apache-2.0
"""The refusals of docs/dicom-conformance.md 3.3: the error, its code and words of its message.

Steps are those of docs/dicom-conformance.md 3.1.
"""

from pydicom.uid import MPEG2MPML, HTJ2KLossless, JPEG2000Lossless, JPEGExtended12Bit

from monai_cxr_cf.errors import CxrError, UnreadableInput, UnsupportedImage
from tests.dicom import makers
from tests.dicom.factory import Spec, code
from tests.dicom.makers import Maker, claims, cut, lut, modality_lut, raw, voi_lut, with_

UP_AND_DOWN = [*range(2048), *range(2047, -1, -1)]
EMPTY_WINDOW = {"WindowCenter": 90000.0, "WindowWidth": 100.0}

REFUSED: dict[str, tuple[Maker, type[CxrError], str, str]] = {
    # step 1 and 2
    "empty": (raw(b""), UnreadableInput, "empty", "empty"),
    "text": (raw(b"a report, not an image\n" * 30), UnreadableInput, "not_dicom", "Part-10"),
    "short text": (raw(b"x"), UnreadableInput, "not_dicom", "Part-10"),
    "not part 10": (makers.no_mark, UnreadableInput, "not_dicom", "Part-10"),
    # step 3
    "deflated": (makers.deflated, UnsupportedImage, "transfer_syntax", "deflated"),
    "12-bit JPEG": (claims(JPEGExtended12Bit), UnsupportedImage, "transfer_syntax", "Extended"),
    "HTJ2K": (claims(HTJ2KLossless), UnsupportedImage, "transfer_syntax", "HTJ2K"),
    "MPEG": (claims(MPEG2MPML), UnsupportedImage, "transfer_syntax", "MPEG2"),
    "unknown syntax": (claims("1.2.3.4"), UnsupportedImage, "transfer_syntax", "unknown"),
    "rubbish after the mark": (
        raw(b"\0" * 128 + b"DICM" + b"rubbish " * 40),
        UnreadableInput,
        "*",
        "",
    ),
    # step 4
    "CT": (with_(Spec(sop="1.2.840.10008.5.1.4.1.1.2")), UnsupportedImage, "sop_class", "CT Image"),
    "multi-frame SC": (
        with_(Spec(sop="1.2.840.10008.5.1.4.1.1.7.3")),
        UnsupportedImage,
        "sop_class",
        "Multi-frame",
    ),
    "DX for processing": (
        with_(Spec(sop="1.2.840.10008.5.1.4.1.1.1.1.1")),
        UnsupportedImage,
        "sop_class",
        "FOR PRESENTATION",
    ),
    "no SOP class": (with_(SOPClassUID=None), UnsupportedImage, "sop_class", "missing"),
    "no study UID": (with_(StudyInstanceUID=None), UnsupportedImage, "missing_uid", "StudyInst"),
    "no series UID": (with_(SeriesInstanceUID=None), UnsupportedImage, "missing_uid", "SeriesIn"),
    "no SOP UID": (with_(SOPInstanceUID=None), UnsupportedImage, "missing_uid", "SOPInstanceUID"),
    "UID with a path": (makers.bad_uid, UnsupportedImage, "invalid_uid", "SOPInstanceUID"),
    "leg": (with_(BodyPartExamined="LEG"), UnsupportedImage, "body_part", "--allow-body-part"),
    "thoracic spine": (with_(BodyPartExamined="TSPINE"), UnsupportedImage, "body_part", "TSPINE"),
    "foot by code": (
        with_(BodyPartExamined=None, AnatomicRegionSequence=code("56459004", "SCT", "Foot")),
        UnsupportedImage,
        "body_part",
        "AnatomicRegionSequence",
    ),
    "lateral LL": (with_(ViewPosition="LL"), UnsupportedImage, "lateral", "--allow-lateral"),
    "lateral RL": (with_(ViewPosition="RL"), UnsupportedImage, "lateral", "--allow-lateral"),
    "LATERAL": (with_(ViewPosition="LATERAL"), UnsupportedImage, "lateral", "--allow-lateral"),
    "lateral by code": (
        with_(ViewPosition=None, ViewCodeSequence=code("399173006", "SCT", "left lateral")),
        UnsupportedImage,
        "lateral",
        "--allow-lateral",
    ),
    "burned in": (
        with_(BurnedInAnnotation="YES"),
        UnsupportedImage,
        "burned_in",
        "--allow-burned-in",
    ),
    "synthetic": (with_(SyntheticData="YES"), UnsupportedImage, "synthetic", "--allow-synthetic"),
    "conversion SYN": (
        with_(Spec(sop="SC"), ConversionType="SYN"),
        UnsupportedImage,
        "synthetic",
        "--allow-synthetic",
    ),
    # step 5
    "4 gigapixel": (
        with_(Rows=65535, Columns=65535),
        UnsupportedImage,
        "too_many_pixels",
        "--max-pixels",
    ),
    "tiny": (with_(Spec(rows=40, columns=200)), UnsupportedImage, "too_small", "--min-side"),
    "no rows": (with_(Rows=None), UnsupportedImage, "bad_value", "Rows"),
    "three frames": (makers.frames(3), UnsupportedImage, "frames", "NumberOfFrames is 3"),
    "RGB": (makers.colour, UnsupportedImage, "samples", "SamplesPerPixel is 3"),
    "palette": (
        with_(PhotometricInterpretation="PALETTE COLOR"),
        UnsupportedImage,
        "photometric",
        "PALETTE",
    ),
    "32 bits": (with_(BitsAllocated=32), UnsupportedImage, "bits", "32"),
    "high bit": (with_(HighBit=15), UnsupportedImage, "bits", "HighBit"),
    "slope 0": (with_(RescaleSlope=0), UnsupportedImage, "rescale_slope", "RescaleSlope is 0"),
    "slope not finite": (with_(RescaleSlope="nan"), UnsupportedImage, "not_finite", "RescaleSlope"),
    "width 0": (with_(WindowWidth=0), UnsupportedImage, "window", "WindowWidth is 0"),
    "width 0.5": (with_(WindowWidth=0.5), UnsupportedImage, "window", "at least 1"),
    "exact width 0": (
        with_(WindowWidth=0, VOILUTFunction="LINEAR_EXACT"),
        UnsupportedImage,
        "window",
        "above 0",
    ),
    "centre without width": (with_(WindowWidth=None), UnsupportedImage, "window", "--ignore-voi"),
    "unknown function": (
        with_(VOILUTFunction="CUBIC"),
        UnsupportedImage,
        "voi_function",
        "--ignore-voi",
    ),
    "contradiction 2": (
        with_(PresentationLUTShape="INVERSE"),
        UnsupportedImage,
        "polarity",
        "--polarity",
    ),
    "contradiction 1": (
        with_(Spec(photometric="MONOCHROME1"), PresentationLUTShape="IDENTITY"),
        UnsupportedImage,
        "polarity",
        "--polarity",
    ),
    "VOI LUT up and down": (
        voi_lut(lut(UP_AND_DOWN)),
        UnsupportedImage,
        "lut_not_monotone",
        "--ignore-voi",
    ),
    "VOI LUT too short": (
        voi_lut(lut(list(range(100)), descriptor=4096)),
        UnsupportedImage,
        "lut",
        "100 entries",
    ),
    "VOI LUT too bright": (
        voi_lut(lut([0, 5000], bits=12)),
        UnsupportedImage,
        "lut",
        "exceeds",
    ),
    "modality LUT up and down": (
        modality_lut(lut(UP_AND_DOWN)),
        UnsupportedImage,
        "lut_not_monotone",
        "Modality LUT",
    ),
    # step 6
    "no PixelData": (makers.no_pixels, UnreadableInput, "no_pixels", "PixelData"),
    "half of the pixels": (cut(11520), UnreadableInput, "short_pixels", "23040"),
    "one byte short": (cut(1), UnreadableInput, "short_pixels", "23039 bytes"),
    "header cut": (cut(23040 + 200), UnreadableInput, "no_pixels", "PixelData"),
    "fewer pixels than promised": (
        with_(PixelData=b"\0" * 1000),
        UnreadableInput,
        "short_pixels",
        "1000 bytes",
    ),
    "more pixels than promised": (
        with_(PixelData=b"\0" * 30000),
        UnreadableInput,
        "long_pixels",
        "30000 bytes",
    ),
    "no codestream": (claims(JPEG2000Lossless), UnreadableInput, "pixel_data", "codestream"),
    # step 8
    "constant": (makers.constant, UnsupportedImage, "constant_image", "the same everywhere"),
    "only padding": (makers.only_padding, UnsupportedImage, "constant_image", "padding"),
    "window beside the image": (
        with_(**EMPTY_WINDOW),
        UnsupportedImage,
        "constant_display",
        "--ignore-voi",
    ),
}
