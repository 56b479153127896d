# SPDX-License-Identifier: Apache-2.0
"""Rows of two precisions or devices are not mixed in one folder; those of before stay valid."""

from types import SimpleNamespace

import pytest
import torch

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.edits.protocol import digest
from monai_cxr_cf.evaluation.edits.runner import Tools, header_of
from monai_cxr_cf.evaluation.edits.store import open_rows

FILES = {"unet/x.safetensors": "0" * 64}
TRIAL = SimpleNamespace(settings=SimpleNamespace(backbone="b", segmenter="s"))


def header(device="cpu", dtype=torch.float32):
    backbone = SimpleNamespace(
        files=FILES, device=torch.device(device), dtype=dtype, compiled=False
    )
    networks = SimpleNamespace(
        backbone=lambda spec: backbone, segmenter=lambda kind: SimpleNamespace(sha256="1" * 64)
    )
    bench = SimpleNamespace(networks=networks, judges={}, lpips=None, extra=None)
    return header_of([TRIAL], bench, Tools())


def test_rows_in_float32_on_a_cpu_go_on_as_before():
    assert header()["weights"]["backbone b"] == digest(sorted(FILES.items()))


@pytest.mark.parametrize("place", [{"dtype": torch.bfloat16}, {"device": "cuda"}])
def test_rows_of_another_precision_or_device_are_refused(place, tmp_path):
    open_rows(tmp_path / "out", header())
    with pytest.raises(BadRequest, match="other weights: backbone b"):
        open_rows(tmp_path / "out", header(**place))


def test_tools_hand_the_place_to_the_networks(tmp_path):
    networks = Tools(device="cpu", precision="bf16").load(tmp_path).networks
    assert (networks.device, networks.precision) == ("cpu", "bf16")
    before = Tools().load(tmp_path).networks
    assert (before.device, before.precision) == ("cpu", "fp32")
