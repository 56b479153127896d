# SPDX-License-Identifier: Apache-2.0
"""The queue's SQLite file: its tables and the two ways to it, for reading and for writing."""

import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from monai_cxr_cf.server.queue.jobs import DONE, QUEUED, RUNNING

WAIT_S = 20.0  # for another writer

metadata = sql.MetaData()
jobs = sql.Table(
    "jobs",
    metadata,
    sql.Column("seq", sql.Integer, primary_key=True),
    sql.Column("id", sql.String, nullable=False, unique=True),
    sql.Column("kind", sql.String, nullable=False),
    sql.Column("key", sql.String),  # of the request; null: never the same as another
    sql.Column("state", sql.String, nullable=False),
    sql.Column("priority", sql.Integer, nullable=False),
    sql.Column("source", sql.String),  # digest of the radiograph; null: not known
    sql.Column("request", sql.JSON, nullable=False),
    sql.Column("bytes", sql.Integer, nullable=False),
    sql.Column("created", sql.Float, nullable=False),
    sql.Column("updated", sql.Float, nullable=False),
    sql.Column("started", sql.Float),
    sql.Column("finished", sql.Float),
    sql.Column("attempts", sql.Integer, nullable=False, default=0),
    sql.Column("worker", sql.String),
    sql.Column("stage", sql.String),
    sql.Column("step", sql.Integer),
    sql.Column("total", sql.Integer),
    sql.Column("eta_s", sql.Float),
    sql.Column("cancel_asked", sql.Boolean, nullable=False, default=False),
    sql.Column("error", sql.JSON(none_as_null=True)),
    sql.Column("result", sql.JSON(none_as_null=True)),
    sqlite_autoincrement=True,  # the order of the queue never repeats a number
)
# What waits, runs or is done is not done again; what failed or was cancelled may be asked anew.
_ALIVE = jobs.c.state.in_((QUEUED, RUNNING, DONE))
sql.Index("one_job_a_request", jobs.c.key, unique=True, sqlite_where=_ALIVE)
sql.Index("by_state", jobs.c.state, jobs.c.seq)

events = sql.Table(
    "events",
    metadata,
    sql.Column("job", sql.ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True),
    sql.Column("n", sql.Integer, primary_key=True),
    sql.Column("line", sql.String, nullable=False),
)
workers = sql.Table(
    "workers",
    metadata,
    sql.Column("id", sql.Integer, primary_key=True),  # its slot, from 0
    sql.Column("token", sql.String, nullable=False),
    sql.Column("beat", sql.Float, nullable=False),
    sql.Column("ready", sql.Boolean, nullable=False),
    sql.Column("facts", sql.JSON, nullable=False),
)


def prepare(engine: Engine) -> None:
    """Make what is missing; a file of an earlier version gains its new column."""
    metadata.create_all(engine)
    with engine.begin() as connection:
        found = {column["name"] for column in sql.inspect(connection).get_columns(jobs.name)}
        if "source" not in found:
            connection.exec_driver_sql("ALTER TABLE jobs ADD COLUMN source VARCHAR")


def reader(file: Path) -> Engine:
    """Engine for reading: no transaction, so a reader never waits for a writer."""
    engine = _engine(file, isolation_level="AUTOCOMMIT")
    event.listen(engine, "connect", _prepare)
    return engine


def writer(file: Path) -> Engine:
    """Engine for writing: a transaction takes the lock when it begins, so it cannot fail later."""
    engine = _engine(file)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _engine(file: Path, **more: Any) -> Engine:
    # hide_parameters: an error text must not carry a prompt.
    return sql.create_engine(
        f"sqlite:///{file}",
        hide_parameters=True,
        connect_args={"timeout": WAIT_S, "check_same_thread": False},
        pool_size=10,
        max_overflow=60,
        **more,
    )


def _prepare(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA secure_delete=ON")  # prompts of removed jobs are overwritten


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
