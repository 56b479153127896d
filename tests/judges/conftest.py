# SPDX-License-Identifier: Apache-2.0
"""A tiny real judge: the network cut short, random weights, saved as a judge's folder."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from monai_cxr_cf.judges.networks import JudgeNetwork, Shape
from monai_cxr_cf.training.classifier.export import write_judge

FINDINGS = ("cardiomegaly", "pleural effusion", "consolidation")
TINY = Shape(side=64, detail=64, depth=5, hidden=8)


@pytest.fixture(scope="session")
def tiny_judge(tmp_path_factory) -> Path:
    """The folder of a judge that knows three findings; only two of them count."""
    folder = tmp_path_factory.mktemp("judges") / "tiny"
    torch.manual_seed(0)
    network = JudgeNetwork(TINY, len(FINDINGS)).eval()
    measured = {"low": 0.7, "high": 0.95, "positives": 9, "negatives": 90}
    config = {
        "name": "tiny",
        "licence": "research only",
        "findings": list(FINDINGS),
        "shape": asdict(TINY),
        "auc": {
            "cardiomegaly": {"auc": 0.9, **measured},
            "pleural effusion": {"auc": 0.8, **measured},
            "consolidation": {"auc": 0.79, **measured},
        },
        "training": {"images": {"nih": 90}, "patients": 80, "minutes": 1.0, "tuning": {}},
    }
    write_judge(folder, network, config)
    return folder
