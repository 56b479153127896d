# SPDX-License-Identifier: Apache-2.0
"""The C library's allocator told to keep what a training frees: every step asks for the same."""

from __future__ import annotations

import ctypes

_TRIM, _PAD, _MAPS = -1, -2, -4  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX of <malloc.h>


def keep_freed() -> bool:
    """Whether the allocator obeys (glibc): no page is given back and faulted in again each step."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        return False
    limit, pad = 2**31 - 1, 2**26
    return all(mallopt(key, value) == 1 for key, value in ((_MAPS, 0), (_TRIM, limit), (_PAD, pad)))
