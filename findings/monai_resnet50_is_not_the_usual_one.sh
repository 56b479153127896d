#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# MONAI's resnet50 is, by its defaults, not the ResNet-50 whose weights everybody has.
#
# The stem of the published network, of torchvision's and of transformers', halves the picture.
# MONAI's conv1_t_stride is 1 by default (as its MedicalNet weights want it), and its shortcut
# convolutions have a bias. The names of all other weights are torchvision's.
# Seen: MONAI 1.6.1, torch 2.13.0 (CPU): for 224 px the last map is 14 x 14, usual is 7 x 7; with
# weights under torchvision's names only four biases are missing, so strict=False or one flag
# (bias_downsample=False) loads them, and the features are others. With conv1_t_stride=2 and
# bias_downsample=False it is the usual network.
# Why it matters: a frozen classifier or a feature network of chest radiographs then gives plausible
# figures that are none of its own, at about four times the cost.
# Source: docstring of monai.networks.nets.ResNet, conv1_t_stride and bias_downsample.
# Exit code: 0 while this is so, 1 if it has changed.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 monai==1.6.1 transformers==5.23.0
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import re
import sys

import monai
import torch
from monai.networks.nets import resnet50
from transformers import ResNetConfig, ResNetModel

torch.manual_seed(0)
usual = ResNetModel(ResNetConfig()).eval()  # a ResNet-50


def name(key):
    for old, new in (("embedder.embedder.convolution", "conv1"), ("embedder.embedder.normalization", "bn1"),
                     ("shortcut.convolution", "downsample.0"), ("shortcut.normalization", "downsample.1")):
        key = key.replace(old, new)
    key = re.sub(r"\.layer\.(\d)\.(conv|norm)\w*", lambda m: f".{m[2].replace('norm', 'bn')}{int(m[1]) + 1}", key)
    return re.sub(r"encoder\.stages\.(\d)\.layers", lambda m: f"layer{int(m[1]) + 1}", key)


weights = {name(k): v for k, v in usual.state_dict().items()}
picture = torch.rand(1, 3, 224, 224)


def look(**options):
    net = resnet50(spatial_dims=2, n_input_channels=3, num_classes=2, **options).eval()
    left = net.load_state_dict(weights, strict=False)
    assert not left.unexpected_keys
    kept = []
    net.layer4.register_forward_hook(lambda _m, _i, out: kept.append(out))
    with torch.no_grad():
        net(picture)
        theirs = usual(picture).pooler_output.flatten()
    ours = kept[0].mean((2, 3)).flatten()
    same = torch.allclose(ours, theirs, atol=1e-4)
    missing = [k for k in left.missing_keys if not k.startswith("fc.")]
    print(options, "last map", tuple(kept[0].shape[2:]), "missing", len(missing), "same", same)
    return kept[0].shape[2], len(missing), same


print("MONAI", monai.__version__, "torch", torch.__version__)
found = look(), look(bias_downsample=False), look(bias_downsample=False, conv1_t_stride=2)
sys.exit(0 if found == ((14, 4, False), (14, 0, False), (7, 0, True)) else 1)
PYTHON
