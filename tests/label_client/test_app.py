# SPDX-License-Identifier: Apache-2.0
"""The MONAI Label app: its task against the real base class, its main file against stand-ins."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.label_client.environment import packages

# MONAI Label's packages come last on the path: only ``monailabel`` itself is taken from there.
TASK = """
import json, sys
sys.path += [sys.argv[1], sys.argv[2]]
from pathlib import Path
import SimpleITK
from lib.counterfactual import Counterfactual
from monailabel.interfaces.tasks.infer_v2 import InferTask
task = Counterfactual(Path(sys.argv[4]))
label, params = task({"image": sys.argv[3]})
image = SimpleITK.ReadImage(label)
Path(label).unlink()
values = sorted(set(SimpleITK.GetArrayViewFromImage(image).ravel().tolist()))
print(json.dumps({"real": isinstance(task, InferTask), "valid": task.is_valid(),
                  "info": task.info(), "params": params, "values": values,
                  "size": image.GetSize()}))
"""
MAIN = """
import importlib.abc, importlib.machinery, json, sys
from types import ModuleType

class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        wanted = name == "monailabel.interfaces.app"
        return importlib.machinery.ModuleSpec(name, self) if wanted else None
    def create_module(self, spec):
        module = ModuleType(spec.name)
        class MONAILabelApp:
            def __init__(self, app_dir, studies, conf, name="", description="", version="",
                         labels=None):
                self.app_dir, self.conf, self.name = app_dir, conf, name
                self.infers = self.init_infers()
        module.MONAILabelApp = MONAILabelApp
        return module
    def exec_module(self, module):
        pass

sys.meta_path.insert(0, StandIns())
sys.path += [sys.argv[1], sys.argv[2]]
import main
app = main.MyApp(sys.argv[2], "studies", {"results": sys.argv[3]})
print(json.dumps({"name": app.name, "infers": list(app.infers)}))
"""


def said(script: str, *words: str) -> dict[str, Any]:
    """What a script prints, run in a fresh interpreter of this environment."""
    done = subprocess.run(
        [sys.executable, "-c", script, *words], check=False, capture_output=True, text=True,
        timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def app(root: Path) -> str:
    """The app's folder."""
    return str(root / "bundles" / "monailabel_app")


def test_the_task_fits_the_real_base_class_and_finds_organs(
    app: str, root: Path, tmp_path: Path
) -> None:
    image = str(root / "docs" / "example.dcm")
    found = said(TASK, str(packages()), app, image, str(tmp_path))
    assert (found["real"], found["valid"]) == (True, True)
    assert found["info"]["type"] == "segmentation"
    assert found["info"]["labels"] == found["params"]["label_names"]
    assert found["values"] == [0, 1, 2, 3]
    assert found["size"] == [964, 1024, 1]
    assert not list(tmp_path.iterdir()), "no prompt, no counterfactual"


def test_the_app_offers_its_one_task(app: str, tmp_path: Path) -> None:
    found = said(MAIN, str(packages()), app, str(tmp_path))
    assert found == {"name": "monai_cxr_cf", "infers": ["cxr_counterfactual"]}
