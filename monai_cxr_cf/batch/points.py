# SPDX-License-Identifier: Apache-2.0
"""The moments at which a batch may be cut off, by name, so that tests can cut it off there.

``Hook`` is an argument of the Python functions of this room and of nothing else: no flag, no
environment variable and no file reaches it.
"""

from collections.abc import Callable

POINTS = (
    "planned",  # shards are laid out, run.json does not know them yet
    "leased",  # a shard is ours, nothing of it was handed out
    "begun",  # a worker has a row, nothing of it is written
    "building",  # its folder aside is there, half its files are
    "built",  # all files are written, none is synced
    "synced",  # files and folder are synced, aside
    "renamed",  # the folder is in its place, nobody knows
    "told",  # the driver knows, no line is written
    "torn",  # half of the line is written
    "written",  # the line is written, not synced
)
Hook = Callable[[str], None]


def unwatched(point: str) -> None:
    """Nothing happens at a point."""
