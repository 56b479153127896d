# SPDX-License-Identifier: Apache-2.0
"""How many cases the drawing tests draw: CXR_CF_FUZZ=40 (``make fuzz``) is 40 times as many.

Without it they draw the same cases in every run.
"""

import os

FACTOR = int(os.environ.get("CXR_CF_FUZZ", "1"))


def examples(number: int) -> int:
    """``number`` cases in a plain run, many times as many in a long one."""
    return number * FACTOR
