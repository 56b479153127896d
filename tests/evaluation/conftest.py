# SPDX-License-Identifier: Apache-2.0
"""A data folder of ten real radiographs without findings, five PA and five AP."""

import csv
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def normals(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten rows of the test split; the images stay where they are."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "images").symlink_to(shared / "data" / "cxr" / "images")
    with (shared / "data" / "cxr" / "index.csv").open(newline="") as stream:
        reader = csv.DictReader(stream)
        rows = [r for r in reader if r["split"] == "test" and r["labels"] == "No Finding"]
    chosen = [r for view in ("PA", "AP") for r in [r for r in rows if r["view"] == view][:5]]
    with (folder / "index.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, reader.fieldnames or ())
        writer.writeheader()
        writer.writerows(chosen)
    return folder
