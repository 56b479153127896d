# SPDX-License-Identifier: Apache-2.0
"""Shared by all tests: reference data, one state of chance, and the rule that CI skips nothing."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz import FACTOR
from tests.posix import posix

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure(config):
    """Drawn cases are the same in every run; ``make fuzz`` draws new ones, and more of them."""
    if find_spec("hypothesis") is None:  # the viewer's environment has no such tests
        return
    from hypothesis import settings

    settings.register_profile("same", derandomize=True)
    settings.register_profile("fuzz", print_blob=True, max_examples=100 * FACTOR)
    settings.load_profile("same" if FACTOR == 1 else "fuzz")


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's own folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real radiographs, masks and vocabularies beside the checkout; a visible skip without them."""
    folder = ROOT.parent / "shared"
    if not (folder / "data" / "cxr" / "index.csv").is_file():
        pytest.skip("the reference data (../shared) is not on this machine")
    return folder


def pytest_collection_modifyitems(items):
    """The server lives on locks, signals and limits of POSIX systems."""
    for item in items:
        if {"server", "label_client"} & set(item.path.relative_to(ROOT).parts):
            item.add_marker(posix)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Networks made in a test do not depend on which tests ran before it on the same worker."""
    if "torch" in sys.modules:  # the tests of the Slicer extension live without it
        sys.modules["torch"].manual_seed(0)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """With CI=true a skipped test is a failed one: CI must run everything."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped under CI: {report.longrepr}"


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A tiny real Stable Diffusion v1 pipeline at random weights, saved as a diffusers folder."""
    from diffusers import DDIMScheduler

    from monai_cxr_cf.diffusion.model.single_file import SD1_SCHEDULER
    from monai_cxr_cf.diffusion.model.tiny import tiny_backbone

    folder = tmp_path_factory.mktemp("backbones") / "tiny"
    backbone = tiny_backbone(side=64)
    for name in ("unet", "vae", "text_encoder"):
        getattr(backbone, name).save_pretrained(folder / name)
    backbone.tokenizer.save_pretrained(folder / "tokenizer")
    DDIMScheduler(**SD1_SCHEDULER).save_pretrained(folder / "scheduler")
    components = {
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    index = {"_class_name": "StableDiffusionPipeline", **components}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
