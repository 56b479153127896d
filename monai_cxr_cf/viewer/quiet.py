# SPDX-License-Identifier: Apache-2.0
"""A timer of the asyncio loop for ``CXRCounterfactualLib.panel.looker``."""

import asyncio
from collections.abc import Callable

from CXRCounterfactualLib.panel.looker import QUIET_MS


class Quiet:
    """Calls once, ``QUIET_MS`` after its last start.

    Args:
        heard: what is called.
    """

    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard = heard
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """From now on; again if it was started before."""
        self.stop()
        self._handle = asyncio.get_running_loop().call_later(QUIET_MS / 1000, self._heard)

    def stop(self) -> None:
        """Not at all."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
