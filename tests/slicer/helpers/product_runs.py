# SPDX-License-Identifier: Apache-2.0
"""Runs of the product on phantoms, in its own environment: ``product_runs.py FOLDER``.

Makes ``FOLDER/KIND/source.dcm`` and ``out/`` for each kind, and ``events.ndjson``, what the runner
tells first and last. One process for all, because loading the weights takes longest.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_cxr_cf import __version__, pipeline
from monai_cxr_cf.request import from_json
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.progress import Events
from monai_cxr_cf.runs.result import result_of
from tests.dicom.factory import KINDS, Spec, phantom_masks, save

ROOT = Path(__file__).resolve().parents[3]
MONO1 = KINDS["cr-mono1-10"].with_(WindowCenter=665, WindowWidth=716)
ASKED: dict[str, tuple[Spec, dict[str, Any]]] = {
    "plain": (Spec(), {"prompt": "moderate left pleural effusion"}),
    "sweep": (
        Spec(seed=20),
        {
            "findings": [{"finding": "cardiomegaly", "severity": 0.7}],
            "levels": [0.5, 1.0],
            "seeds": [3, 4],
        },
    ),
    "mono1": (MONO1, {"prompt": "severe left pleural effusion"}),
    "calibrated": (KINDS["cr-mono2-12-sigmoid"], {"prompt": "no cardiomegaly"}),
    "same": (Spec(seed=21), {"prompt": "left pleural effusion", "iod": "same"}),
}


EXAMPLE = {"source": str(ROOT / "docs" / "example.dcm"), "prompt": "moderate left pleural effusion"}


def labels(path: Path, spec: Spec) -> str:
    """A label picture of the phantom's organs, which no segmenter has to find."""
    picture = np.zeros((spec.rows, spec.columns), np.uint8)
    for value, mask in enumerate(phantom_masks(spec.rows, spec.columns).values(), 1):
        picture[mask] = value
    Image.fromarray(picture).save(path)
    return str(path)


def run(asked: dict[str, Any], here: Path, networks: Networks) -> None:
    """One run: its files, and its events."""
    outcome = pipeline.run(from_json(asked), here / "out", networks=networks, arrays=True)
    with (here / "events.ndjson").open("w") as stream:
        events = Events(stream)
        events.hello({"version": __version__, "device": "cpu"})
        events.result(result_of(outcome, here / "out"))


def main(folder: Path) -> None:
    """All kinds, one after another; ``example`` is the shipped radiograph at full quality."""
    networks = Networks()
    for kind, (spec, asked) in ASKED.items():
        here = folder / kind
        here.mkdir(parents=True)
        few = {"masks": labels(here / "labels.png", spec), "overrides": {"sampling": {"steps": 4}}}
        source = {"source": str(save(here / "source.dcm", spec))}
        run(source | few | asked, here, networks)
    here = folder / "example"
    here.mkdir()
    shutil.copyfile(EXAMPLE["source"], here / "source.dcm")
    run(EXAMPLE, here, networks)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
