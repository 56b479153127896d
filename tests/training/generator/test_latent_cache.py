# SPDX-License-Identifier: Apache-2.0
"""The latent cache follows its collection: new and changed radiographs, captions, bad files."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_cxr_cf.data.captioned import Collection
from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.training.generator import latent_cache
from monai_cxr_cf.training.generator.latent_cache import (
    CacheSpec,
    LatentCache,
    fill_cache,
    open_cache,
)
from monai_cxr_cf.training.generator.reports import ReportBatches
from monai_cxr_cf.training.processes import start_accelerator

SPEC = CacheSpec("folder", ("PA",), side=16, versions=2, seed=1, vae="x")
HEAD = "id,patient,view,split,labels\n"


class Mean:
    """The least that ``encode`` asks of a VAE: the picture's mean in every cell."""

    device = torch.device("cpu")

    def encode(self, pixels: torch.Tensor) -> "Mean":
        self.mean = pixels.mean().expand(1, 4, 2, 2)
        return self

    @property
    def latent_dist(self) -> "Mean":
        return self


def grey(folder: Path, name: str, value: int) -> None:
    (folder / "images").mkdir(exist_ok=True)
    Image.fromarray(np.full((16, 16), value, np.uint8)).save(folder / "images" / f"{name}.png")


def table(folder: Path, names: str, label: str = "Effusion") -> None:
    rows = [f"{n},p{n},PA,{'judge' if n in 'yz' else 'train'},{label}" for n in names]
    (folder / "index.csv").write_text(HEAD + "\n".join(rows) + "\n")


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """Four radiographs to learn from, two that watch."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number, name in enumerate("abcdeyz"):
        grey(folder, name, 30 * number)
    table(folder, "abcdyz")
    return Collection(folder)


def filled(out: Path, collection: Collection) -> LatentCache:
    """The cache, opened and filled."""
    cache = open_cache(out, collection, SPEC, held_out=2)
    fill_cache(cache, collection, vae=Mean(), spec=SPEC, team=start_accelerator("no"))
    return cache


def by_name(cache: LatentCache) -> dict[str, np.ndarray]:
    return {row.id: np.array(z) for row, z in zip(cache.rows, cache.latents, strict=True)}


def open_ones(out: Path, collection: Collection) -> list[str]:
    """Radiographs that a filling would encode."""
    cache = open_cache(out, collection, SPEC, held_out=2)
    return [row.id for row, done in zip(cache.rows, cache.done, strict=True) if done != 1]


def test_nothing_is_done_again_while_nothing_changes(collection, tmp_path) -> None:
    first = by_name(filled(tmp_path / "out", collection))
    assert open_ones(tmp_path / "out", collection) == []
    assert {k: v.tolist() for k, v in first.items()} == {
        k: v.tolist() for k, v in by_name(filled(tmp_path / "out", collection)).items()
    }


def test_a_new_radiograph_is_added_and_one_that_is_gone_leaves(collection, tmp_path) -> None:
    before = by_name(filled(tmp_path / "out", collection))
    table(collection.folder, "aecdyz")  # b is gone, e is new and stands in its place
    assert open_ones(tmp_path / "out", collection) == ["e"]
    after = by_name(filled(tmp_path / "out", collection))
    assert sorted(after) == ["a", "c", "d", "e", "y", "z"]
    assert all(np.array_equal(after[name], before[name]) for name in "acdyz")
    fresh = by_name(filled(tmp_path / "fresh", collection))
    assert all(np.array_equal(after[name], fresh[name]) for name in after)


def test_a_changed_radiograph_is_encoded_again(collection, tmp_path) -> None:
    before = by_name(filled(tmp_path / "out", collection))
    grey(collection.folder, "c", 250)
    os.utime(collection.folder / "images" / "c.png", ns=(1, 1))
    assert open_ones(tmp_path / "out", collection) == ["c"]
    after = by_name(filled(tmp_path / "out", collection))
    assert after["c"].flat[0] > before["c"].flat[0]


def test_captions_that_arrive_later_are_taken_and_latents_kept(collection, tmp_path) -> None:
    filled(tmp_path / "out", collection)
    table(collection.folder, "abcdyz", "Edema")
    assert open_ones(tmp_path / "out", collection) == []
    cache = open_cache(tmp_path / "out", collection, SPEC, held_out=2)
    assert {row.prompt for row in cache.rows} == {"pulmonary edema"}


def test_another_folder_with_the_same_table_is_another_collection(collection, tmp_path) -> None:
    filled(tmp_path / "out", collection)
    other = tmp_path / "other"
    other.mkdir()
    for name in "abcdyz":
        grey(other, name, 200)
    table(other, "abcdyz")
    assert open_ones(tmp_path / "out", Collection(other)) == list("abcdyz")


def test_a_cache_of_an_earlier_release_is_made_anew(collection, tmp_path) -> None:
    filled(tmp_path / "out", collection)
    index = tmp_path / "out" / "index.json"
    content = json.loads(index.read_text())
    del content["stamps"]
    index.write_text(json.dumps(content))
    assert open_ones(tmp_path / "out", collection) == list("abcdyz")


def test_a_stop_while_the_cache_is_brought_over_leaves_the_old_one(
    collection, tmp_path, monkeypatch
) -> None:
    filled(tmp_path / "out", collection)
    table(collection.folder, "abcdeyz")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(latent_cache, "_same", stop)
        with pytest.raises(KeyboardInterrupt):
            open_cache(tmp_path / "out", collection, SPEC, held_out=2)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "done.u8", "index.json", "latents.f16",
    ]  # fmt: skip
    assert open_ones(tmp_path / "out", collection) == ["e"]


def test_one_bad_file_of_many_is_named_left_out_and_not_learnt_from(
    collection, tmp_path, monkeypatch, caplog
) -> None:
    (collection.folder / "images" / "b.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableInput, match=r"cannot be read: images/b\.png"):
        filled(tmp_path / "out", collection)
    monkeypatch.setattr(latent_cache, "TOLERATED", 0.2)
    with caplog.at_level(logging.WARNING, "monai_cxr_cf"):
        cache = filled(tmp_path / "out", collection)
    assert "images/b.png" in caplog.text
    assert str(tmp_path) not in caplog.text
    assert cache.done.tolist() == [1, 2, 1, 1, 1, 1]
    make = ReportBatches(cache, None, batch=3, dropout=0.0, scaling=1.0)
    seen = {int(make._index(5, place)) for place in range(30)}
    assert seen == {0, 2, 3}
    grey(collection.folder, "b", 90)  # mended
    assert open_ones(tmp_path / "out", collection) == ["b"]
