# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf segment`` on a real radiograph: files that agree with each other and can be fed back."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from monai_cxr_cf.anatomy.user_masks import read_masks
from monai_cxr_cf.cli import main
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.seg_read import read_segmentation

pytestmark = pytest.mark.weights


def test_segment_writes_masks_that_agree_and_can_be_fed_back(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = shared / "data" / "nih1024" / "00745.png", tmp_path / "masks"
    words = ["segment", str(source), "--out", str(out), "--allow-raster", "--json"]
    assert main([*words, "--prompt", "left pleural effusion"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {p.name for p in out.iterdir()} == {"overlay.png", "labels.png", "seg.dcm"}
    assert told["segmenter"]["licence"]
    radiograph = read_source(source, ReadOptions(allow_raster=True))
    drawn = read_masks(out / "labels.png", radiograph.shape)
    coded = read_segmentation(out / "seg.dcm", radiograph)
    for name in ("right_lung", "left_lung", "heart"):
        assert np.array_equal(drawn[name], coded[name])
        assert told["pixels"][name] == int(drawn[name].sum()) > 10_000
    region = coded["edit_region"]
    assert region.any()
    assert (region & drawn["left_lung"]).sum() > 0.9 * region.sum()


def test_a_job_file_shows_where_its_edit_would_act(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, drawn = root / "docs" / "example.dcm", tmp_path / "drawn.png"
    radiograph = read_source(source, ReadOptions())
    box = np.zeros(radiograph.shape, np.uint8)
    box[300:400, 500:650] = 1
    Image.fromarray(box).save(drawn)
    finding = {"finding": "pleural effusion", "side": "left", "severity": 0.7}
    job = {"source": str(source), "findings": [finding], "preset": "fast", "seeds": [1]}
    regions = {}
    for name, more in (("words", {}), ("drawn", {"roi": str(drawn)})):
        (tmp_path / "job.json").write_text(json.dumps(job | more))
        words = ["segment", "--request", str(tmp_path / "job.json"), "--json"]
        assert main([*words, "--out", str(tmp_path / name)]) == 0
        told = json.loads(capsys.readouterr().out)
        masks = read_segmentation(tmp_path / name / "seg.dcm", radiograph)
        regions[name] = masks["edit_region"]
        assert told["pixels"]["edit_region"] == int(masks["edit_region"].sum())
    assert np.array_equal(regions["drawn"], box > 0)
    assert (regions["words"] & masks["left_lung"]).sum() > 0.9 * regions["words"].sum() > 0


def test_segment_refuses_what_is_no_chest_and_shows_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    y, x = np.mgrid[:256, :256]
    Image.fromarray(((x // 32 + y // 32) % 2 * 200).astype(np.uint8)).save(tmp_path / "board.png")
    words = ["segment", str(tmp_path / "board.png"), "--out", str(tmp_path / "o")]
    assert main([*words, "--allow-raster"]) == 2
    told = capsys.readouterr().err
    assert "frontal chest" in told
    assert "labels.png" in told
    assert "--roi" in told
    assert sorted(p.name for p in tmp_path.iterdir()) == ["board.png", "o"]
    assert {"overlay.png", "labels.png"} <= {p.name for p in (tmp_path / "o").iterdir()}
    with Image.open(tmp_path / "o" / "labels.png") as labels:
        assert labels.size == (256, 256)


def test_segment_says_what_the_reader_and_the_masks_warn_of(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ds = dcmread(root / "docs" / "example.dcm")
    upright = read_source(root / "docs" / "example.dcm")
    ds.decompress()
    stored = ds.pixel_array[:, ::-1]
    ds.PixelData, ds.PatientOrientation = stored.tobytes(), ["R", "F"]
    ds.save_as(source := tmp_path / "mirrored.dcm")
    words = ["segment", str(source), "--out", str(tmp_path / "o"), "--json"]
    assert main(words) == 0
    told = capsys.readouterr()
    assert "warning: The header says that the picture is stored mirrored" in told.err
    assert "orientation" in [w["code"] for w in json.loads(told.out)["warnings"]]
    with Image.open(tmp_path / "o" / "labels.png") as image:
        labels = np.asarray(image)
    columns = [np.nonzero(labels == value)[1].mean() for value in (1, 2)]
    assert columns[0] > columns[1], "the right lung lies on the right of the file's own pixels"
    radiograph = read_source(source)
    assert np.array_equal(radiograph.stored, upright.stored)
    masks = read_segmentation(tmp_path / "o" / "seg.dcm", radiograph)
    assert np.array_equal(masks["right_lung"], labels[:, ::-1] == 1)
    assert np.array_equal(dcmread(tmp_path / "o" / "seg.dcm").pixel_array[0], labels == 1)
    ignored = [*words, "--overwrite", "--orientation", "L/F"]
    assert main(ignored) == 0
    assert "The heart lies on the patient's right" in capsys.readouterr().err


def test_pixels_that_are_not_square_are_seen_as_an_edit_sees_them(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ds = dcmread(root / "docs" / "example.dcm")
    ds.ImagerPixelSpacing = [0.25, 0.2]
    ds.save_as(source := tmp_path / "wide.dcm")
    assert read_source(source, ReadOptions()).aspect == pytest.approx(1.25)
    job = {"source": str(source), "prompt": "left pleural effusion"}
    (tmp_path / "job.json").write_text(json.dumps(job))
    told = []
    for name, words in (
        ("file", [str(source), "--prompt", job["prompt"]]),
        ("job", ["--request", str(tmp_path / "job.json")]),
    ):
        assert main(["segment", *words, "--json", "--out", str(tmp_path / name)]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0]["pixels"] == told[1]["pixels"]
