# SPDX-License-Identifier: Apache-2.0
"""The counterfactual as a plain PNG: the values of the DICOM file, the marks, and the arrays."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pydicom
import pytest
from PIL import Image

from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.seg_read import read_segmentation
from monai_cxr_cf.errors import BadRequest, UnsupportedImage
from monai_cxr_cf.pipeline import run
from monai_cxr_cf.request import EditRequest, from_json
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.run import Outcome
from tests.dicom.factory import KINDS, Spec, phantom
from tests.folders import contents
from tests.test_pipeline import made, request_on

XMP = "XML:com.adobe.xmp"
TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"


@pytest.fixture(scope="module")
def networks() -> Networks:
    """Loaded once."""
    return Networks()


def source_type(path: Path) -> str | None:
    """The digital source type of a PNG, read as a program would."""
    with Image.open(path) as image:
        packet = ElementTree.fromstring(image.info[XMP].strip("\ufeff").encode())
    return next(element.text for element in packet.iter(TYPE))


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_source_gives_a_png_as_its_dicom_file_shows_it(
    kind: str, tiny_folder: Path, networks: Networks, tmp_path: Path
) -> None:
    phantom = made(tmp_path, KINDS[kind])
    request = request_on(phantom, tiny_folder, preset="fast", png=True)
    outcome = run(request, tmp_path / "out", networks=networks)
    source = read_source(phantom[0])
    with Image.open(tmp_path / "out" / "png" / "0001.png") as image:
        found = np.asarray(image)
    deep = source.bits_stored > 8
    assert found.dtype == (np.uint16 if deep else np.uint8)
    assert found.shape == source.shape
    stored = pydicom.dcmread(tmp_path / "out" / "cf" / "0001.dcm").pixel_array
    top = 65535 if deep else 255
    np.testing.assert_array_equal(outcome.stored[0], stored)
    shown = outcome.counterfactuals[0]
    np.testing.assert_allclose(found / top, shown, atol=0.51 / top)
    masks = read_segmentation(tmp_path / "out" / "seg.dcm", source)
    outside = ~(masks["edit_region"] | masks["edit_band"])
    np.testing.assert_array_equal(shown[outside], outcome.source[outside])
    assert (shown != outcome.source).any()
    assert set(outcome.masks) == set(masks)
    for name, mask in masks.items():
        np.testing.assert_array_equal(outcome.masks[name], mask)


def test_the_marks_say_what_it_is_to_people_and_programs(
    tiny_folder: Path, networks: Networks, tmp_path: Path
) -> None:
    phantom = made(tmp_path, Spec())
    whole = {"sampling": {"steps": 4}, "output": {"composite": "none"}}
    for name, kind, fields in (
        ("part", "compositeWithTrainedAlgorithmicMedia", {}),
        ("all", "trainedAlgorithmicMedia", {"overrides": whole}),
    ):
        out = tmp_path / name
        outcome = run(request_on(phantom, tiny_folder, png=True, **fields), out, networks=networks)
        (file,) = [file for file in outcome.files if file.role == "png"]
        assert file.path == out / "png" / "0001.png"
        assert source_type(file.path) == VOCABULARY + kind
        with Image.open(file.path) as image:
            told = dict(image.info)
        assert told["Title"].startswith("SYNTHETIC")
        assert told["Warning"].startswith("SYNTHETIC - research only. Not for diagnosis.")
        assert told["Description"].startswith("SYNTHETIC")
        assert "Doe" not in str(told)


def test_a_png_more_changes_no_other_file(
    tiny_folder: Path, networks: Networks, tmp_path: Path
) -> None:
    plain = request_on(made(tmp_path, Spec()), tiny_folder, seeds=(), levels=(0.5, 1.0))
    files: list[dict[str, Any]] = []
    for name, png in (("without", False), ("with", True)):
        request = replace(plain, png=png)
        outcome = run(request, tmp_path / name, networks=networks)
        assert len(outcome.counterfactuals) == 2
        files.append(contents(tmp_path / name))
    added = {name: files[1].pop(name) for name in ("png/0001.png", "png/0002.png")}
    assert added["png/0001.png"] != added["png/0002.png"]
    for one in files:  # it lists the files
        one.pop("report.json")
    assert files[0] == files[1]
    assert replace(plain, png=True).hash() == plain.hash()
    assert from_json({"source": "a.dcm", "prompt": "mass", "png": True}).png


def test_a_burnt_in_mark_is_in_the_png_too(
    tiny_folder: Path, networks: Networks, tmp_path: Path
) -> None:
    phantom = made(tmp_path, Spec())
    outcome = run(request_on(phantom, tiny_folder, png=True, burn_in=True), tmp_path / "out",
                  networks=networks)  # fmt: skip
    with Image.open(tmp_path / "out" / "png" / "0001.png") as image:
        found = np.asarray(image)
    corner = found[:5, :20]
    assert set(np.unique(corner)) == {0, 65535}
    assert outcome.counterfactuals[0][:5, :20].max() == 1


def test_our_png_is_refused_as_a_source_unless_synthetic_ones_are_allowed(
    tiny_folder: Path, networks: Networks, tmp_path: Path
) -> None:
    values = (phantom(120, 96) * 255).astype(np.uint8)
    source, _ = made(tmp_path, Spec())
    picture = tmp_path / "scan.png"
    Image.fromarray(values).save(picture)
    masks = str(tmp_path / "labels.png")
    raster = ReadOptions(allow_raster=True)
    request = EditRequest(str(picture), prompt="left pleural effusion", masks=masks, reading=raster,
                          backbone=str(tiny_folder), png=True, preset="fast")  # fmt: skip
    outcome = run(request, tmp_path / "out", networks=networks)
    ours = tmp_path / "out" / "png" / "0001.png"
    allowed = outcome.masks["edit_region"] | outcome.masks["edit_band"]
    with Image.open(ours) as image:
        assert (np.asarray(image)[~allowed] == values[~allowed]).all()
    with pytest.raises(UnsupportedImage) as caught:
        read_source(ours, raster)
    assert caught.value.code == "synthetic"
    assert "--allow-synthetic" in caught.value.hint
    again = read_source(ours, ReadOptions(allow_raster=True, allow_synthetic=True))
    assert "synthetic" in [code for code, _ in again.warnings]
    assert read_source(source).header is not None


def test_an_outcome_without_arrays_says_so() -> None:
    with pytest.raises(BadRequest, match="no arrays"):
        _ = Outcome((), {}, {}, (), Path("report.json")).source
