# SPDX-License-Identifier: Apache-2.0
"""Edit the example in a process of its own and print what came out, as one JSON line.

``python -m tests.same_bytes.edit FOLDER`` with ``PINNED`` in its environment; the folder keeps the
files. ``--write`` stores the line as the expectation: only where the method itself has changed.
"""

import json
import platform
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from torch import Tensor
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[2]
STORED = Path(__file__).with_name("stored.json")
PROMPT = "moderate left pleural effusion"
BLOCK = 32
FILES = ("cf/0001.dcm", "diff/0001.dcm", "seg.dcm", "sr.dcm", "preview.png", "trace.png")
# One thread, and the instructions that every x86-64 processor since 2013 has. MKL keeps one branch
# for all makers, COMPATIBLE; on a processor of another make it ignores any other.
PINNED = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "HF_HUB_OFFLINE": "1",
}
# Channels in and out and side of the networks' convolutions: generator, its decoder, segmenter.
SHAPES = ((4, 64, 32), (64, 128, 16), (192, 192, 4), (3, 16, 256), (16, 32, 128), (128, 128, 32))


def main(words: list[str]) -> int:
    """Run, print, perhaps store."""
    before = canary()
    told = {"canary": before, **measured(Path(words[0]))}
    line = json.dumps(told, sort_keys=True)
    if "--write" in words:
        STORED.write_text(json.dumps(told, sort_keys=True) + "\n", encoding="utf-8")
    sys.stdout.write(line + "\n")
    return 0


def measured(out: Path) -> dict[str, Any]:
    """Edit the example into ``out``; hashes of what was written, and the change in blocks."""
    from monai_cxr_cf import pipeline
    from monai_cxr_cf.request import EditRequest

    source = ROOT / "docs" / "example.dcm"
    pipeline.run(EditRequest(source=str(source), prompt=PROMPT), out)
    cf, seg = dcmread(out / "cf" / "0001.dcm"), dcmread(out / "seg.dcm")
    change = cf.pixel_array.astype(np.int64) - dcmread(source).pixel_array
    allowed = seg.pixel_array[-2:].any(axis=0)  # edit region, edit band
    with Image.open(out / "preview.png") as preview:
        shown = np.asarray(preview)
    return {
        "pixels": {
            "cf": sha256(cf.PixelData).hexdigest(),
            "diff": sha256(dcmread(out / "diff" / "0001.dcm").PixelData).hexdigest(),
            "seg": sha256(seg.PixelData).hexdigest(),
            "preview": sha256(repr(shown.shape).encode() + shown.tobytes()).hexdigest(),
        },
        "sr": sha256("\n".join(content(dcmread(out / "sr.dcm"), [])).encode()).hexdigest(),
        "files": {name: sha256((out / name).read_bytes()).hexdigest() for name in FILES},
        "areas": [int(plane.sum()) for plane in seg.pixel_array],
        "segments": [str(item.SegmentLabel) for item in seg.SegmentSequence],
        "outside": int(np.abs(change[~allowed]).max()),
        "mean": round(float(change.mean()), 4),
        "blocks": [[round(float(v), 3) for v in row] for row in blocks(change)],
    }


def blocks(change: np.ndarray) -> np.ndarray:
    """Means of square blocks; what is left at the right and lower rim is filled with 0."""
    rows, columns = (-(-side // BLOCK) for side in change.shape)
    whole = np.zeros((rows * BLOCK, columns * BLOCK))
    whole[: change.shape[0], : change.shape[1]] = change
    return whole.reshape(rows, BLOCK, columns, BLOCK).mean((1, 3))


def content(ds: Dataset, uids: list[str]) -> list[str]:
    """The content tree of an SR as lines; UIDs by their order, and without our version."""
    lines = []
    for element in ds:
        if element.keyword == "SoftwareVersions" or _is_version(ds, element.keyword):
            continue
        if element.VR == "SQ":
            lines.append(f"{element.tag} {len(element.value)}")
            for item in element.value:
                lines += content(item, uids)
        elif element.VR == "UI" and str(element.value).startswith("2.25."):
            if str(element.value) not in uids:
                uids.append(str(element.value))
            lines.append(f"{element.tag} UID {uids.index(str(element.value))}")
        else:
            lines.append(f"{element.tag} {element.value!s}")
    return lines


def _is_version(ds: Dataset, keyword: str) -> bool:
    return (
        keyword == "TextValue" and ds.ConceptNameCodeSequence[0].CodeMeaning == "Algorithm Version"
    )


def canary() -> str:
    """sha256 of a fixed computation of the networks' kinds and sizes, and of the processor's make.

    The make, because libraries cut sums into blocks by the size of its caches.
    """
    chance = torch.Generator().manual_seed(7)
    found: list[Tensor] = []
    for inside, outside, side in SHAPES:
        x = torch.randn(1, inside, side, side, generator=chance, requires_grad=True)
        kernel = torch.randn(outside, inside, 3, 3, generator=chance) / (3 * inside**0.5)
        y = functional.conv2d(x, kernel, padding=1)
        y = functional.silu(functional.group_norm(y, 4))
        (slope,) = torch.autograd.grad(y.square().sum(), x)
        found += [y, slope, functional.avg_pool2d(y, 2)]
    for tokens, width in ((1024, 64), (256, 128), (77, 256)):
        q, k, v = (torch.randn(2, tokens, width, generator=chance) for _ in range(3))
        weights = (q @ k.mT / width**0.5).softmax(-1)
        found += [weights @ v, functional.scaled_dot_product_attention(q, k, v), q.exp(), q.norm()]
        found.append(functional.linear(q, v[0, :64]))
    image = torch.rand(1, 1, 1024, 964, generator=chance)
    found += [functional.interpolate(image, size=(256, 241), mode="area"), image.log1p().mean()]
    grey = image.numpy()[0, 0]
    joined = _make().encode() + b"".join(t.detach().contiguous().numpy().tobytes() for t in found)
    more = (grey @ grey.T, np.exp(grey), grey.std(), np.sqrt(grey).mean(0))
    return sha256(joined + b"".join(np.asarray(a).tobytes() for a in more)).hexdigest()


def _make() -> str:
    """Maker, family and cache of the processor, as Linux tells them; else its architecture."""
    told = Path("/proc/cpuinfo")
    if not told.is_file():
        return platform.machine()
    wanted = ("vendor_id", "cpu family", "cache size")
    lines = told.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith(wanted))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
