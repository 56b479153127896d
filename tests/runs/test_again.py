# SPDX-License-Identifier: Apache-2.0
"""Edits of one radiograph after another: the same bytes as alone, with less to compute."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_cxr_cf import cli
from monai_cxr_cf.anatomy.segment import Segmenter
from monai_cxr_cf.pipeline import run
from monai_cxr_cf.runs.networks import Networks
from tests.dicom.factory import Spec
from tests.folders import contents
from tests.test_pipeline import made, request_on

QUICK = {"sampling": {"steps": 4}, "start": {"kind": "edit_friendly"}}
EDITS: dict[str, dict[str, Any]] = {
    "addition": {},
    "other words": {"prompt": "mild left pleural effusion"},
    "removal": {"prompt": "no cardiomegaly"},
    "mixed": {"prompt": "left pleural effusion, no cardiomegaly"},
    "sham": {"sham": True},
    "other finding": {"prompt": "right upper lobe nodule"},
    "levels": {"levels": (0.0, 0.5, 1.0)},
    "seeds": {"seeds": (1, 2, 3)},
    "ddim": {"overrides": {"sampling": {"steps": 4}, "start": {"kind": "ddim"}}},
    "strength": {"overrides": {"sampling": {"steps": 4}}},
    "paper": {"preset": "paper", "overrides": {"sampling": {"steps": 3}}},
    "fast": {"preset": "fast"},
    "other network": {"segmenter": "unet"},
}
EVERYTHING = {"organs": 1, "latent": 1, "reference": 1, "inversion": 2, "text": 3, "opinion": 1}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A DX phantom with its organ masks as PNG: (file, masks)."""
    return made(tmp_path_factory.mktemp("phantom"), Spec())


@pytest.fixture(scope="module")
def warm(
    tmp_path_factory: pytest.TempPathFactory, phantom: tuple[str, str], tiny_folder: Path
) -> Networks:
    """Networks that all edits of this module share, and that have seen one edit."""
    networks = Networks(cache=tmp_path_factory.mktemp("cache"))
    run(asked(phantom, tiny_folder), tmp_path_factory.mktemp("before") / "out", networks=networks)
    return networks


def asked(phantom: tuple[str, str], tiny_folder: Path, name: str = "addition", **more: Any) -> Any:
    fields = {"overrides": QUICK, "seeds": (1,), **EDITS[name], **more}
    return request_on(phantom, tiny_folder, **fields)


def forgetful(networks: Networks) -> Networks:
    """The same loaded networks with an empty memory and no folder."""
    fresh = Networks(models=networks.models, _loaded=dict(networks._loaded))
    for (kind, spec), part in networks._loaded.items():
        if kind == "backbone":
            fresh._loaded[kind, spec] = replace(part, recall=fresh.memory)
    return fresh


def report(folder: Path) -> dict[str, Any]:
    """The report that a run has written."""
    told: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return told


@pytest.mark.parametrize("name", list(EDITS))
def test_an_edit_writes_the_same_bytes_whatever_is_kept(
    name: str, phantom: tuple[str, str], tiny_folder: Path, warm: Networks, tmp_path: Path
) -> None:
    request = asked(phantom, tiny_folder, name)
    other_process = Networks(cache=warm.cache)
    runs = {"first": warm, "second": warm, "folder": other_process, "cold": forgetful(warm)}
    for where, networks in runs.items():
        run(request, tmp_path / where, networks=networks, arrays=True)
    cold = contents(tmp_path / "cold")
    assert {name.split("/")[0] for name in cold} == {
        *("cf", "diff", "seg.dcm", "sr.dcm", "preview.png", "trace.png", "masks.npz"),
        *("report.json", *(["sheet.png"] if name in ("levels", "seeds") else [])),
    }
    for where in ("first", "second", "folder"):
        assert contents(tmp_path / where) == cold, where
    told = {where: report(tmp_path / where)["run"] for where in runs}
    assert told["second"]["recalled"] == told["folder"]["recalled"]
    assert told["second"]["recalled"].keys() >= {"organs", "latent", "reference", "opinion"}
    assert told["cold"]["recalled"].keys() <= {"text"}  # two empty prompts of one edit
    saved = {where: told[where]["sampling"]["recalled_f"] for where in runs}
    assert saved["second"] == saved["folder"] > saved["cold"] == 0


