# SPDX-License-Identifier: Apache-2.0
"""The light model-zoo entry, the model card, the licences, and what the bundle's command needs."""

import re
import subprocess
import sys
import tomllib
from hashlib import sha256
from pathlib import Path

import monai.bundle
import pytest
import yaml

from tests.bundle.tiny import BUNDLE


def light(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``python bundles/light.py WORDS``."""
    return subprocess.run(
        [sys.executable, "bundles/light.py", *words],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip


def files(folder: Path) -> dict[str, Path]:
    """Every file below, by its relative name."""
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}


def test_the_light_entry_fetches_every_weight_that_it_leaves_out(
    root: Path, tmp_path: Path
) -> None:
    entry = tmp_path / "models" / "cxr_counterfactual"
    done = light(root, str(entry), "--url", BUNDLE.as_uri() + "/")
    assert done.returncode == 0, done.stderr
    whole, made = files(BUNDLE), files(entry)
    left_out = {name for name in whole if name.endswith((".pt", ".safetensors"))}
    assert len(left_out) == 7
    assert set(made) == {n for n in whole if "__pycache__" not in n} - left_out
    assert sum(path.stat().st_size for path in made.values()) < 1_000_000
    told = yaml.safe_load((entry / "large_files.yml").read_text())["large_files"]
    assert {one["path"] for one in told} == left_out
    monai.bundle.download_large_files(bundle_path=str(entry))
    for name in left_out:
        assert (
            sha256((entry / name).read_bytes()).digest()
            == sha256(whole[name].read_bytes()).digest()
        )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new", "--url", "hub.invalid/x"], "starts with none of"),
        ([".", "--url", "https://h"], "already"),
        (["new"], "--url"),
    ],
)
def test_an_entry_that_cannot_be_made_is_refused(
    words: list[str], said: str, root: Path, tmp_path: Path
) -> None:
    done = light(root, str(tmp_path / words[0]), *words[1:])
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_card_states_another_licence_and_its_links_lead_somewhere() -> None:
    text = (BUNDLE / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(text.split("---")[1])
    assert (front["license"], front["license_link"]) == ("other", "LICENSE")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) >= 6
    assert [link for link in links if not (BUNDLE / link).is_file()] == []


def test_the_licence_names_the_terms_of_every_folder_of_weights() -> None:
    text = (BUNDLE / "LICENSE").read_text(encoding="utf-8")
    head = text.split("Apache License\n")[0]
    models = BUNDLE / "models"
    holders = {p.parent for p in models.rglob("*") if p.suffix in (".pt", ".safetensors")}
    for folder in holders:
        inside = folder.relative_to(BUNDLE).as_posix()
        named = "models/model.pt" if folder == models else re.sub("(cxr-mini)/.*", r"\1", inside)
        assert named in head, inside
    for words in ("research", "non-commercial", "Apache-2.0", "docs/data_license.txt"):
        assert words in head
    assert "Version 2.0, January 2004" in text


def test_the_bundle_s_command_needs_no_extra(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert [line for line in project["dependencies"] if line.startswith("fire>=")]
    assert "bundle" not in project["optional-dependencies"]
    for page in ("README.md", "bundles/cxr_counterfactual/docs/README.md"):
        assert "[bundle]" not in (root / page).read_text(encoding="utf-8")
    assert re.search(r"^fire==", (root / "constraints.txt").read_text(), re.MULTILINE)
