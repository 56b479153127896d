# SPDX-License-Identifier: Apache-2.0
"""How a server is set up: address, key, folder, limits; refused here if it would not be safe."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from monai_cxr_cf.devices import AUTO, check_words
from monai_cxr_cf.errors import BadRequest

MOST_WORKERS = 64
KEY_LENGTH = 16  # characters; shorter ones are guessed
JUDGES = ("j1", "j2")  # what anybody may audit
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Limits:
    """What one caller may ask of the machine."""

    upload_bytes: int = 512_000_000  # one HTTP body
    max_pixels: int = 64_000_000  # Rows x Columns; judged before anything is decoded
    queue: int = 1000  # jobs that wait
    stored_bytes: int = 20_000_000_000  # sources and results together
    members: int = 64  # seeds x levels of one job
    age_s: float = 86_400.0  # a finished job and its files are kept so long
    forget_s: float = 604_800.0  # the bare record of an expired job, so that polls get an answer
    decode_memory: int = 4_000_000_000  # address space of the child that decodes an upload, bytes
    decode_s: float = 60.0  # and its time
    decoders: int = 2  # children at once
    idle_s: float = 20.0  # a client that sends or takes nothing is dropped
    rate: float = 20_000.0  # bytes per second that an upload must reach on average
    job_s: float = 3600.0  # one job
    audit_edits: int = 200  # of one audit, shams included


@dataclass(frozen=True)
class Settings:
    """All that ``create_app`` and the worker depend on.

    Raises:
        BadRequest: an address off loopback without a key, a short key, a port or a number of
            workers out of range, words that name no device or precision.
    """

    data: Path  # queue, sources, results; made with mode 0700
    host: str = "127.0.0.1"
    port: int = 8000
    key: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()  # further names that clients may use for this server
    origins: tuple[str, ...] = ()  # web pages of others that may call it; none by default
    backbones: Mapping[str, str] = field(default_factory=lambda: {"cxr-mini": "cxr-mini"})
    backbone: str = "cxr-mini"  # the default, one of the names above
    # Classifier -> what --model of cxr-cf audit takes, its declaration:
    audits: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    device: str = AUTO
    precision: str = AUTO
    compiled: bool = False  # the blocks of the UNet
    workers: int = 1  # processes that each hold the models and run one job at a time
    dicomweb: str | None = None  # root URL of the DICOM store
    studies: Path | None = None  # images for MONAI Label clients; None: datastore/ below data
    allow_store: bool = False  # whether results may be sent there
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        check_words(self.device, self.precision)
        if not 0 <= self.port <= 65535:
            raise BadRequest(f"The port is {self.port}; expected 0 to 65535.")
        if not 1 <= self.workers <= MOST_WORKERS:
            raise BadRequest(
                f"The number of workers is {self.workers}; expected 1 to {MOST_WORKERS}."
            )
        if self.backbone not in self.backbones:
            raise BadRequest(f"The backbone '{self.backbone}' is not among those offered.")
        if not self.loopback and self.key is None:
            raise BadRequest(
                f"Address {self.host} can be reached by others and no API key is set.",
                code="key_required",
                hint="Set CXR_CF_SERVER_KEY or --key-file, or serve on 127.0.0.1.",
            )
        if self.key is not None and len(self.key) < KEY_LENGTH:
            raise BadRequest(
                f"The API key has {len(self.key)} characters; expected at least {KEY_LENGTH}.",
                code="key_short",
                hint="python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one.",
            )
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise BadRequest("The API key holds characters that no HTTP header carries.")

    def classifiers(self) -> dict[str, tuple[str, str | None]]:
        """All that may be audited."""
        return {**{name: (name, None) for name in JUDGES}, **self.audits}

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def allowed_hosts(self) -> frozenset[str]:
        """Names that the Host header may carry, lower case, without port."""
        own = self.host if ":" not in self.host else f"[{self.host}]"
        unspecified = own in ("0.0.0.0", "[::]", "")
        named = () if unspecified else (own,)
        return frozenset(name.lower() for name in (*LOOPBACK_NAMES, *named, *self.hosts))
