# SPDX-License-Identifier: Apache-2.0
"""Transfer syntaxes: each that must work gives the native file's pixels; damage is refused."""

from pathlib import Path

import gdcm
import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from monai_cxr_cf.dicom.reading.read import read_radiograph
from monai_cxr_cf.errors import CxrError, UnreadableInput, UnsupportedImage
from tests.dicom.factory import KINDS, Spec, build, save, save_dataset

LOSSLESS = [
    "JPEGLosslessProcess14",
    "JPEGLosslessProcess14_1",
    "JPEGLSLossless",
    "JPEG2000Lossless",
]


def transcode(source: Path, target: Path, syntax: str) -> Path:
    """Encode a file with GDCM in the transfer syntax of that name."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(target))
    assert writer.Write()
    return target


def big_endian(spec: Spec, path: Path) -> Path:
    """The same file in explicit big endian: words of pixels and LUTs turned round."""
    ds = build(spec)
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()  # OW: 8 bits too
    if "VOILUTSequence" in ds:
        item = ds.VOILUTSequence[0]
        item.LUTData = np.frombuffer(item.LUTData, "<u2").astype(">u2").tobytes()
    dcmwrite(path, ds, enforce_file_format=True)
    return path


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize(
    "kind", ["dx-mono2-12", "dx-mono1-14", "dx-mono2-16", "cr-mono1-10", "sc-mono2-8"]
)
def test_lossless_codecs_are_bit_exact(kind: str, syntax: str, tmp_path: Path) -> None:
    native = save(tmp_path / "native.dcm", KINDS[kind])
    coded = transcode(native, tmp_path / "coded.dcm", syntax)
    expected, found = read_radiograph(native), read_radiograph(coded)
    assert found.sha256 == expected.sha256
    assert found.stored.dtype == expected.stored.dtype
    np.testing.assert_array_equal(found.pixels, expected.pixels)


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_signed_codestreams_give_the_same_values_or_a_refusal(syntax: str, tmp_path: Path) -> None:
    for kind in ("cr-mono2-16-signed", "sc-mono2-12-signed"):
        native = save(tmp_path / "native.dcm", KINDS[kind])
        coded = transcode(native, tmp_path / "coded.dcm", syntax)
        np.testing.assert_array_equal(read_radiograph(coded).stored, read_radiograph(native).stored)


@pytest.mark.parametrize("kind", KINDS)
def test_every_native_and_rle_encoding_reads_the_same(kind: str, tmp_path: Path) -> None:
    spec = KINDS[kind]
    expected = read_radiograph(save(tmp_path / "explicit.dcm", spec))
    implicit = build(spec)
    implicit.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    rle = build(spec)
    rle.compress(RLELossless, generate_instance_uid=False)
    files = [
        save_dataset(tmp_path / "implicit.dcm", implicit),
        save_dataset(tmp_path / "rle.dcm", rle),
        big_endian(spec, tmp_path / "big.dcm"),
    ]
    for path in files:
        found = read_radiograph(path)
        assert found.sha256 == expected.sha256, path.name
        np.testing.assert_array_equal(found.pixels, expected.pixels, err_msg=path.name)
        assert found.voi == expected.voi


def test_baseline_jpeg_is_read_and_marked_lossy(tmp_path: Path) -> None:
    native = save(tmp_path / "native.dcm", KINDS["sc-mono1-8"])
    coded = transcode(native, tmp_path / "coded.dcm", "JPEGBaselineProcess1")
    found, expected = read_radiograph(coded), read_radiograph(native)
    assert "lossy_source" in [code for code, _ in found.warnings]
    difference = found.stored.astype(int) - expected.stored.astype(int)
    assert 0 < np.abs(difference).max() < 40
    assert abs(difference.mean()) < 0.5


@pytest.mark.parametrize("syntax", [*LOSSLESS, "RLELossless"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_codestream_is_never_read_in_part(
    syntax: str, share: float, tmp_path: Path
) -> None:
    native = save(tmp_path / "native.dcm")
    path = transcode(native, tmp_path / "coded.dcm", syntax)
    content = path.read_bytes()
    start = content.rindex(b"\xfe\xff\x00\xe0")  # the last item: the only fragment
    path.write_bytes(content[: start + 8 + int(share * (len(content) - start - 16))])
    with pytest.raises(UnreadableInput) as caught:
        read_radiograph(path)
    assert caught.value.code == "truncated"


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_a_fragment_that_ends_early_is_refused(syntax: str, tmp_path: Path) -> None:
    from pydicom.encaps import encapsulate, get_frame

    path = transcode(save(tmp_path / "native.dcm"), tmp_path / "coded.dcm", syntax)
    ds = dcmread(path)
    stream = get_frame(ds.PixelData, 0, number_of_frames=1)
    ds.PixelData = encapsulate([stream[: len(stream) // 2]])
    with pytest.raises(UnreadableInput) as caught:
        read_radiograph(save_dataset(path, ds))
    assert caught.value.code == "truncated"


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_a_codestream_of_another_size_is_refused_before_decoding(
    syntax: str, tmp_path: Path
) -> None:
    path = transcode(save(tmp_path / "native.dcm"), tmp_path / "coded.dcm", syntax)
    ds = dcmread(path)
    ds.Rows, ds.Columns = 96, 120
    with pytest.raises(UnsupportedImage) as caught:
        read_radiograph(save_dataset(path, ds))
    assert caught.value.code == "codestream_size"
    assert "120 x 96" in caught.value.message


def test_native_syntax_over_encapsulated_pixels_is_refused(tmp_path: Path) -> None:
    path = transcode(save(tmp_path / "native.dcm"), tmp_path / "coded.dcm", "JPEG2000Lossless")
    content = path.read_bytes().replace(b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.1\0\0\0")
    path.write_bytes(content)
    with pytest.raises(CxrError) as caught:
        read_radiograph(path)
    assert caught.value.exit_code == 2


def test_bits_above_bits_stored_are_dropped_and_reported(tmp_path: Path) -> None:
    clean = read_radiograph(save(tmp_path / "clean.dcm"))
    pixels = clean.stored | np.uint16(0x8000)
    found = read_radiograph(save(tmp_path / "dirty.dcm", Spec(), pixels))
    assert found.sha256 == clean.sha256
    assert "unused_bits" in [code for code, _ in found.warnings]
