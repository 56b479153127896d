# SPDX-License-Identifier: Apache-2.0
"""Rows as a run writes them, and index rows, made by hand for tests."""

from typing import Any

from monai_cxr_cf.data.folder import Row

JUDGES = {
    "j2": {
        "name": "test judge",
        "findings": ["pleural effusion", "cardiomegaly", "nodule"],
        "auc": {
            "pleural effusion": {"auc": 0.9, "low": 0.8, "high": 0.95},
            "cardiomegaly": {"auc": 0.85},
            "nodule": {"auc": 0.6},
        },
    }
}


def index_row(name: str, **cells: Any) -> Row:
    """A row of index.csv: a PA radiograph without findings."""
    values = {
        "id": name, "source": "nih", "patient": f"p_{name}", "view": "PA", "age": 50, "sex": "F",
        "labels": ("No Finding",), "text": "", "split": "test", "organ_mask": frozenset(),
        "retrocardiac_mask": False, "landmarks": frozenset(), "licence": "",
        "weights_may_ship": "yes",
    }  # fmt: skip
    return Row(**{**values, **cells})


def row(patient: str = "p1", **fields: Any) -> dict[str, Any]:
    """An edit that meets every criterion: a left effusion that everyone sees."""
    values: dict[str, Any] = {
        "key": f"{patient}-0", "trial": patient, "config": "c", "input": f"i_{patient}",
        "patient": patient, "view": "PA", "cell": "add left effusion, PA",
        "group": "add left effusion", "finding": "pleural effusion", "side": "left", "zone": None,
        "direction": "add", "kind": "edit", "prompt": "moderate left pleural effusion", "seed": 0,
        "backbone": "cxr-mini", "geometry_gain": 2.0, "outside_max_diff": 0,
        "dice": {"right_lung": 0.99, "left_lung": 0.7, "heart": 0.9},
        "mean_shift_side": {"asked": 20.0, "other": 0.0}, "verdict": "passed",
        "verdict_failed": [], "landmark_drift_px": 3.0, "inside_share": 0.8,
        "mean_shift_region": 20.0, "ssim_inside": 0.8, "ssim_outside": 1.0, "lpips_inside": None,
        "lpips_outside": None, "seconds": 5.0, "j1_before": None, "j1_after": None,
        "j2_before": {"pleural effusion": 0.1, "cardiomegaly": 0.1, "nodule": 0.1},
        "j2_after": {"pleural effusion": 0.6, "cardiomegaly": 0.1, "nodule": 0.1},
    }  # fmt: skip
    return {**values, **fields}


def sham(patient: str, gain: float, **fields: Any) -> dict[str, Any]:
    """A control edit whose geometry moved by ``gain``; the judge sees nothing."""
    quiet = {"pleural effusion": 0.1, "cardiomegaly": 0.1, "nodule": 0.1}
    values = {"key": f"{patient}-s-{gain}", "kind": "sham", "geometry_gain": gain}
    return row(patient, **{**values, "j2_before": quiet, "j2_after": quiet, **fields})
