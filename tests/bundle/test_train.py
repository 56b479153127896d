# SPDX-License-Identifier: Apache-2.0
"""Every training and evaluation configuration runs on a handful of drawn chests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from monai.utils.misc import set_determinism

from monai_cxr_cf.anatomy.hybridgnet import HybridGNet
from monai_cxr_cf.training.generator.pool import build_pool
from monai_cxr_cf.training.segmentation.unet import (
    AugmentRadiographd,
    LandmarkLoss,
    LandmarkTraining,
    prepare_batch,
    segmentation_items,
)
from tests.bundle.tiny import BUNDLE, run, spoken
from tests.training.small_data import write_small_data

VAE_RECIPE = {
    "channels": [8, 8, 8, 8],
    "norm_groups": 4,
    "side": 64,
    "crop": 32,
    "batch": 2,
    "steps": 2,
    "check_every": 2,
    "precision": "no",
    "linear": False,
}
UNET_RECIPE = {
    "channels": [32, 32, 32, 32],
    "text_width": 32,
    "text_layers": 1,
    "steps": 1,
    "check_every": 9,
    "precision": "no",
    "text_steps": 1,
    "real": 1,
    "twins": 1,
    "crossed": 1,
}
TINY = {"side": 64, "epochs": 1, "val_interval": 1, "batch_size": 2, "network_def#width": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawn chests of 64 px with lung labels."""
    return write_small_data(tmp_path_factory.mktemp("data") / "cxr")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """A run sets global seeds; the next test starts without."""
    yield
    set_determinism(None)


def test_one_epoch_of_training_moves_and_saves_the_network(data: Path, tmp_path: Path) -> None:
    run("train.json", dataset_dir=str(data), output_dir=str(tmp_path), **TINY)
    weights = torch.load(tmp_path / "model.pt", weights_only=True)
    trained, untrained = HybridGNet(4), HybridGNet(4)
    trained.load_state_dict(weights)  # a plain state dict, fit for ``ckpt_path``
    assert not torch.equal(trained.spot.weight, untrained.spot.weight)
    # Fine-tuning starts from it.
    more = {"dataset_dir": str(data), "output_dir": str(tmp_path / "more"), **TINY}
    run("train.json", **more, start_from=str(tmp_path / "model.pt"), learning_rate=0.0)
    kept = torch.load(tmp_path / "more" / "model.pt", weights_only=True)
    assert torch.equal(kept["spot.weight"], weights["spot.weight"])


def test_a_training_step_repeats_with_its_seed(data: Path) -> None:
    losses = []
    for _ in range(2):
        set_determinism(5)
        augment = AugmentRadiographd("image")
        augment.set_random_state(3)
        items = [augment(item) for item in segmentation_items(data, side=64)[:2]]
        batch = {
            name: torch.stack([torch.as_tensor(item[name]) for item in items]) for name in items[0]
        }
        images, targets = prepare_batch(batch, "cpu")
        outputs = LandmarkTraining(HybridGNet(4))(images)
        losses.append(LandmarkLoss()(outputs, targets))
    assert losses[0] == losses[1]
    assert torch.isfinite(losses[0])


def test_training_and_validation_share_no_radiograph(data: Path) -> None:
    seen, held_out = (
        segmentation_items(data, split=s, side=64) for s in ("training", "validation")
    )
    images = {item["image"].tobytes() for item in seen}
    assert images
    assert not images & {item["image"].tobytes() for item in held_out}


@pytest.mark.weights
def test_evaluation_measures_the_shipped_network(data: Path, tmp_path: Path) -> None:
    tiny = {"dataset_dir": str(data), "output_dir": str(tmp_path)}
    run("train.json", "evaluate.json", **tiny)
    name, value = (tmp_path / "metrics.csv").read_text().split()[-1].split(",")
    assert (name, 0 < float(value) <= 1) == ("val_mean_dice", True)
    assert (tmp_path / "val_mean_dice_summary.csv").is_file()


def test_two_processes_train_one_network(data: Path, tmp_path: Path) -> None:
    done = spoken(
        *("torch.distributed.run", "--nproc_per_node=2", "--standalone", "-m", "monai.bundle"),
        *("run", "--config_file", "['configs/train.json','configs/multi_gpu_train.json']"),
        *("--bundle_root", ".", "--dataset_dir", str(data), "--output_dir", str(tmp_path)),
        *(word for name, value in TINY.items() for word in (f"--{name}", str(value))),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    HybridGNet(4).load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))


def test_the_generators_trainings_run_from_their_configurations(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for stage, recipe in (("autoencoder", VAE_RECIPE), ("diffusion", UNET_RECIPE)):
        (tmp_path / f"{stage}.yaml").write_text(yaml.safe_dump(recipe))
        run(
            f"train_{stage}.json",
            dataset_dir=str(data),
            output_dir=str(out),
            recipe=str(tmp_path / f"{stage}.yaml"),
        )
        if stage == "autoencoder":
            assert (out / "vae" / "config.json").is_file()
            build_pool(data, out / "vae", out=out / "pool.npz", versions=1, draws=2)
    assert (out / "pipeline" / "model_index.json").is_file()


def test_evaluation_calls_the_table_of_methods(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[list[str]] = []
    monkeypatch.setattr("monai_cxr_cf.cli.main", lambda argv: heard.append(argv) or 2)
    parser = ConfigParser()
    parser.read_config([str(BUNDLE / "configs" / f"{n}.json") for n in ("train", "evaluate")])
    given = {"bundle_root": str(BUNDLE), "dataset_dir": str(data), "output_dir": "out"}
    parser.update({**given, "flags": ["--quick"]})
    with pytest.raises(SystemExit) as left:
        parser.get_parsed_content("methods")
    assert left.value.code == 2  # a refusal is not swallowed
    assert heard[0][:6] == ["evaluate", "methods", "--data", str(data), "--out", "out"]
    assert heard[0][-1] == "--quick"
