# SPDX-License-Identifier: Apache-2.0
"""A runner for the self test: ``rehearsal.py JOB OUT`` talks and writes as the real one; no model.

It brightens a disc, so that every step of the module (process, events, import, masks, change map,
comparison) can be rehearsed in Slicer before an environment exists. Never imported by the module.
"""

import json
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

STAGES = ("read", "segment", "region", "sample", "decode", "composite", "write")
STEPS, PAUSE = 10, 0.02  # of the stage "sample"; seconds each
SC = "1.2.840.10008.5.1.4.1.1.7"
WORDS = "passed: rehearsed, nothing was judged"
BRIGHTER = 0.15  # of the range of the source


def tell(event: str, facts: dict[str, Any]) -> None:
    """One event."""
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


def run(job: Path, out: Path) -> None:
    """Rehearse the edit of a job file."""
    import numpy as np
    import pydicom

    tell("hello", {"protocol": 1, "version": "rehearsal", "device": "none"})
    request = json.loads(job.read_text(encoding="utf-8"))
    source = pydicom.dcmread(request["source"])
    for stage in STAGES:
        total = STEPS if stage == "sample" else 1
        for step in range(1, total + 1):
            time.sleep(PAUSE)
            left = round((total - step) * PAUSE, 2)
            tell("progress", {"stage": stage, "step": step, "total": total, "eta_s": left})
    region, band = discs(source.pixel_array.shape)
    (out / "cf").mkdir(parents=True)
    made = []
    for number, (_, level) in enumerate(members(request), 1):
        path = out / "cf" / f"{number:04d}.dcm"
        derived(source, brightened(source, region, level)).save_as(path, enforce_file_format=True)
        made.append(described("cf", path, out))
    np.savez_compressed(out / "masks.npz", edit_region=region, edit_band=band)
    (out / "report.json").write_text(json.dumps(report(request)), encoding="utf-8")
    files = [*made, described("arrays", out / "masks.npz", out)]
    verdict = {"verdict": "passed", "words": WORDS, "checks": []}
    metrics = report(request)["metrics"]
    result = {"files": files, "metrics": metrics, "verdict": verdict, "report": "report.json"}
    tell("result", result)


def members(request: dict[str, Any]) -> list[tuple[int, float]]:
    """(seed, level) of every image, in the order of the real runner."""
    seeds, levels = request.get("seeds") or [0], request.get("levels") or [1.0]
    return [(seed, level) for seed in seeds for level in levels]


def brightened(source: Any, region: Any, level: float) -> Any:
    """The picture with a brighter disc; HxW stored values."""
    import numpy as np

    pixels = source.pixel_array.astype(np.int64)
    more = BRIGHTER * level * (int(pixels.max()) - int(pixels.min()))
    return np.minimum(pixels + (more * region).astype(int), 2**source.BitsStored - 1)


def discs(shape: tuple[int, ...]) -> tuple[Any, Any]:
    """A disc low in the patient's left lung, and its band; HxW bool."""
    import numpy as np

    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    size = min(shape)
    away = np.hypot(rows - 0.62 * shape[0], columns - 0.76 * shape[1])
    inside = away < 0.10 * size
    return inside, (away < 0.12 * size) & ~inside


def derived(source: Any, pixels: Any) -> Any:
    """A Secondary Capture of the changed picture in the same study, marked synthetic."""
    import numpy as np
    import pydicom

    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    for name in (
        "SpecificCharacterSet", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
        "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber",
        "ReferringPhysicianName", "PatientOrientation", "Rows", "Columns", "BitsAllocated",
        "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation",
        "WindowCenter", "WindowWidth",
    ):  # fmt: skip
        if name in source:
            ds[name] = source[name]
    ds.SOPClassUID, ds.SOPInstanceUID = SC, pydicom.uid.generate_uid()
    ds.SeriesInstanceUID, ds.SeriesNumber, ds.InstanceNumber = pydicom.uid.generate_uid(), 900, 1
    ds.Modality, ds.ConversionType = "OT", "SYN"
    ds.ImageType, ds.BurnedInAnnotation = ["DERIVED", "SECONDARY"], "NO"
    ds.SeriesDescription = "SYNTHETIC rehearsal, not a counterfactual"
    ds.PixelSpacing = source.get("ImagerPixelSpacing", source.get("PixelSpacing", [1, 1]))
    ds.SamplesPerPixel = 1
    ds.PixelData = pixels.astype(np.uint16 if ds.BitsAllocated == 16 else np.uint8).tobytes()
    ds["PixelData"].VR = "OW" if ds.BitsAllocated == 16 else "OB"
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    return ds


def described(role: str, path: Path, out: Path) -> dict[str, str]:
    """An entry of the result."""
    import pydicom

    entry = {"role": role, "path": path.relative_to(out).as_posix(), "sop_class": ""}
    entry |= {"series_uid": "", "sop_uid": "", "label": ""}
    if path.suffix == ".dcm":
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        entry |= {"sop_class": str(ds.SOPClassUID), "sop_uid": str(ds.SOPInstanceUID)}
        entry |= {"series_uid": str(ds.SeriesInstanceUID)}
    return entry | {"sha256": sha256(path.read_bytes()).hexdigest()}


def report(request: dict[str, Any]) -> dict[str, Any]:
    """What ``results`` reads of a report."""
    words = request.get("prompt") or request["findings"][0]["finding"]
    told = [
        {"label": f"rehearsal, seed {seed}, severity {level:.2f}", "verdict": "passed"}
        for seed, level in members(request)
    ]
    return {
        "request": request,
        "seeds": request.get("seeds") or [0],
        "findings": [{"direction": "add", "words": words}],
        "metrics": {"outside_max_diff": 0, "members": told},
        "strength": 0.0,
        "region": "a disc",
        "weights": [],
        "versions": {"monai_cxr_cf": "rehearsal"},
    }


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
