# SPDX-License-Identifier: Apache-2.0
"""The edit transforms in anybody's Compose: the pipeline's bytes, each alone, what is missing."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from monai.transforms import Compose
from PIL import Image

from monai_cxr_cf import pipeline
from monai_cxr_cf.anatomy.hybridgnet import HybridGNet
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.seg_read import read_segmentation
from monai_cxr_cf.errors import BadRequest, UnreadableInput
from monai_cxr_cf.request import from_json
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.transforms import (
    CompositeNatived,
    EditCounterfactuald,
    LoadCXRDicomd,
    RegionFromRequestd,
    SegmentOrgansd,
    WriteCounterfactuald,
    WriteReportd,
    WriteSegmentationd,
    cases,
)
from monai_cxr_cf.transforms.items import cleaned
from monai_cxr_cf.transforms.segmenter import UNSTATED, adopted
from tests.dicom.factory import Spec, phantom_masks, save
from tests.folders import contents


@pytest.fixture(scope="module")
def networks() -> Networks:
    """Loaded once."""
    return Networks()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A phantom and its masks."""
    folder, spec = tmp_path_factory.mktemp("phantom"), Spec()
    labels = np.zeros((spec.rows, spec.columns), np.uint8)
    for value, mask in enumerate(phantom_masks(spec.rows, spec.columns).values(), 1):
        labels[mask] = value
    Image.fromarray(labels).save(folder / "labels.png")
    return {
        "image": str(save(folder / "x.dcm", spec)),
        "masks": str(folder / "labels.png"),
    }


@pytest.fixture(scope="module")
def fields(source: dict[str, str], tiny_folder: Path) -> dict[str, Any]:
    """A request on it, as a configuration would give it."""
    return {
        "prompt": "moderate left pleural effusion",
        "masks": source["masks"],
        "backbone": str(tiny_folder),
        "overrides": {"sampling": {"steps": 4}, "boost": {}},
        "reading": {},
    }


@pytest.fixture(scope="module")
def edited(source: dict[str, str], fields: dict[str, Any], networks: Networks) -> dict[Any, Any]:
    """One item after the sampler and the composite, shared by the tests of the writers."""
    seen: list[str] = []
    chain = Compose(
        [
            LoadCXRDicomd("image"),
            SegmentOrgansd("image", networks, request=fields),
            RegionFromRequestd("image", networks),
            EditCounterfactuald("image", networks, progress=lambda e: seen.append(e["stage"])),
            CompositeNatived("image", networks),
        ]
    )
    item: dict[Any, Any] = chain({"image": source["image"]})
    assert "sample" in seen
    return item


def test_a_compose_writes_the_pipelines_bytes(
    edited: dict[Any, Any], source: dict[str, str], fields: dict[str, Any],
    networks: Networks, tmp_path: Path,
) -> None:  # fmt: skip
    writers = Compose(
        [
            WriteCounterfactuald("image", tmp_path / "chain", last=False),
            WriteSegmentationd("image", last=False),
            WriteReportd("image"),
        ]
    )
    item = writers(dict(edited))
    request = from_json({**cleaned(fields), "source": source["image"]})
    outcome = pipeline.run(request, tmp_path / "run", networks=networks)
    assert contents(tmp_path / "chain") == contents(tmp_path / "run")
    assert item["image_outcome"].verdict == outcome.verdict
    listed = [f.path.relative_to(tmp_path / "chain") for f in item["image_files"]]
    assert listed == [f.path.relative_to(tmp_path / "run") for f in outcome.files]
    assert all(f.path.is_file() for f in item["image_files"])


def test_the_steps_leave_tensors_that_other_transforms_can_use(edited: dict[Any, Any]) -> None:
    shape = edited["image"].shape[1:]
    assert set(np.unique(edited["image_organs"].numpy())) == {0, 1, 2, 3}
    region, weight, change = (edited[f"image_{n}"] for n in ("region", "weight", "change"))
    assert region.shape[1:] == weight.shape[1:] == change.shape[1:] == shape
    assert change.abs().max() > 0
    assert change[:, weight[0] == 0].abs().max() == 0
    assert not change.requires_grad


def test_each_writer_works_alone(edited: dict[Any, Any], tmp_path: Path) -> None:
    alone = WriteCounterfactuald("image", tmp_path / "cf")(_fresh(edited))
    assert [f.role for f in alone["image_files"]] == ["cf"]
    assert pydicom.dcmread(tmp_path / "cf" / "cf" / "0001.dcm").ConversionType == "SYN"
    WriteReportd("image", tmp_path / "report")(_fresh(edited))
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert "cf" not in {entry["role"] for entry in report["files"]}
    assert (tmp_path / "report" / "sr.dcm").is_file()


