# SPDX-License-Identifier: Apache-2.0
"""One server a data folder: a lock that its process holds and that dies with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monai_cxr_cf.errors import BadRequest, ResourceExhausted


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """Hold the lock of a data folder, which is made if need be, with mode 0700.

    Raises:
        BadRequest: another server holds it.
        ResourceExhausted: the folder cannot be made or written.
    """
    import fcntl  # not on Windows, where the module must import all the same

    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data / "server.lock").open("w")
    except OSError as error:
        raise ResourceExhausted(
            f"The data folder cannot be written ({error.strerror}).", hint="Choose another --data."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadRequest(
                "Another server uses this data folder.", hint="Choose another --data."
            ) from error
        yield
