# SPDX-License-Identifier: Apache-2.0
"""Any exception as one of ours, and libraries that keep quiet about patients."""

import errno
import logging
import os

from monai_cxr_cf.dicom.privacy import install_privacy_filter
from monai_cxr_cf.errors import REINSTALL, Cancelled, ComponentMissing, CxrError, ResourceExhausted


def typed(error: BaseException) -> CxrError:
    """Any exception as one of ours; foreign texts are dropped: they may name patients."""
    if isinstance(error, CxrError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Cancelled(interrupted=True)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return ResourceExhausted(
            "The machine ran out of memory.", hint="Try --preset fast, or fewer seeds."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceExhausted("The disk is full.", hint="Make room, or choose another --out.")
    if isinstance(error, ModuleNotFoundError):
        return ComponentMissing(
            f"The Python package '{error.name}' is missing.",
            hint=REINSTALL,
        )
    return CxrError(
        f"An unexpected {type(error).__name__} ended the run: a bug of this program.",
        hint="Run it again with --debug for the traceback, and look through it before sharing.",
    )


def quiet_libraries(*, debug: bool, verbose: bool) -> None:
    """Hubs offline, no telemetry, and no library that echoes header values (docs/usage.md 7)."""
    if os.environ.get("CXR_CF_ALLOW_HUB") != "1":
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")
    level = logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("monai_cxr_cf").setLevel(level)
    install_privacy_filter()
