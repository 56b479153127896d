# SPDX-License-Identifier: Apache-2.0
"""The gate that every bundle of MONAI's model zoo passes, offline, and the traps on the way."""

import configparser
import copy
import json
import re
import shutil
import warnings
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import monai.bundle
import pytest
import torch
import yaml
from monai.bundle.config_item import ComponentLocator
from monai.bundle.config_parser import ConfigParser

from monai_cxr_cf.anatomy.hybridgnet import HybridGNet
from monai_cxr_cf.runs.networks import Networks
from tests.bundle.tiny import BUNDLE, CONFIGS, workflow
from tests.training.small_data import write_small_data

METADATA = json.loads((CONFIGS / "metadata.json").read_text())
FILES = {path.name: json.loads(path.read_text()) for path in sorted(CONFIGS.glob("*.json"))}
FORMATS = [name for name in METADATA if name.endswith("_data_format")]


@pytest.fixture(scope="module")
def schema(shared: Path) -> dict[str, Any]:
    """MONAI's metadata schema, as its URL gives it."""
    loaded: dict[str, Any] = json.loads(
        (shared / "schema" / METADATA["schema"].rsplit("/", 1)[1]).read_text()
    )
    return loaded


def leaves(node: Any, path: str = "") -> list[tuple[str, Any]]:
    """(id, value) of every plain value of a configuration."""
    if isinstance(node, dict):
        return [leaf for key, value in node.items() for leaf in leaves(value, f"{path}#{key}")]
    if isinstance(node, list):
        return [leaf for i, value in enumerate(node) for leaf in leaves(value, f"{path}#{i}")]
    return [(path, node)]


def test_metadata_is_verified_offline_once_the_schema_lies_in_eval(
    shared: Path, tmp_path: Path
) -> None:
    shutil.copytree(CONFIGS, tmp_path / "configs")
    (tmp_path / "eval").mkdir()
    name = METADATA["schema"].rsplit("/", 1)[1]
    shutil.copy(shared / "schema" / name, tmp_path / "eval" / "schema.json")
    monai.bundle.verify_metadata(
        meta_file=str(tmp_path / "configs" / "metadata.json"),
        filepath=str(tmp_path / "eval" / "schema.json"),
    )
    broken = {key: value for key, value in METADATA.items() if key != "copyright"}
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    with pytest.raises(ValueError, match="Failed validating"):
        monai.bundle.verify_metadata(
            meta_file=str(tmp_path / "broken.json"),
            filepath=str(tmp_path / "eval" / "schema.json"),
        )


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("required_packages_version", None),
        ("network_data_format", None),
        ("network_data_format#inputs#image#value_range", None),
        ("authors", ["a list"]),
        ("references", [{"title": "an object"}]),
    ],
)
def test_what_the_schema_refuses_is_not_in_ours(
    schema: dict[str, Any], where: str, value: Any
) -> None:
    jsonschema.Draft201909Validator(schema).validate(METADATA)
    broken = copy.deepcopy(METADATA)
    *parents, last = where.split("#")
    node = broken
    for key in parents:
        node = node[key]
    node.pop(last)
    if value is not None:
        node[last] = value
    assert list(jsonschema.Draft201909Validator(schema).iter_errors(broken))


def test_metadata_names_version_formats_and_labels() -> None:
    assert METADATA["version"] in METADATA["changelog"]
    assert {"network_data_format", "unet_data_format", "vae_data_format"} <= set(FORMATS)
    assert "text_encoder_data_format" in FORMATS
    labels = METADATA["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert labels == {"0": "background", "1": "right lung", "2": "left lung", "3": "heart"}


@pytest.mark.weights
def test_formats_of_the_generator_are_those_of_the_shipped_networks() -> None:
    backbone = Networks(models=BUNDLE / "models").backbone("cxr-mini")
    unet, vae, text = (METADATA[f"{n}_data_format"] for n in ("unet", "vae", "text_encoder"))
    assert unet["inputs"]["sample"]["num_channels"] == backbone.unet.config.in_channels
    assert unet["outputs"]["sample"]["num_channels"] == backbone.unet.config.out_channels
    assert vae["inputs"]["sample"]["num_channels"] == backbone.vae.config.in_channels
    positions = backbone.text_encoder.config.max_position_embeddings
    assert text["inputs"]["input_ids"]["spatial_shape"] == [positions]
    assert text["outputs"]["last_hidden_state"]["num_channels"] == positions


def test_network_takes_and_gives_what_the_metadata_promise() -> None:
    monai.bundle.verify_net_in_out(
        net_id="network_def",
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / "inference.json"),
        device="cpu",
    )
    # MONAI looks at channels and dtype alone.
    parser = ConfigParser(FILES["inference.json"])
    pred = parser.get_parsed_content("network_def").eval()(torch.rand(2, 1, 256, 256))
    promised = METADATA["network_data_format"]["outputs"]["pred"]
    assert list(pred.shape) == [2, promised["num_channels"], *promised["spatial_shape"]]
    assert torch.equal(pred.sum(1), torch.ones(2, 256, 256))  # one-hot


