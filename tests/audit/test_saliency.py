# SPDX-License-Identifier: Apache-2.0
"""The right map beats the wrong one in every planted case, an even one is at chance; files."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK
from PIL import Image
from scipy import ndimage

from monai_cxr_cf.audit.adapters.declared import Declared
from monai_cxr_cf.audit.adapters.load import load_classifier
from monai_cxr_cf.audit.measuring.captum_maps import mapper
from monai_cxr_cf.audit.measuring.saliency import agreement, find_map, read_map, transplanted
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.errors import BadRequest, ComponentMissing, UnreadableInput
from tests.audit import models, stubs


def test_the_right_map_beats_the_wrong_one_and_an_even_one_is_at_chance():
    model, even = stubs.classifier(stubs.in_corner), []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        shown = stubs.trial(stubs.picture(0, rng), stubs.EFFUSIONS[seed % 2], rng)
        where = ndimage.gaussian_filter(np.abs(shown.change), 1)
        noise = rng.random((64, 64)).astype(np.float32)
        right, wrong = where + 0.02 * noise, where[:, ::-1] + 0.02 * noise
        best, worst, none = (agreement(m, shown.change) for m in (right, wrong, noise))
        assert all(best[name] > worst[name] for name in ("pointing", "mass", "iou"))
        even.append(none["mass"] - none["chance"])
        if seed % 10 == 0:
            assert transplanted(model, shown, right, 0) > transplanted(model, shown, wrong, 0)
    assert abs(np.mean(even)) < 0.005
    assert agreement(np.zeros((64, 64)), shown.change)["mass"] == 0


@pytest.mark.parametrize("ending", ["npy", "nrrd", "nii", "nii.gz", "png"])
def test_maps_are_read_from_files(root, tmp_path, ending):
    source = read_source(root / "docs" / "example.dcm")
    saliency = np.linspace(0, 200, source.pixels.size).reshape(source.shape).astype(np.uint8)
    path = tmp_path / f"x.{ending}"
    if ending == "npy":
        np.save(path, saliency)
    elif ending == "png":
        Image.fromarray(saliency).save(path)
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(saliency), str(path))
    assert find_map(tmp_path, ("y", "x")) == path
    assert np.array_equal(read_map(path, source), saliency)
    np.save(tmp_path / "small.npy", np.ones((1, 8, 8)) * -1)
    assert read_map(tmp_path / "small.npy", source).max() == 0
    (tmp_path / "bad.npy").write_bytes(b"x")
    np.save(tmp_path / "flat.npy", np.ones(3))
    for name, words in (("bad", "cannot be read"), ("flat", "expected H x W")):
        with pytest.raises(UnreadableInput, match=words):
            read_map(tmp_path / f"{name}.npy", source)


class Gradients:
    """In place of Captum's."""

    def __init__(self, forward):
        self.forward = forward

    def attribute(self, batch, target):
        self.forward(batch.requires_grad_())[:, target].sum().backward()
        return batch.grad * batch


@pytest.mark.parametrize("fit", ["pad", "stretch", "crop"])
def test_captum_maps_lie_on_the_image(tmp_path, monkeypatch, fit):
    models.bundle(tmp_path / "b")
    model = load_classifier(str(tmp_path / "b"), Declared(models.LABELS, (16, 16), fit))
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ComponentMissing, match="package captum"):
        mapper(model)
    with pytest.raises(BadRequest, match="torch module"):
        mapper(stubs.classifier(stubs.blind))
    for name in ("captum", "captum.attr"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(IntegratedGradients=Gradients))
    found = mapper(model)(np.full((48, 96), 0.5, np.float32), 0)
    assert found.shape == (48, 96)
    y, x = np.argwhere(found > found.max() / 2).mean(0)
    assert y > 30
    assert x == pytest.approx({"pad": 18, "stretch": 18, "crop": 33}[fit], abs=1.5)
