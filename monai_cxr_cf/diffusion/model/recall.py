# SPDX-License-Identifier: Apache-2.0
"""What a result depends on in, the result out: made, or recalled if it was made before.

``recalled`` wraps the slow functions of a backbone whose results depend on their arguments alone.
Their key is a digest over all they read, so that an entry can be used only where computing would
give the same bytes. Who keeps the entries is not known here: ``runs.remembered`` sets
``Backbone.recall``; without it everything is computed.
"""

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

import monai_cxr_cf
from monai_cxr_cf.diffusion.model.backbone import Backbone

if TYPE_CHECKING:
    from hashlib import _Hash

LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "scipy", "pillow")
# What users set to change how sums are added up.
VARIABLES = ("ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_NUM_THREADS",
             "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "NPY_DISABLE_CPU_FEATURES",
             "CUBLAS_WORKSPACE_CONFIG")  # fmt: skip
PLAIN = (str, bytes, bool, int, float, range, type(None), torch.dtype)


def recalled(
    backbone: Backbone, kind: str, reads: tuple[Any, ...], make: Callable[[], Tensor]
) -> Tensor:
    """``make()``, or what it gave when the backbone and ``reads`` were the same.

    Args:
        backbone: whose networks ``make`` runs; one without digests of its weights recalls nothing.
        kind: what is made, for those who count.
        reads: all that ``make`` depends on besides the backbone.
        make: gives a tensor that numpy knows, on the backbone's device.
    """
    if backbone.recall is None or not backbone.files:
        return make()
    key = digest(kind, identity(backbone), arithmetic(), reads)

    def arrays() -> dict[str, Any]:
        return {"values": make().detach().cpu().contiguous().numpy()}

    # torch.tensor copies into memory that torch has aligned, for new values as for old ones.
    return torch.tensor(backbone.recall(kind, key, arrays)["values"], device=backbone.device)


def identity(backbone: Backbone) -> tuple[Any, ...]:
    """Weights, architectures, precision and device of a backbone."""
    return (
        dict(backbone.files),
        *(_settings(part.config) for part in (backbone.unet, backbone.vae, backbone.text_encoder)),
        backbone.unet.dtype,
        backbone.dtype,
        backbone.compiled,
        str(backbone.device),
    )


def _settings(config: Any) -> str:
    """A configuration as text, without the folder that it came from."""
    plain = config if isinstance(config, Mapping) else vars(config)
    return repr(sorted((k, repr(v)) for k, v in plain.items() if not k.startswith("_")))


def arithmetic() -> tuple[Any, ...]:
    """What the bytes of a result depend on besides inputs and weights: machine and libraries."""
    cuda = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    flags = torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()
    return (*_machine(), torch.get_num_threads(), torch.backends.mkldnn.enabled, *flags, *cuda)


@cache
def _machine() -> tuple[Any, ...]:
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").split("\n\n")[0].splitlines() if told.is_file() else []
    wanted = ("vendor_id", "cpu family", "model", "cache size", "flags", "Features")
    gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    return (
        code(),
        *(metadata.version(name) for name in LIBRARIES),
        platform.machine(),
        torch.backends.cpu.get_cpu_capability(),
        *gpus,
        *(line for line in lines if line.startswith(wanted)),
        *(os.environ.get(name) for name in VARIABLES),
    )


@cache
def code() -> str:
    """sha256 of this package's modules: other code may give other bytes."""
    package, found = Path(monai_cxr_cf.__file__).parent, sha256()
    for path in sorted(package.rglob("*.py")):
        found.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def digest(*parts: Any) -> str:
    """sha256 over types, shapes and values; TypeError for what has no fixed form."""
    found = sha256()
    _feed(found, parts)
    return found.hexdigest()


def _feed(found: "_Hash", value: Any) -> None:
    """One value and all that it holds; sizes first, so that no two values read alike."""
    if isinstance(value, Tensor):
        found.update(f"{value.dtype} {tuple(value.shape)} ".encode())
        found.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, np.ndarray):
        found.update(f"{value.dtype.str} {value.shape} ".encode() + value.tobytes())
    elif isinstance(value, Mapping):
        found.update(f"mapping {len(value)} ".encode())
        for key in sorted(value, key=repr):
            _feed(found, key)
            _feed(found, value[key])
    elif isinstance(value, list | tuple):
        found.update(f"sequence {len(value)} ".encode())
        for item in value:
            _feed(found, item)
    elif is_dataclass(value):
        found.update(f"{type(value).__name__} ".encode())
        _feed(found, {field.name: getattr(value, field.name) for field in fields(value)})
    elif isinstance(value, PLAIN):
        text = repr(value).encode()
        found.update(f"{type(value).__name__} {len(text)} ".encode() + text)
    else:
        raise TypeError(f"There is no digest of a value of type {type(value).__name__}.")
