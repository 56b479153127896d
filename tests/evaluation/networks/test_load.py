# SPDX-License-Identifier: Apache-2.0
"""Networks of a user: torchvision's keys find their places, pictures are shown as published."""

import base64
import json
import re
from zlib import crc32

import numpy as np
import pytest
import torch
from monai.networks.nets import DenseNet121
from safetensors.torch import save_file
from transformers import Dinov2Config, Dinov2Model, ResNetConfig, ResNetModel

from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.evaluation.networks.inception import InceptionFid
from monai_cxr_cf.evaluation.networks.load import Looks, load_conf, load_vectors, shown_to
from tests.methods.peers.fixed import STORED

IMAGE = np.random.default_rng(0).random((40, 30)).astype(np.float32)


def folder(path, weights, **looks):
    path.mkdir(exist_ok=True)
    (path / "network.json").write_text(json.dumps(looks))
    save_file({k: v.contiguous() for k, v in weights.items()}, path / "model.safetensors")
    return path


def torchvision_keys(model):
    """A MONAI DenseNet's weights under torchvision's names, without its counters."""
    return {
        k.replace(".layers.", ".").replace("class_layers.out.", "classifier."): v
        for k, v in model.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }


@pytest.fixture(scope="module")
def dense():
    torch.manual_seed(0)
    return DenseNet121(spatial_dims=2, in_channels=1, out_channels=2).eval()


def test_a_densenet_with_keys_of_torchvision_is_that_densenet(dense, tmp_path) -> None:
    place = folder(tmp_path / "xrv", torchvision_keys(dense), kind="xrv_densenet121", side=32,
                   labels=["Effusion", "Edema"], auc={"Edema": 0.9})  # fmt: skip
    x = shown_to(Looks("xrv_densenet121", 32), IMAGE)
    assert x.shape == (1, 1, 32, 32)
    assert -1024 <= float(x.min()) < float(x.max()) <= 1024
    with torch.no_grad():
        told = torch.sigmoid(dense(x))[0]
    effusion, edema = (load_conf(place, f) for f in ("pleural effusion", "pulmonary edema"))
    assert float(effusion.predict([IMAGE])[0]) == pytest.approx(float(told[0]), abs=1e-5)
    assert (effusion.auc, edema.auc, edema.name) == (None, 0.9, "xrv")
    with pytest.raises(BadRequest, match="no output 'nodule'"):
        load_conf(place, "nodule")
    vectors = load_vectors(str(place))
    assert vectors.vectors([IMAGE, IMAGE]).shape == (2, 1024)
    assert len(vectors.sha256) == 64


def test_an_operating_point_becomes_one_half(dense, tmp_path) -> None:
    weights = torchvision_keys(dense)
    plain = folder(tmp_path / "a", weights, kind="xrv_densenet121", side=32, labels=["x", "y"])
    p = float(load_conf(plain, "x").predict([IMAGE])[0])
    moved = folder(tmp_path / "b", weights, kind="xrv_densenet121", side=32, labels=["x", "y"],
                   operating=[p, p])  # fmt: skip
    assert float(load_conf(moved, "x").predict([IMAGE])[0]) == pytest.approx(0.5, abs=1e-5)


def test_conf_sees_eight_bits_stretched_and_normalised() -> None:
    x = shown_to(Looks("densenet121", 20), IMAGE)
    assert x.shape == (1, 3, 20, 20)
    back = x[0, 0] * 0.229 + 0.485
    grey = torch.from_numpy(np.rint(IMAGE * 255) / 255)[None, None]
    wanted = torch.nn.functional.interpolate(grey, (20, 20), mode="bilinear")[0, 0]
    assert torch.allclose(back, wanted, atol=1e-6)
    cut = shown_to(Looks("densenet121", 30, "crop"), IMAGE)
    assert torch.allclose(cut[0, 0] * 0.229 + 0.485, grey[0, 0, 5:35], atol=1e-6)


def test_inception_has_the_port_s_shapes_and_forgets_its_classes(tmp_path) -> None:
    torch.manual_seed(0)
    made = InceptionFid().eval()
    assert sum(p.numel() for p in made.parameters()) == 21_785_568  # without the 1,008 classes
    weights = {**made.state_dict(), "fc.weight": torch.zeros(2, 2048)}
    place = folder(tmp_path / "i", weights, kind="inception_fid", side=299)
    assert load_vectors(str(place)).vectors([IMAGE]).shape == (1, 2048)


