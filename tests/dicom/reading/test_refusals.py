# SPDX-License-Identifier: Apache-2.0
"""Every refusal of docs/dicom-conformance.md 3.3: one made file, one typed error each."""

import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.uid import JPEGLSLossless

from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_radiograph, read_source
from monai_cxr_cf.errors import BadRequest, UnreadableInput, UnsupportedImage
from tests.dicom.factory import save
from tests.dicom.makers import claims, deflated
from tests.dicom.reading.test_syntaxes import transcode
from tests.dicom.refused import REFUSED


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
    path = transcode(save(tmp_path / "a.dcm"), tmp_path / "b.dcm", "JPEG2000Lossless")
    script = (
        "import sys; sys.modules['gdcm'] = None\n"
        "from monai_cxr_cf.dicom.reading.read import read_radiograph\n"
        "from monai_cxr_cf.errors import CxrError\n"
        "try: read_radiograph(sys.argv[1])\n"
        "except CxrError as error: print(error.exit_code, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("3 ")
    assert "pip install python-gdcm" in done.stdout
