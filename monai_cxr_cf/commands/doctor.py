# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf doctor``: is everything here that a run needs? One line a check, with the cure."""

import argparse
import importlib
import importlib.util
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands import torchvision
from monai_cxr_cf.commands.say import say, show
from monai_cxr_cf.devices import AUTO, device_of
from monai_cxr_cf.errors import REINSTALL, ComponentMissing
from monai_cxr_cf.runs import facts

MODULES = (
    *("numpy", "scipy", "PIL", "matplotlib", "jsonschema", "rich", "safetensors", "gdcm"),
    *("pydicom", "highdicom", "SimpleITK", "torch", "tokenizers", "transformers", "diffusers"),
)
ROOM = 2 * 10**9  # bytes: an output folder is small, temporary files of torch are not
# Transfer syntaxes that files in hospitals use and that need a codec.
SYNTAXES = {
    "JPEG baseline": "1.2.840.10008.1.2.4.50",
    "JPEG lossless": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
    "RLE": "1.2.840.10008.1.2.5",
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    hint: str = ""


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "doctor",
        parents=[common],
        epilog="exit code: 0 if a run would work here, 3 if something is missing\n",
        help="is everything installed?",
        description="Check imports, codecs, weights, device and disk; say what to do.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the checks; 3 if one failed."""
    checks = examine()
    healthy = all(check.ok for check in checks)
    if args.json:
        show({"ok": healthy, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            say(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<14} {check.found}")
            if check.hint and not check.ok:
                say(f"      {'':<14} {check.hint}")
    return 0 if healthy else ComponentMissing.exit_code


def examine() -> list[Check]:
    """All checks, in the order in which one explains the next."""
    steps: list[Callable[[], list[Check]]] = [
        _python, _shadowed, _imports, _torchvision, _codecs, _weights, _device, _disk,
    ]  # fmt: skip
    return [check for step in steps for check in step()]


def _python() -> list[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return [Check("python", ok, version, "Use Python 3.11, 3.12 or 3.13.")]


def _shadowed() -> list[Check]:
    """python-gdcm imports a module called dl; a folder of that name breaks pydicom itself."""
    spec = importlib.util.find_spec("dl")
    if spec is None:
        return [Check("module dl", True, "nothing shadows it")]
    where = spec.origin or ", ".join(spec.submodule_search_locations or [])
    return [Check("module dl", False, f"found at {where}", "Rename it, or work elsewhere.")]


def _imports() -> list[Check]:
    checks = []
    versions = facts.versions()
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except Exception as error:  # a broken library may raise anything; the doctor reports it
            checks.append(Check(name, False, f"{type(error).__name__}: {error}", REINSTALL))
        else:
            version = versions.get(name) or str(getattr(module, "__version__", "imports"))
            checks.append(Check(name, True, version))
    return checks


def _torchvision() -> list[Check]:
    """transformers and diffusers import torchvision if it is there, broken or not."""
    ok, found, cure = torchvision.look()
    return [Check("torchvision", ok, found, cure)]


def _codecs() -> list[Check]:
    try:
        from pydicom.pixels import get_decoder
        from pydicom.uid import UID
    except Exception as error:  # already reported by the imports
        return [Check("codecs", False, type(error).__name__, "Repair pydicom first.")]
    missing = [name for name, uid in SYNTAXES.items() if not get_decoder(UID(uid)).is_available]
    if missing:
        cure = "python -m pip install python-gdcm"
        return [Check("codecs", False, f"none for {', '.join(missing)}", cure)]
    return [Check("codecs", True, ", ".join(SYNTAXES))]


def _weights() -> list[Check]:
    found = facts.weights()
    parts = {item["file"].split("/")[0] for item in found}
    missing = {"cxr-mini", "model.pt"} - parts
    if missing:
        cure = "Reinstall monai-cxr-cf from its wheel, or use a complete checkout."
        return [Check("weights", False, f"missing: {', '.join(sorted(missing))}", cure)]
    size = sum(item["bytes"] for item in found) / 1e6
    return [Check("weights", True, f"{len(found)} files, {size:.0f} MB")]


def _device() -> list[Check]:
    try:
        name = device_of(AUTO)
    except Exception as error:  # already reported by the imports
        return [Check("device", False, type(error).__name__, "Repair torch first.")]
    import torch

    threads = torch.get_num_threads()
    used = f"cpu, {threads} thread{'' if threads == 1 else 's'}"
    return [Check("device", True, used if name == "cpu" else name)]


def _disk() -> list[Check]:
    free = shutil.disk_usage(Path.cwd()).free
    return [Check("disk", free >= ROOM, f"{free / 1e9:.1f} GB free", "Make room: 2 GB.")]