def _fresh(edited: dict[Any, Any]) -> dict[Any, Any]:
    """The item as it was before any writer."""
    return {key: value for key, value in edited.items() if key != "image_writing"}


def test_masks_are_written_without_any_edit(
    source: dict[str, str], fields: dict[str, Any], networks: Networks, tmp_path: Path
) -> None:
    chain = Compose(
        [
            LoadCXRDicomd("image"),
            SegmentOrgansd("image", networks, request=fields),
            WriteSegmentationd("image", tmp_path / "out"),
        ]
    )
    item = chain({"image": source["image"]})
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["seg.dcm"]
    before = read_source(source["image"])
    masks = read_segmentation(tmp_path / "out" / "seg.dcm", before)
    assert set(masks) == {"right_lung", "left_lung", "heart"}
    assert np.array_equal(masks["heart"], item["image_organs"].numpy()[0] == 3)


def test_a_writer_that_fails_leaves_nothing(edited: dict[Any, Any], tmp_path: Path) -> None:
    item = WriteCounterfactuald("image", tmp_path / "out", last=False)(_fresh(edited))
    assert not (tmp_path / "out").exists()
    item["image_writing"].masks = {"no such organ": np.ones((2, 2), bool)}
    with pytest.raises(BadRequest):
        WriteSegmentationd("image", last=False)(item)
    assert not list(tmp_path.iterdir())


def test_a_missing_step_is_named(source: dict[str, str]) -> None:
    item = LoadCXRDicomd("image")({"image": source["image"]})
    for transform, wanted in (
        (RegionFromRequestd("image", request={"prompt": "edema"}), "SegmentOrgansd"),
        (EditCounterfactuald("image"), "RegionFromRequestd"),
        (WriteReportd("image", "unused"), "CompositeNatived"),
    ):
        with pytest.raises(BadRequest, match=wanted):
            transform(item)
    with pytest.raises(BadRequest, match="LoadCXRDicomd"):
        SegmentOrgansd("image")({"image": torch.zeros(1, 8, 8)})


@pytest.mark.weights
def test_only_the_shipped_weights_carry_the_shipped_name_hash_and_licence(
    networks: Networks,
) -> None:
    shipped = networks.segmenter("hybridgnet")
    network = HybridGNet(16)
    network.load_state_dict(shipped.network.state_dict())
    assert adopted(network, networks).sha256 == shipped.sha256
    network.get_parameter("spot.bias").data += 1
    other = adopted(network, networks)
    assert other.sha256 != shipped.sha256
    assert other.licence == UNSTATED
    again = adopted(network, networks)
    assert again.sha256 == other.sha256
    assert again.network is not network


def test_fields_of_a_command_line_are_set_right() -> None:
    given = {
        "prompt": ("edema", "effusion"),
        "seeds": 3,
        "levels": (0.5, 1),
        "masks": None,
        "overrides": {"boost": {"eta": 2}, "gate": {}},
        "reading": {},
    }
    assert cleaned(given) == {
        "prompt": "edema, effusion",
        "seeds": [3],
        "levels": [0.5, 1],
        "overrides": {"boost": {"eta": 2}},
    }


def test_cases_are_checked_before_anything_slow(source: dict[str, str], tmp_path: Path) -> None:
    fields = {"prompt": "edema"}
    (item,) = cases(source["image"], fields, output_dir=tmp_path / "out")
    assert item["output"] == str(tmp_path / "out")
    assert item["request"].source == source["image"]
    assert cases("", fields) == []
    with pytest.raises(BadRequest, match="output"):
        cases(source["image"], fields, output_dir="")
    rows = [source["image"], {"image": source["image"], "findings": [{"finding": "cardiomegaly"}]}]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    one, two = cases(tmp_path / "list.json", fields, output_dir=tmp_path / "out")
    assert (one["output"], two["output"]) == (
        str(tmp_path / "out" / "0001"),
        str(tmp_path / "out" / "0002"),
    )
    assert (one["request"].prompt, two["request"].prompt) == ("edema", "")
    (tmp_path / "in").mkdir()
    for name in ("a.dcm", "b.dcm"):
        shutil.copy(source["image"], tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    listed = cases(tmp_path / "in", fields, output_dir=tmp_path / "out")
    assert [Path(item["image"]).name for item in listed] == ["a.dcm", "b.dcm"]
    assert [Path(item["output"]).name for item in listed] == ["0001", "0002"]
    for content, error in (
        ("no JSON", UnreadableInput),
        ('{"training": []}', UnreadableInput),
        ('[{"prompt": "edema"}]', BadRequest),
        (json.dumps([{"image": source["image"], "colour": "red"}]), BadRequest),
    ):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(error):
            cases(tmp_path / "bad.json", fields, output_dir=tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableInput, match="DICOM image"):
        cases(tmp_path / "empty", fields, output_dir=tmp_path / "out")
