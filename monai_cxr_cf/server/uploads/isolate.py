# SPDX-License-Identifier: Apache-2.0
"""Untrusted files are decoded in a child process with capped memory and time, one child a file.

A fork server that has the reader loaded makes each child in milliseconds; it holds no data.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from monai_cxr_cf.errors import CxrError, ResourceExhausted, UnreadableInput, UnsupportedImage
from monai_cxr_cf.server.settings import Limits

PRELOAD = ["monai_cxr_cf.server.uploads.examine"]
NICE = 5


class Decoder:
    """Runs functions on files of strangers.

    Args:
        limits: memory and time of one child, and how many may live at once.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)
        self._places = threading.BoundedSemaphore(limits.decoders)

    def warm_up(self) -> None:
        """Start the fork server, so that the first caller does not wait for its imports."""
        self.call(os.getpid)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """``function(*arguments)`` in a child of its own; blocks until it ends.

        Args:
            function: a function at the top level of a module; arguments and result are pickled.

        Raises:
            UnsupportedImage: code ``decode_limit``: the child died or reached a limit.
            CxrError: what the function raised.
        """
        with self._places:
            ours, theirs = self._context.Pipe(duplex=False)
            child = self._context.Process(
                target=_child, args=(theirs, self._limits, function, arguments), daemon=True
            )
            child.start()
            theirs.close()
            try:
                answer = ours.recv() if ours.poll(self._limits.decode_s) else None
            except EOFError:  # it died without a word
                answer = None
            finally:
                ours.close()
                child.kill()
                child.join()
        if answer is None:
            raise _too_much(self._limits)
        kind, value = answer
        if kind == "error":
            raise value
        return value


def _child(pipe: Connection, limits: Limits, function: Callable[..., Any], arguments: Any) -> None:
    """First the limits, then the work; nothing is printed, for a traceback may hold names."""
    cap(limits.decode_memory, int(limits.decode_s) + 1)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    try:
        answer = ("result", function(*arguments))
    except (MemoryError, ResourceExhausted):
        answer = ("error", _too_much(limits))
    except CxrError as error:
        answer = ("error", error)
    except Exception as error:  # a decoder may raise anything; its text may hold header values
        told = f"The file cannot be read ({type(error).__name__})."
        answer = ("error", UnreadableInput(told, hint="Export the image again."))
    pipe.send(answer)


def cap(memory: int, seconds: int) -> None:
    """Limit this process for good: address space in bytes, processor seconds, no core file."""
    import resource  # not on Windows, where the module must import all the same

    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _too_much(limits: Limits) -> UnsupportedImage:
    return UnsupportedImage(
        f"Reading the file took more than {limits.decode_memory / 1e9:g} GB of memory or "
        f"{limits.decode_s:g} s, or broke the decoder.",
        code="decode_limit",
        hint="Export the image again, uncompressed or smaller.",
    )
