# SPDX-License-Identifier: Apache-2.0
"""A file that would take all memory or time, or kills its decoder, harms its child alone."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.errors import BadRequest, UnreadableInput, UnsupportedImage
from monai_cxr_cf.server.settings import Limits
from monai_cxr_cf.server.uploads.examine import examine, mask_name, refuse_detached
from monai_cxr_cf.server.uploads.isolate import Decoder
from tests.dicom.factory import Spec, save


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    found = Decoder(Limits(decode_memory=2_000_000_000, decode_s=10))
    found.warm_up()
    return found


def eat(count: int) -> int:
    return len(b"x" * count)


def spin() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(60)


def die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def refuse() -> None:
    raise BadRequest("A sentence.", code="a_code", hint="A hint.")


def break_with_a_name() -> None:
    raise ValueError("Doe^Jane")


def test_it_works_within_the_limits(decoder: Decoder) -> None:
    assert decoder.call(eat, 1000) == 1000


def test_memory_is_capped(decoder: Decoder) -> None:
    with pytest.raises(UnsupportedImage, match="2 GB") as refused:
        decoder.call(eat, 3_000_000_000)
    assert refused.value.code == "decode_limit"
    assert refused.value.http_status == 422


@pytest.mark.parametrize("harm", [spin, sleep])
def test_time_is_capped(harm: object, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(UnsupportedImage):
        Decoder(Limits(decode_s=1)).call(harm)  # type: ignore[arg-type]
    assert time.monotonic() - began < 60


def test_a_crash_is_an_error_of_the_file(decoder: Decoder) -> None:
    with pytest.raises(UnsupportedImage):
        decoder.call(die)
    assert decoder.call(eat, 1) == 1


def test_errors_of_ours_come_through_and_foreign_texts_do_not(decoder: Decoder) -> None:
    with pytest.raises(BadRequest, match="A sentence") as refused:
        decoder.call(refuse)
    assert (refused.value.code, refused.value.hint) == ("a_code", "A hint.")
    with pytest.raises(UnreadableInput) as broken:
        decoder.call(break_with_a_name)
    assert "Doe" not in str(broken.value)


def test_each_file_gets_a_process_of_its_own(decoder: Decoder) -> None:
    assert len({decoder.call(os.getpid) for _ in range(3)} | {os.getpid()}) == 4


def test_examining_tells_nothing_of_the_patient(tmp_path: Path) -> None:
    save(tmp_path / "source", Spec().with_(PatientName="Doe^Jane", PatientID="4711"))
    told = examine(str(tmp_path), {})
    assert set(told) == {"rows", "columns", "warnings"}
    assert "Doe" not in str(told)


@pytest.mark.parametrize(
    ("head", "name", "kept"),
    [
        (b"NRRD0005\n", "../../x.nhdr", "masks.nrrd"),
        (b"\x89PNG\r\n\x1a\n", "C:\\masks\\Heart.png", "heart.png"),
        (b"\xff\xd8\xff\xe0", "heart.jpeg", "heart.jpg"),
        (b"\x1f\x8b\x08", "right_lung.nii.gz", "right_lung.nii.gz"),
        (bytes(344) + b"n+1\0", "", "masks.nii"),
        (bytes(128) + b"DICM", "seg", "masks.dcm"),
    ],
)
def test_a_mask_is_named_by_its_content(head: bytes, name: str, kept: str) -> None:
    assert mask_name(head, name) == kept


def test_examining_reads_masks_as_the_edit_does(tmp_path: Path) -> None:
    save(tmp_path / "source", Spec(sop="CR").with_(PatientOrientation=["F", "R"]))
    (tmp_path / "roi").mkdir()
    box = np.zeros((120, 96), np.uint8)
    box[60:90, 20:50] = 255
    layer = np.dstack([np.full_like(box, 255)] * 3 + [box])
    for name, picture in (("masks.png", layer), ("masks.jpg", box)):
        for old in (tmp_path / "roi").iterdir():
            old.unlink()
        Image.fromarray(picture).save(tmp_path / "roi" / name)
        told = examine(str(tmp_path), {})
        assert "orientation" in [code for code, _ in told["warnings"]]
        assert (told["rows"], told["columns"]) == (120, 96)
    clear = Image.fromarray(np.dstack([box] * 3 + [np.zeros_like(box)]))
    clear.save(tmp_path / "roi" / "masks.jpg", "PNG")
    with pytest.raises(BadRequest, match="wholly transparent"):
        examine(str(tmp_path), {})


@pytest.mark.parametrize("field", ["data file", "datafile", "DATA FILE", " data file"])
def test_a_mask_may_not_name_another_file(field: str, tmp_path: Path) -> None:
    path = tmp_path / "masks.nrrd"
    path.write_bytes(f"NRRD0004\ntype: uint8\n{field}: /etc/passwd\n\n".encode())
    with pytest.raises(BadRequest) as refused:
        refuse_detached(path)
    assert refused.value.code == "detached_header"


def test_a_mask_with_its_data_inside_passes(tmp_path: Path) -> None:
    path = tmp_path / "masks.nrrd"
    path.write_bytes(b"NRRD0004\ntype: uint8\n\n" + b"data file: no header line\n\n")
    refuse_detached(path)
    assert path.is_file()