def test_inference_has_every_property() -> None:
    assert workflow("inference.json", "infer").check_properties() == []


def test_training_has_every_property(tmp_path: Path) -> None:
    data = write_small_data(tmp_path / "cxr")
    ready = workflow("train.json", "train", dataset_dir=str(data), side=64)
    assert ready.check_properties() == []


@pytest.mark.weights
def test_checkpoint_becomes_torchscript_with_the_same_masks(tmp_path: Path) -> None:
    monai.bundle.ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(BUNDLE / "models" / "model.pt"),
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / "inference.json"),
    )
    script, meta, _ = monai.data.load_net_with_metadata(tmp_path / "model.ts")
    image = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(1))
    shipped = Networks(models=BUNDLE / "models").segmenter("hybridgnet").network
    with torch.no_grad():
        assert torch.equal(script(image), shipped(image))
    assert meta["version"] == METADATA["version"]


@pytest.mark.weights
def test_load_gives_a_network_with_our_weights() -> None:
    # With YAML alone MONAI would silently return the state dict.
    assert not list(CONFIGS.glob("*.y*ml"))
    network = monai.bundle.load(
        BUNDLE.name, bundle_dir=BUNDLE.parent, source="github", repo="none/none/none", device="cpu"
    )
    assert isinstance(network, HybridGNet)
    weights = torch.load(BUNDLE / "models" / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in weights.values())  # a plain state dict
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[name].to(value.dtype))


def test_configurations_are_declarations() -> None:
    for name, content in FILES.items():
        texts = [(where, value) for where, value in leaves(content) if isinstance(value, str)]
        for where, value in texts:
            if value.startswith("$"):
                assert len(value) < 100, f"{name}{where} is a program"
                assert not re.search(r"lambda|def |exec|eval\(|;|\n| for ", value), f"{name}{where}"
        targets = [value for where, value in texts if where.endswith("_target_")]
        assert not {"LoadImaged", "Orientationd", "SaveImaged", "SaveImage"} & set(targets)
        for target in targets:
            known = ComponentLocator().get_component_module_name(target)
            assert known or monai.utils.module.locate(target), f"{name}: {target}"


def test_parsing_a_configuration_warns_that_it_is_code() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        workflow("inference.json", "infer")
    assert any("GHSA-873f-pvrv-4x83" in str(warning.message) for warning in seen)


def test_logging_uses_the_standard_library_alone() -> None:
    parser = configparser.RawConfigParser()
    parser.read(CONFIGS / "logging.conf")
    classes = [parser[s]["class"] for s in parser.sections() if "class" in parser[s]]
    assert classes == ["StreamHandler"]


def test_large_files_are_listed_with_their_hash_and_can_be_fetched(tmp_path: Path) -> None:
    listed = yaml.safe_load((BUNDLE / "large_files.yml").read_text())["large_files"]
    large = {
        path.relative_to(BUNDLE).as_posix()
        for path in (BUNDLE / "models").rglob("*")
        if path.is_file() and path.stat().st_size > 25_000_000
    }
    assert {entry["path"] for entry in listed} == large
    for entry in listed:
        digest = sha256((BUNDLE / entry["path"]).read_bytes()).hexdigest()
        assert entry["hash_val"] == digest, "set hash_val in large_files.yml"
    # Fetching works offline from file:// addresses, checked by hash.
    local = [{**e, "url": (BUNDLE / e["path"]).as_uri()} for e in listed]
    (tmp_path / "large_files.yml").write_text(yaml.safe_dump({"large_files": local}))
    monai.bundle.download_large_files(bundle_path=str(tmp_path))
    assert all((tmp_path / entry["path"]).is_file() for entry in listed)


def test_every_folder_of_weights_carries_its_licence() -> None:
    models = BUNDLE / "models"
    suffixes = (".pt", ".safetensors")
    holders = {path.parent for path in models.rglob("*") if path.suffix in suffixes}
    for folder in holders:
        above = [folder, *folder.relative_to(models).parents]
        places = [models / place for place in above]
        assert any((place / "LICENSE").is_file() for place in places if place != models) or (
            folder == models and (models / "LICENSE").is_file()
        ), folder
    for name in ("LICENSE", "docs/README.md", "docs/data_license.txt"):
        assert (BUNDLE / name).is_file()