def test_the_report_says_what_was_not_computed_and_f_stays_the_method_s(
    phantom: tuple[str, str], tiny_folder: Path, warm: Networks, tmp_path: Path
) -> None:
    request = asked(phantom, tiny_folder)
    run(request, tmp_path / "one", networks=forgetful(warm))
    run(request, tmp_path / "two", networks=warm)
    cold, told = report(tmp_path / "one"), report(tmp_path / "two")
    assert told["run"]["recalled"] == EVERYTHING
    assert told["trace"] == cold["trace"]
    cost = told["trace"]["cost"]
    assert cost["calls"]["inversion"] == 2
    saved = told["run"]["sampling"]["recalled_f"]
    assert cost["f"]["inversion"] < saved < cost["f"]["inversion"] + cost["f"]["vae"]


def test_your_own_masks_change_the_gate_and_not_what_the_segmenter_drew(
    phantom: tuple[str, str], tiny_folder: Path, warm: Networks, tmp_path: Path
) -> None:
    other = replace(asked(phantom, tiny_folder), masks=None)
    run(other, tmp_path / "two", networks=warm)
    recalled = report(tmp_path / "two")["run"]["recalled"]
    assert recalled == {k: v for k, v in EVERYTHING.items() if k != "inversion"}


def test_the_same_values_shown_otherwise_are_another_image(
    tiny_folder: Path, warm: Networks, phantom: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    moved = made(tmp_path / "other", Spec(voi="sigmoid"))  # the same stored values, shown otherwise
    run(asked(moved, tiny_folder), tmp_path / "two", networks=warm)
    assert report(tmp_path / "two")["run"]["recalled"] == {"text": 3}


def test_only_the_source_is_kept(
    phantom: tuple[str, str], tiny_folder: Path, warm: Networks, tmp_path: Path
) -> None:
    fresh = forgetful(warm)
    run(asked(phantom, tiny_folder, "seeds"), tmp_path / "one", networks=fresh)
    kept = sorted(shapes(fresh))
    assert kept == sorted(
        [
            ((1,), (120, 96), (120, 2)),  # agreement, labels, landmarks of the source
            *[((3, 4, 8, 8),)] * 2,  # the inversion's predictions
            *[((1, 4, 8, 8),), ((64, 64),)],  # E(x), D(E(x))
            *[((1, 77, 24),)] * 3,  # states of the prompt, the source's text and the empty text
            ((8,),),  # the classifier's view
        ]
    )


def shapes(networks: Networks) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Shapes of the arrays of each entry."""
    for entry in networks.memory._entries.values():
        yield tuple(entry[name].shape for name in sorted(entry))


def test_the_command_line_keeps_a_folder_without_names(
    phantom: tuple[str, str], tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["edit", phantom[0], "--masks", phantom[1], "--backbone", str(tiny_folder)]
    words += ["--prompt", "left pleural effusion", "--sampling-steps", "4", "--seed", "1"]
    words += ["--cache", str(tmp_path / "cache"), "--cache-mb", "5", "--progress", "none"]
    for name in ("one", "two"):
        assert cli.main([*words, "--out", str(tmp_path / name)]) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert report(tmp_path / "two")["run"]["recalled"].keys() == EVERYTHING.keys() - {"inversion"}
    for path in (tmp_path / "cache").iterdir():
        assert len(path.stem) == 64
        with np.load(path, allow_pickle=False) as file:
            assert all(file[name].dtype.kind in "fuib" for name in file.files)
    file = next((tmp_path / "cache").iterdir())
    words = ["segment", phantom[0], "--out", str(tmp_path / "organs"), "--cache", str(file)]
    assert cli.main(words) == 2
    assert "--cache names a file" in capsys.readouterr().err


def test_the_segmenter_looks_at_a_source_once(
    phantom: tuple[str, str], tiny_folder: Path, warm: Networks, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    looked: list[bytes] = []
    real = Segmenter.__call__

    def looking(self: Segmenter, pixels: Any, *rest: Any, **named: Any) -> Any:
        looked.append(pixels.tobytes())
        return real(self, pixels, *rest, **named)

    monkeypatch.setattr(Segmenter, "__call__", looking)
    fresh = forgetful(warm)
    for name in ("addition", "other words", "sham"):
        run(asked(phantom, tiny_folder, name), tmp_path / name, networks=fresh)
    assert len(looked) == 1 + 3  # the source, and each counterfactual for its verdict
    assert len(set(looked)) == 4
