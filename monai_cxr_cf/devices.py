# SPDX-License-Identifier: Apache-2.0
"""Where the UNet runs and how many digits it keeps: what was asked for in, torch's words out.

Every door takes the same two words, ``--device`` and ``--precision``. They are no part of a
request: they say how a run goes, like ``--threads``. torch is loaded where a question needs it.
"""

import logging
import re
from typing import TYPE_CHECKING

from monai_cxr_cf.errors import BadRequest

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
AUTO = "auto"
PRECISIONS = (AUTO, "fp32", "bf16", "fp16")
DEVICES = "auto, cpu, cuda, cuda:N or mps"
NAMED = re.compile(r"auto|cpu|cuda|cuda:\d{1,3}|mps")
LARGE = 100_000_000  # parameters of a UNet from which auto takes bfloat16 (docs/usage.md 4)


def check_words(device: str, precision: str) -> None:
    """BadRequest for words that name no device and no precision; loads nothing."""
    if not NAMED.fullmatch(str(device)):
        raise BadRequest(f"There is no device '{device}'.", hint=f"Devices: {DEVICES}.")
    if precision not in PRECISIONS:
        names = ", ".join(PRECISIONS)
        raise BadRequest(f"There is no precision '{precision}'.", hint=f"Precisions: {names}.")
    if precision == "fp16" and device == "cpu":
        raise _no_fp16()


def device_of(asked: str) -> str:
    """The torch device that ``asked`` means here; auto takes a CUDA GPU if there is one.

    Raises:
        BadRequest: no such word, or this machine or this torch has no such device.
    """
    check_words(asked, AUTO)
    if asked == "cpu":
        return asked
    import torch

    if asked == AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "mps":
        if not torch.backends.mps.is_available():
            raise _absent(asked, "this PyTorch sees no Apple GPU")
        return asked
    if not torch.cuda.is_available():
        raise _absent(asked, "this PyTorch sees no CUDA GPU")
    count, number = torch.cuda.device_count(), int(asked.partition(":")[2] or 0)
    if number >= count:
        raise _absent(asked, f"the last of {count} is cuda:{count - 1}")
    return asked


def dtype_of(asked: str, *, device: str, parameters: int) -> "torch.dtype":
    """What the UNet computes in on ``device``.

    ``auto`` is bfloat16 for a UNet of at least ``LARGE`` parameters where the device multiplies it
    natively, else float32. The answer depends on nothing that changes from run to run.

    Raises:
        BadRequest: no such word, or float16 on a CPU.
    """
    import torch

    check_words(device, asked)
    native = multiplies_bf16(device)
    if asked == AUTO:
        return torch.bfloat16 if native and parameters >= LARGE else torch.float32
    if asked == "bf16" and not native:
        log.warning("This device does not multiply bfloat16 natively: expect no gain of speed.")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[asked]


def check_place(device: str, precision: str) -> None:
    """``check_words``, and whether the device is there; torch is loaded only if that is open."""
    check_words(device, precision)
    if precision == "fp16":
        check_words(device_of(device), precision)
    elif device not in (AUTO, "cpu"):
        device_of(device)


def multiplies_bf16(device: str = "cpu") -> bool:
    """Whether the device has instructions for bfloat16, beyond emulation."""
    import torch

    kind = device.partition(":")[0]
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    told = getattr(torch.cpu, "get_capabilities", None)  # older ones do not tell
    known = told() if told and kind == "cpu" else {}
    return any(known.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def _absent(asked: str, found: str) -> BadRequest:
    hint = "Use --device cpu, or leave the device to auto."
    return BadRequest(f"The device '{asked}' is not there: {found}.", hint=hint)


def _no_fp16() -> BadRequest:
    return BadRequest(
        "A CPU does not run in fp16: it takes several times as long as in fp32.",
        hint="Use --precision bf16 or fp32, or a GPU.",
    )
