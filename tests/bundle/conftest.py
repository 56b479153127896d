# SPDX-License-Identifier: Apache-2.0
"""A tiny edit that both doors can do, once a session."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bundle.tiny import BUNDLE, PROMPT
from tests.dicom.factory import Spec, phantom_masks, save


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A DX phantom and its organ masks: paths ``source`` and ``masks``."""
    folder, spec = tmp_path_factory.mktemp("phantom"), Spec()
    labels = np.zeros((spec.rows, spec.columns), np.uint8)
    for value, mask in enumerate(phantom_masks(spec.rows, spec.columns).values(), 1):
        labels[mask] = value
    Image.fromarray(labels).save(folder / "labels.png")
    source = save(folder / "source.dcm", spec)
    return {"source": str(source), "masks": str(folder / "labels.png")}


@pytest.fixture
def settings(phantom: dict[str, str], tiny_folder: Path) -> dict[str, object]:
    """Overrides of ``inference.json`` for one tiny edit of the phantom."""
    return {
        "bundle_root": str(BUNDLE),
        "source": phantom["source"],
        "prompt": PROMPT,
        "request#masks": phantom["masks"],
        "request#backbone": str(tiny_folder),
        "request#overrides#sampling#steps": 4,
    }
