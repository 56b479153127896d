# SPDX-License-Identifier: Apache-2.0
"""A door's process loads what an edit uses; what was put off is there once it is asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from monai_cxr_cf import imports

ROOT = Path(__file__).resolve().parents[1]
EDITED = """
import json, sys
from monai_cxr_cf import cli
code = cli.main(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]))
"""
NEVER_USED = {
    *("torch._dynamo.symbolic_convert", "torch._inductor", "torch.distributed.tensor"),
    *("diffusers.models.transformers.transformer_flux", "diffusers.models.unets.unet_1d"),
    *("scipy.stats._continuous_distns", "scipy.optimize._linprog"),
    *("monai.bundle", "monai.engines", "monai.networks.nets.swin_unetr"),
}
# 3,334 with the locked versions; one more compiler or model zoo adds hundreds.
MODULES = 3600


def run(code: str, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, env=environment, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.splitlines()[-1]


def test_an_edit_loads_no_compiler_and_no_zoo(tmp_path: Path) -> None:
    words = ("docs/example.dcm", "--prompt", "moderate left pleural effusion")
    options = ("--out", str(tmp_path / "out"), "--preset", "fast", "--progress", "none")
    code, loaded = json.loads(run(EDITED, "edit", *words, *options))
    assert code == 0
    assert {"diffusers", "transformers", "torch._dynamo"} <= set(loaded)
    assert "monai" not in loaded  # the shipped judge and segmenter need nothing of it
    assert not NEVER_USED & set(loaded)
    assert len(loaded) < MODULES


def test_what_was_put_off_is_the_real_thing_when_asked_for() -> None:
    """Functions, classes and submodules; PyTorch's compiler runs."""
    code = """
from monai_cxr_cf import imports
imports.prepare()
import sys
from importlib import metadata
import torch
with imports.loading():
    from diffusers import UNet2DConditionModel
    from monai.data import MetaTensor
    from monai.networks.nets.densenet import DenseNet
kept = [type(sys.modules[name]).__name__ for name in ("torch._dynamo", "monai")]
import scipy.stats, scipy.optimize, scipy.signal, matplotlib.pyplot, monai
from diffusers.models.transformers import FluxTransformer2DModel
from monai.networks.nets import UNet
pairs = scipy.optimize.linear_sum_assignment([[2, 1], [1, 2]])[1].tolist()
classes = matplotlib.pyplot.Figure, FluxTransformer2DModel, UNet, monai.bundle.ConfigParser
compiled = torch.compile(lambda x: x + 1, backend="eager")
print([*kept, round(float(scipy.stats.norm.cdf(1.96)), 4), pairs, *(c.__name__ for c in classes),
    compiled(torch.zeros(1)).item(), monai.__version__ == metadata.version("monai")])
"""
    assert run(code) == (
        "['PutOff', 'PutOff', 0.975, [1, 0], 'Figure', 'FluxTransformer2DModel', 'UNet', "
        "'ConfigParser', 1.0, True]"
    )


def test_a_stand_in_calls_the_function_of_its_name() -> None:
    assigned = imports.PUT_OFF["scipy.optimize"]["linear_sum_assignment"]
    assert assigned([[2, 1], [1, 2]])[1].tolist() == [1, 0]


def test_marks_for_the_compiler_leave_a_function_as_it_is() -> None:
    mark = imports.PUT_OFF["torch._dynamo"]["disable"]
    assert mark(len) is len
    assert mark(None, recursive=False, reason="hooks")(len) is len


def test_a_process_that_only_imports_us_is_left_alone() -> None:
    code = """
import sys
before = list(sys.meta_path)
import monai_cxr_cf.pipeline
print(sys.meta_path == before, "torch" in sys.modules)
"""
    assert run(code) == "True True"


def test_loading_puts_everything_back_after_an_error() -> None:
    code = """
from monai_cxr_cf import imports
imports.prepare()
import gc
from torch import distributed
said = distributed.is_available
inside = []
try:
    with imports.loading(), imports.loading():
        inside = gc.isenabled(), distributed.is_available()
        import no_such_module
except ModuleNotFoundError as error:
    print(inside, error.name, gc.isenabled(), distributed.is_available is said)
"""
    assert run(code) == "(False, False) no_such_module True True"


def test_rubbish_is_not_kept_when_nothing_was_loaded() -> None:
    code = """
from monai_cxr_cf import imports
imports.prepare()
import gc
with imports.loading():
    import wave
frozen = gc.get_freeze_count()
with imports.loading():
    import wave
print(frozen > 0, gc.get_freeze_count() == frozen)
"""
    assert run(code) == "True True"


def test_loading_in_another_process_changes_nothing() -> None:
    code = """
import gc
from torch import distributed
from monai_cxr_cf import imports
said, frozen = distributed.is_available, gc.get_freeze_count()
with imports.loading():
    import wave
    inside = distributed.is_available is said, gc.isenabled()
print(inside, gc.get_freeze_count() == frozen)
"""
    assert run(code) == "(True, True) True"


@pytest.mark.parametrize("first", ["monai.transforms", "monai.losses", "monai.networks.blocks"])
def test_every_part_of_monai_can_be_the_first_that_is_asked_for(first: str) -> None:
    """MONAI's packages import each other in circles, which its own first file enters in order."""
    code = """
from importlib import import_module
from monai_cxr_cf import imports
imports.prepare()
import sys
first = import_module(sys.argv[1])
import monai.transforms
from monai.data.dataset import Compose
from monai.networks.blocks import Convolution
print(first is sys.modules[sys.argv[1]], Compose is monai.transforms.Compose,
    monai.transforms is sys.modules["monai.transforms"], Convolution.__module__)
"""
    assert run(code, first) == "True True True monai.networks.blocks.convolutions"
