# SPDX-License-Identifier: Apache-2.0
"""A server that would not be safe is not started; the flags say what the settings are."""

import json
from pathlib import Path
from typing import Any

import pytest

from monai_cxr_cf.cli import build_parser
from monai_cxr_cf.commands.serve import KEY, settings_from
from monai_cxr_cf.errors import BadRequest, CxrError
from monai_cxr_cf.server.access.security import admit, key_matches
from monai_cxr_cf.server.settings import Settings
from monai_cxr_cf.server.worker.perform import Models
from monai_cxr_cf.server.worker.supervise import _plain

LONG = "k" * 32
HERE = Path("data")


def settings(*words: str) -> Settings:
    return settings_from(build_parser().parse_args(["serve", *words]))


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "10.0.0.1", "cxr.example", ""])
def test_off_loopback_a_key_is_required(host: str) -> None:
    with pytest.raises(BadRequest) as refused:
        Settings(HERE, host=host)
    assert refused.value.code == "key_required"
    assert Settings(HERE, host=host, key=LONG).key == LONG


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert Settings(HERE, host=host).loopback


@pytest.mark.parametrize("key", ["", "short", "ü" * 20, "with\nline" * 4])
def test_keys_that_protect_nothing_are_refused(key: str) -> None:
    with pytest.raises(BadRequest):
        Settings(HERE, host="0.0.0.0", key=key)


def test_the_key_is_shown_nowhere() -> None:
    assert LONG not in repr(Settings(HERE, key=LONG))


def test_flags_and_environment_make_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, LONG)
    made = settings("--host", "0.0.0.0", "--backbone", "tiny=/models/tiny", "--backbone",
                    "cxr-mini", "--max-upload-mb", "2", "--keep-hours", "0.5")  # fmt: skip
    assert made.key == LONG
    assert made.backbones == {"tiny": "/models/tiny", "cxr-mini": "cxr-mini"}
    assert made.backbone == "tiny"
    assert (made.limits.upload_bytes, made.limits.age_s) == (2_000_000, 1800)
    (tmp_path / "key").write_text(LONG[::-1] + "\nsecond line\n")
    assert settings("--key-file", str(tmp_path / "key")).key == LONG[::-1]
    with pytest.raises(BadRequest):
        settings("--key-file", str(tmp_path / "nothing"))


def test_no_flag_takes_the_key_itself() -> None:
    with pytest.raises(BadRequest):
        settings("--key", LONG)


def test_an_unspecified_address_is_no_name() -> None:
    names = Settings(HERE, host="0.0.0.0", key=LONG, hosts=("CXR.example",)).allowed_hosts()
    assert names == {"localhost", "127.0.0.1", "[::1]", "cxr.example"}


def test_the_key_is_compared_whole() -> None:
    made = Settings(HERE, key=LONG)
    assert key_matches(made, LONG)
    for wrong in ("", LONG[:-1], LONG + "k", "\udcff"):
        assert not key_matches(made, wrong)


def test_a_preflight_of_an_unknown_page_does_not_pass() -> None:
    made = Settings(HERE, key=LONG, origins=("https://pacs.example",))
    headers: dict[str, Any] = {"host": "127.0.0.1", "origin": "https://evil.example"}
    with pytest.raises(CxrError) as refused:
        admit(made, headers, method="OPTIONS", path="/v1/jobs")
    assert refused.value.http_status == 403


def test_device_and_precision_reach_the_worker_and_nonsense_does_not() -> None:
    made = settings("--device", "cpu", "--precision", "bf16")
    plain = json.loads(_plain(made))
    assert (plain["device"], plain["precision"]) == (made.device, made.precision) == ("cpu", "bf16")
    assert (Settings(HERE).device, Settings(HERE).precision) == ("auto", "auto")
    for words in ({"device": "gpu"}, {"precision": "half"}, {"device": "cpu", "precision": "fp16"}):
        with pytest.raises(BadRequest):
            Settings(HERE, **words)


def test_the_worker_s_networks_are_those_asked_for() -> None:
    networks = Models({"m": "m"}, "m", device="cpu", precision="bf16").networks()
    assert (networks.device, networks.precision) == ("cpu", "bf16")
