# SPDX-License-Identifier: Apache-2.0
"""Folders without DICOMDIR: the one image is found; several are refused and counted."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.dicom.reading import series
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_radiograph, read_source
from monai_cxr_cf.dicom.reading.series import find_by_patient, find_images
from monai_cxr_cf.errors import UnreadableInput, UnsupportedImage
from tests.dicom.factory import Spec, build, phantom, save, save_dataset

RASTER = ReadOptions(allow_raster=True)


def beside(folder: Path) -> None:
    """What lies beside an image on a disc: text, a report, an index without pixels."""
    (folder / "readme.txt").write_text("viewer")
    (folder / "empty").touch()
    report = build(Spec(seed=77).with_(Rows=None, Columns=None, PixelData=None))
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    save_dataset(folder / "DICOMDIR", report)


def test_the_one_image_below_a_folder_is_read(
    tmp_path: Path, nothing_left: Callable[[], None]
) -> None:
    beside(tmp_path)
    deep = tmp_path / "DIR 0" / "DIR1"
    deep.mkdir(parents=True)
    path = save(deep / "IM0")
    nothing_left()
    assert read_source(tmp_path).sha256 == read_radiograph(path).sha256
    assert read_source(str(path)).sha256 == read_radiograph(path).sha256


def test_a_folder_without_an_image_is_unreadable(tmp_path: Path) -> None:
    beside(tmp_path)
    with pytest.raises(UnreadableInput) as caught:
        read_source(tmp_path)
    assert caught.value.code == "no_image"


def test_several_series_are_counted_not_named(tmp_path: Path) -> None:
    for seed in (1, 2):
        save(tmp_path / f"{seed}.dcm", Spec(seed=seed))
    save(tmp_path / "3.dcm", Spec(sop="CR", seed=3))
    with pytest.raises(UnsupportedImage) as caught:
        read_source(tmp_path)
    error = caught.value
    assert error.code == "several_images"
    assert "3 images of 1 patient(s) in 3 series" in error.message
    assert "(CR): 1 image(s)" in error.message
    assert "Phantom" not in str(error)


def test_several_patients_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.dcm", Spec())
    save(tmp_path / "b.dcm", Spec().with_(PatientID="other"))
    with pytest.raises(UnsupportedImage, match=r"of 2 patient\(s\)"):
        read_source(tmp_path)


def test_several_images_of_one_series_are_refused(tmp_path: Path) -> None:
    same = Spec().with_(StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4")
    save(tmp_path / "a.dcm", same)
    save(tmp_path / "b.dcm", same.with_(InstanceNumber=2))
    with pytest.raises(UnsupportedImage, match=r"2 images of 1 patient\(s\) in 1 series"):
        read_source(tmp_path)


def test_a_damaged_image_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    save(tmp_path / "a.dcm", Spec())
    (tmp_path / "b.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"rubbish " * 30)
    with pytest.raises(UnsupportedImage, match="2 images"):
        read_source(tmp_path)


def test_a_folder_s_image_is_read_with_the_options_given(tmp_path: Path) -> None:
    save(tmp_path / "a.dcm", Spec().with_(ViewPosition="LL"))
    with pytest.raises(UnsupportedImage):
        read_source(tmp_path)
    allowed = read_source(tmp_path, ReadOptions(allow_lateral=True))
    assert "lateral" in [code for code, _ in allowed.warnings]


def pictures(folder: Path, *names: str) -> list[Path]:
    """Grey pictures under these names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray((phantom(120, 96) * 255).astype(np.uint8)).save(folder / name, "PNG")
    return [folder / name for name in names]


def test_the_one_picture_of_a_folder_is_read_with_permission(tmp_path: Path) -> None:
    beside(tmp_path)
    (tmp_path / "._scan.png").write_bytes(b"\x00\x05\x16\x07 left by a Mac")
    (path,) = pictures(tmp_path / "deep", "scan")
    assert read_source(tmp_path, RASTER).sha256 == read_source(path, RASTER).sha256
    with pytest.raises(UnsupportedImage) as caught:
        read_source(tmp_path)
    assert caught.value.code == "raster"
    assert "--allow-raster" in caught.value.hint


@pytest.mark.parametrize("options", [RASTER, ReadOptions()])
def test_several_pictures_of_a_folder_are_counted_and_the_way_is_told(
    options: ReadOptions, tmp_path: Path
) -> None:
    paths = pictures(tmp_path, "a.png", "b.png", "c.jpg")
    with pytest.raises(UnsupportedImage, match="holds 3 PNG or JPEG pictures and no DICOM") as told:
        read_source(tmp_path, options)
    assert told.value.code == "several_images"
    assert told.value.hint.startswith("One file an edit; for many: cxr-cf batch plan DIR")
    assert find_images(tmp_path) == paths


def test_pictures_beside_a_dicom_image_do_not_count(tmp_path: Path) -> None:
    pictures(tmp_path, "preview.png", "trace.png")
    path = save(tmp_path / "a.dcm")
    assert read_source(tmp_path, RASTER).sha256 == read_radiograph(path).sha256
    assert find_images(tmp_path) == [path]
    save(tmp_path / "b.dcm", Spec(seed=5))
    with pytest.raises(UnsupportedImage, match="2 images") as caught:
        read_source(tmp_path)
    assert "cxr-cf batch plan DIR" in caught.value.hint


def test_every_image_however_many_with_a_word_for_its_patient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, patient in (("a", "MRN1"), ("b", "MRN2"), ("c", "MRN1"), ("d", "")):
        ds = build(Spec())
        ds.PatientID = patient
        ds.save_as(tmp_path / name, enforce_file_format=True)
    (tmp_path / "e.txt").write_text("no image")
    monkeypatch.setattr(series, "_MOST_FILES", 2)
    found = find_by_patient(tmp_path)
    assert [(path.name, word) for path, word in found] == [
        ("a", "p1"), ("b", "p2"), ("c", "p1"), ("d", ""),
    ]  # fmt: skip


def test_pictures_have_no_patient(tmp_path: Path) -> None:
    first, second = pictures(tmp_path, "a.png", "b.png")
    assert find_by_patient(tmp_path) == [(first, ""), (second, "")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableInput, match="no readable DICOM image; expected at least one"):
        find_by_patient(tmp_path / "empty")
