# SPDX-License-Identifier: Apache-2.0
"""Ordered rows in, shards out: rows of one radiograph stay together where a shard has room."""

from collections.abc import Iterable, Iterator

from monai_cxr_cf.batch.rows.columns import Row


def shards(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Lists of ``size`` rows or a few more: up to the next radiograph, but never twice as many."""
    shard: list[Row] = []
    for row in rows:
        if len(shard) >= size and (row.path != shard[-1].path or len(shard) >= 2 * size - 1):
            yield shard
            shard = []
        shard.append(row)
    if shard:
        yield shard


def chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Neighbours that share a radiograph."""
    chunk: list[Row] = []
    for row in rows:
        if chunk and row.path != chunk[-1].path:
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk
