# SPDX-License-Identifier: Apache-2.0
"""Both trainings with their shipped recipes: samples a second of this build and another.

    python benchmarks/training_speed.py --data DATA [--old DIR] [--out FILE]

DATA is a data folder as in docs/training.md, of which ``--rows`` radiographs are used; DIR is a
checkout of another version. Every round runs each of them in turn, a process for each, beside the
bare bfloat16 forward and backward of the same network as its library has it (batch size of the
recipe, no text encoder, no optimiser). Medians over all steps; figures are samples per second of
processor time, which other work on the machine disturbs less than the clock, and by the clock.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
VAE = "bundles/cxr_counterfactual/models/cxr-mini/vae"
ROOMS = {  # where a training lies: now, before
    "diffusion": ("generator.from_nothing", "diffusion"),
    "autoencoder": ("autoencoder.train", "autoencoder"),
}
WARM = 3  # steps that are not counted


class _Enough(Exception):
    """Ends a training that has been timed."""


def trained(what: str, work: Path, steps: int) -> list[list[float]]:
    """[images, seconds by the clock, seconds of processor] of every counted step."""
    from monai_cxr_cf.training import loop

    marks: list[list[float]] = []
    pace = loop.Pace if hasattr(loop, "Pace") else loop.Progress  # its name in older builds
    advance = pace.advance

    def timed(progress: Any, images: int = 0) -> None:
        advance(progress, images)
        marks.append([float(images), time.perf_counter(), time.process_time()])
        if len(marks) > WARM + steps:
            raise _Enough

    pace.advance = timed
    root = Path(loop.__file__).parent
    room = next(r for r in ROOMS[what] if (root / f"{r.replace('.', '/')}.py").is_file())
    module = importlib.import_module(f"monai_cxr_cf.training.{room}")
    with contextlib.suppress(_Enough):
        getattr(module, f"train_{what}")(recipe_of(what, work), work / "data", out=work / "mini")
    pairs = zip(marks[WARM:], marks[WARM + 1 :], strict=False)
    return [[b[0], b[1] - a[1], b[2] - a[2]] for a, b in pairs]


def recipe_of(what: str, work: Path) -> Path:
    """The shipped recipe of the package that is imported, without pretraining and checks."""
    import monai_cxr_cf

    shipped = Path(monai_cxr_cf.__file__).parent / f"training/recipes/{what}.yaml"
    left = [
        line
        for line in shipped.read_text(encoding="utf-8").splitlines()
        if not line.startswith(("check_every", "text_steps"))
    ]
    left += ["check_every: 1000000000", *(["text_steps: 0"] if what == "diffusion" else [])]
    path = work / f"{what}-{os.getpid()}.yaml"
    path.write_text("\n".join(left) + "\n", encoding="utf-8")
    return path


def bare(what: str, work: Path, steps: int) -> list[list[float]]:
    """The same of the bare network: bfloat16 weights, forward, mean square, backward."""
    import torch

    from monai_cxr_cf.training.autoencoder.recipe import AutoencoderRecipe, build
    from monai_cxr_cf.training.generator.from_nothing import DiffusionRecipe
    from monai_cxr_cf.training.generator.pipeline_folder import build_unet
    from monai_cxr_cf.training.loop import read_recipe

    def half(*shape: int) -> Any:
        return torch.randn(*shape, dtype=torch.bfloat16)

    network: Any
    if what == "diffusion":
        recipe = read_recipe(recipe_of(what, work), DiffusionRecipe)
        count = recipe.real + 2 * (recipe.twins + recipe.crossed)
        network = build_unet(recipe.channels, text_width=recipe.text_width).bfloat16()
        inputs = (half(count, 4, 32, 32), torch.arange(count), half(count, 77, recipe.text_width))
    else:
        form = read_recipe(recipe_of(what, work), AutoencoderRecipe)
        count, network = form.batch, build(form).bfloat16()
        inputs = (half(count, 3, form.crop, form.crop),)
    out = []
    for _ in range(WARM + steps):
        wall, own = time.perf_counter(), time.process_time()
        network(*inputs).sample.float().square().mean().backward()
        network.zero_grad()
        out.append([float(count), time.perf_counter() - wall, time.process_time() - own])
    return out[WARM:]


def prepare(data: Path, work: Path, rows: int) -> None:
    """A small data folder of links, the shipped autoencoder and the cached latents."""
    from monai_cxr_cf.training.generator.pool import prepare_pool

    small = work / "data"
    small.mkdir()
    for name in os.listdir(data):
        if name != "index.csv":
            (small / name).symlink_to((data / name).resolve())
    with (data / "index.csv").open(encoding="utf-8", newline="") as handle:
        table = list(csv.DictReader(handle))
    learnt = [r for r in table if r["split"] == "train" and r["weights_may_ship"] == "yes"]
    watched = [r for r in table if r["split"] == "judge" and r["weights_may_ship"] == "yes"]
    with (small / "index.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(table[0]))
        writer.writeheader()
        writer.writerows([*learnt[:rows], *watched[:4]])
    (work / "mini").mkdir()
    (work / "mini/vae").symlink_to(HERE / VAE)
    prepare_pool(small, work / "mini", versions=2, draws=8)


def child(tree: Path, kind: str, what: str, work: Path, chosen: Any) -> list[list[float]]:
    """One process of ``tree``: its steps."""
    own = {"PYTHONPATH": str(tree), "OMP_WAIT_POLICY": "PASSIVE"}
    environment = {**os.environ, **own, "OMP_NUM_THREADS": str(chosen.threads)}
    words = [sys.executable, __file__, "--child", kind, what, str(work)]
    words += ["--steps", str(chosen.steps)]
    done = subprocess.run(
        words, check=True, stdout=subprocess.PIPE, env=environment, cwd=tree, text=True
    )
    return list(json.loads(done.stdout.splitlines()[-1]))


def summary(steps: list[list[float]]) -> dict[str, Any]:
    """Medians of samples a second and the spread (quartiles) of the first."""
    own = [images / seconds for images, _, seconds in steps]
    wall = [images / seconds for images, seconds, _ in steps]
    quartiles = statistics.quantiles(own, n=4)
    return {
        "per_cpu_second": round(statistics.median(own), 2),
        "quartiles": [round(quartiles[0], 2), round(quartiles[2], 2)],
        "per_second": round(statistics.median(wall), 2),
        "steps": len(steps),
    }


def facts(threads: int) -> dict[str, Any]:
    """Processor, versions and threads."""
    import torch

    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": len(models),
        "bf16": bool(torch.cpu.get_capabilities().get("avx512_bf16")),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": threads,
        "load_at_start": round(os.getloadavg()[0], 1),
    }


def measure(chosen: Any) -> dict[str, Any]:
    """All rounds: training by build, and ratios."""
    trees = {"new": (HERE, "train"), "bare": (HERE, "bare")}
    if chosen.old:
        trees = {"old": (chosen.old.resolve(), "train"), **trees}
    result: dict[str, Any] = {"machine": facts(chosen.threads), "rounds": chosen.rounds}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(chosen.data, work, chosen.rows)
        for what in ROOMS:
            steps: dict[str, list[list[float]]] = {name: [] for name in trees}
            for _ in range(chosen.rounds):
                for name, (tree, kind) in trees.items():
                    steps[name] += child(tree, kind, what, work, chosen)
            told: dict[str, Any] = {name: summary(found) for name, found in steps.items()}
            for other in (name for name in trees if name != "new"):
                for unit in ("per_cpu_second", "per_second"):
                    ratio = told["new"][unit] / told[other][unit]
                    told[f"new_over_{other}_{unit}"] = round(ratio, 2)
            result[what] = told
    return result


def main() -> None:
    """Measure; print and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--data", type=Path, help="data folder")
    parser.add_argument("--old", type=Path, help="checkout of another version")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/training_speed.json"))
    parser.add_argument("--rows", type=int, default=24, help="radiographs used")
    parser.add_argument("--steps", type=int, default=6, help="counted steps a process")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        kind, what, work = chosen.child
        found = (bare if kind == "bare" else trained)(what, Path(work), chosen.steps)
        sys.stdout.write("\n" + json.dumps(found) + "\n")
        return
    if chosen.data is None:
        parser.error("--data is needed")
    result = measure(chosen)
    chosen.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