def test_inception_gives_the_activations_of_torch_fidelity_s() -> None:
    made = InceptionFid().eval()
    for name, weight in made.named_parameters():
        if weight.ndim < 2:
            weight.data.fill_(float(name.endswith("weight")))
            continue
        drawn = np.random.RandomState(crc32(name.encode())).standard_normal(weight.shape)
        scale = np.sqrt(2 / np.prod(weight.shape[1:]))
        weight.data = torch.from_numpy((drawn * scale).astype(np.float32))
    x = np.random.RandomState(5).standard_normal((1, 3, 107, 107)).astype(np.float32)
    told = json.loads(STORED.read_text(encoding="utf-8"))["results"]["inception"]
    theirs = torch.tensor(np.frombuffer(base64.b85decode(told), np.float32))
    with torch.no_grad():
        ours = made(torch.from_numpy(x))[0, ::64]
    assert float(theirs.std()) > 0.1
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_a_resnet_with_keys_of_torchvision_is_that_of_transformers(tmp_path) -> None:
    torch.manual_seed(0)
    peer = ResNetModel(ResNetConfig()).eval()  # a ResNet-50
    for name, value in peer.state_dict().items():
        if name.endswith(("running_mean", "normalization.bias")):
            value.normal_(0, 0.1)
    weights = {
        torchvision_name(name): value
        for name, value in peer.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    weights |= {"fc.weight": torch.eye(2048)[:2] / 9, "fc.bias": torch.zeros(2)}
    place = folder(tmp_path / "r", weights, kind="resnet50", side=64, labels=["x", "Edema"])
    with torch.no_grad():
        told = peer(shown_to(Looks("resnet50", 64), IMAGE)).pooler_output[0, :, 0, 0]
    found = load_vectors(str(place)).vectors([IMAGE])[0]
    assert float(told.std()) > 0.01
    assert np.allclose(found, told.numpy(), atol=1e-5)
    edema = load_conf(place, "pulmonary edema").predict([IMAGE])[0]
    assert float(edema) == pytest.approx(float(torch.sigmoid(told[1] / 9)), abs=1e-6)


def torchvision_name(name):
    """A key of transformers' ResNet as torchvision has it."""
    for pattern, plain in (
        (r"embedder\.embedder\.convolution", "conv1"),
        (r"embedder\.embedder\.normalization", "bn1"),
        (r"shortcut\.convolution", "downsample.0"),
        (r"shortcut\.normalization", "downsample.1"),
    ):
        name = re.sub(pattern, plain, name)
    part = r"layer\.(\d)\.(convolution|normalization)"
    short = {"convolution": "conv", "normalization": "bn"}
    name = re.sub(part, lambda m: f"{short[m[2]]}{int(m[1]) + 1}", name)
    stage = r"encoder\.stages\.(\d)\.layers"
    return re.sub(stage, lambda m: f"layer{int(m[1]) + 1}", name)


def test_rad_dino_s_kind_is_read_by_transformers(tmp_path) -> None:
    config = Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                          intermediate_size=16, image_size=28, patch_size=14)  # fmt: skip
    Dinov2Model(config).save_pretrained(tmp_path)
    shown = {"crop_size": {"height": 28}, "image_mean": [0.5] * 3, "image_std": [0.2] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(shown))
    found = load_vectors(str(tmp_path))
    assert found.vectors([IMAGE]).shape == (1, 16)
    assert found.name.startswith("dinov2 (")


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        ({"kind": "vgg"}, "kind 'vgg'"),
        ({"kind": "densenet121", "pixels": 3}, "describes no network"),
        ({"kind": "densenet121", "labels": ["a"]}, "missing keys"),
    ],
)
def test_what_is_no_network_is_refused(tmp_path, looks, words) -> None:
    place = folder(tmp_path / "net", {"a": torch.zeros(1)}, **looks)
    with pytest.raises(BadRequest, match=words):
        load_vectors(str(place))


def test_nothing_is_fetched_unasked(tmp_path) -> None:
    for spec in ("nobody/nothing", str(tmp_path / "gone")):
        with pytest.raises(ComponentMissing, match="neither a folder nor a hub id"):
            load_vectors(spec)
