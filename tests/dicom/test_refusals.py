# SPDX-License-Identifier: Apache-2.0
"""Every refusal of dicom.md 2.4: one file made in code, one typed error with its next step."""

import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLSLossless,
)

from monai_cxr_cf.dicom.read import ReadOptions, read_radiograph, read_source
from monai_cxr_cf.errors import BadRequest, CxrError, UnreadableInput, UnsupportedImage
from tests.dicom.factory import Spec, build, code, save, save_dataset

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


UP_AND_DOWN = [*range(2048), *range(2047, -1, -1)]
EMPTY_WINDOW = {"WindowCenter": 90000.0, "WindowWidth": 100.0}

REFUSED: dict[str, tuple[Maker, type[CxrError], str, str]] = {
    # step 1 and 2
    "empty": (raw(b""), UnreadableInput, "empty", "empty"),
    "text": (raw(b"a report, not an image\n" * 30), UnreadableInput, "not_dicom", "Part-10"),
    "short text": (raw(b"x"), UnreadableInput, "not_dicom", "Part-10"),
    "not part 10": (no_mark, UnreadableInput, "not_dicom", "Part-10"),
    # step 3
    "deflated": (deflated, UnsupportedImage, "transfer_syntax", "deflated"),
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
    "UID with a path": (bad_uid, UnsupportedImage, "invalid_uid", "SOPInstanceUID"),
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
    "three frames": (frames(3), UnsupportedImage, "frames", "NumberOfFrames is 3"),
    "RGB": (colour, UnsupportedImage, "samples", "SamplesPerPixel is 3"),
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
    "no PixelData": (no_pixels, UnreadableInput, "no_pixels", "PixelData"),
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
    "constant": (constant, UnsupportedImage, "constant_image", "the same everywhere"),
    "only padding": (only_padding, UnsupportedImage, "constant_image", "padding"),
    "window beside the image": (
        with_(**EMPTY_WINDOW),
        UnsupportedImage,
        "constant_display",
        "--ignore-voi",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_typed_error_and_the_next_step(
    name: str, tmp_path: Path, nothing_left: Callable[[], None]
) -> None:
    make, kind, error_code, words = REFUSED[name]
    path = make(tmp_path)
    nothing_left()
    with pytest.raises(kind) as caught:
        read_radiograph(path)
    error = caught.value
    assert error_code in ("*", error.code)
    assert words in str(error)
    assert error.message.endswith(".")
    assert error.hint
    assert error.exit_code == 2
    assert str(tmp_path) not in str(error)


PERMITTED = {
    "leg": ({"allow_body_part": True}, "body_part"),
    "foot by code": ({"allow_body_part": True}, "body_part"),
    "lateral LL": ({"allow_lateral": True}, "lateral"),
    "lateral by code": ({"allow_lateral": True}, "lateral"),
    "burned in": ({"allow_burned_in": True}, "burned_in"),
    "synthetic": ({"allow_synthetic": True}, "synthetic"),
    "conversion SYN": ({"allow_synthetic": True}, "synthetic"),
    "tiny": ({"min_side": 32}, "aspect"),
    "width 0": ({"ignore_voi": True}, "voi_ignored"),
    "unknown function": ({"ignore_voi": True}, "voi_ignored"),
    "VOI LUT up and down": ({"ignore_voi": True}, "voi_ignored"),
    "window beside the image": ({"ignore_voi": True}, "voi_ignored"),
    "contradiction 2": ({"polarity": "mono2"}, "polarity_overruled"),
    "contradiction 1": ({"polarity": "mono1"}, "polarity_overruled"),
}


@pytest.mark.parametrize("name", PERMITTED)
def test_permission_reads_the_same_file_and_records_a_warning(name: str, tmp_path: Path) -> None:
    allowed, warning = PERMITTED[name]
    radiograph = read_radiograph(REFUSED[name][0](tmp_path), options=ReadOptions(**allowed))
    assert warning in [each for each, _ in radiograph.warnings]


def test_limits_name_flag_value_and_limit(tmp_path: Path) -> None:
    path = save(tmp_path / "image.dcm")
    with pytest.raises(UnreadableInput, match=r"limit is 0\.01 MB.*--max-bytes"):
        read_radiograph(path, options=ReadOptions(max_bytes=10_000))
    with pytest.raises(UnsupportedImage, match=r"120 x 96.*limit is 0\.01 Mpixel.*--max-pixels"):
        read_radiograph(path, options=ReadOptions(max_pixels=10_000))
    with pytest.raises(UnsupportedImage, match=r"120 x 96.*100 pixels.*--min-side"):
        read_radiograph(path, options=ReadOptions(min_side=100))


def test_options_refuse_values_that_mean_nothing() -> None:
    with pytest.raises(BadRequest, match="mono1 or mono2"):
        ReadOptions(polarity="negative")
    with pytest.raises(BadRequest, match="min_side"):
        ReadOptions(min_side=0)


@pytest.mark.parametrize("what", ["missing", "folder"])
def test_what_is_no_file_is_unreadable(what: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput):
        read_radiograph(tmp_path if what == "folder" else tmp_path / "missing.dcm")
    with pytest.raises(UnreadableInput):
        read_source(tmp_path / "missing.dcm")


HEADER_REFUSALS = {
    "body part": ({"BodyPartExamined": "LEG"}, "body_part"),
    "pixel limit": ({"Rows": 12000, "Columns": 12000}, "too_many_pixels"),
    "slope": ({"RescaleSlope": 0}, "rescale_slope"),
    "window": ({"WindowWidth": 0}, "window"),
}


@pytest.mark.parametrize("name", HEADER_REFUSALS)
def test_the_header_is_judged_before_the_codestream(name: str, tmp_path: Path) -> None:
    extra, error_code = HEADER_REFUSALS[name]
    with pytest.raises(UnsupportedImage) as caught:
        read_radiograph(claims(JPEGLSLossless, **extra)(tmp_path))
    assert caught.value.code == error_code


def test_a_deflate_bomb_is_never_inflated(tmp_path: Path) -> None:
    path = deflated(tmp_path)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = squeeze.compress(b"\0" * 50_000_000) + squeeze.flush()
    path.write_bytes(path.read_bytes() + bomb)
    tracemalloc.start()
    with pytest.raises(UnsupportedImage, match="deflated"):
        read_radiograph(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_missing_codec_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    from tests.dicom.test_syntaxes import transcode

    path = transcode(save(tmp_path / "a.dcm"), tmp_path / "b.dcm", "JPEG2000Lossless")
    script = (
        "import sys; sys.modules['gdcm'] = None\n"
        "from monai_cxr_cf.dicom.read import read_radiograph\n"
        "from monai_cxr_cf.errors import CxrError\n"
        "try: read_radiograph(sys.argv[1])\n"
        "except CxrError as error: print(error.exit_code, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("3 ")
    assert "pip install python-gdcm" in done.stdout
