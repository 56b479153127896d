# SPDX-License-Identifier: Apache-2.0
"""Lines of a runner, cut anywhere, damaged in any way: events, and never an exception."""

import json
from pathlib import Path
from typing import Any

import pytest
from CXRCounterfactualLib.contract import decoder
from CXRCounterfactualLib.contract.decoder import LineDecoder
from CXRCounterfactualLib.contract.events import Failed, Hello, Preview, Progressed, Result, Warned

from tests.posix import posix

HELLO = {"event": "hello", "protocol": 1, "version": "0.1.0", "device": "cpu", "lock_sha256": "ab"}
STEP = {"event": "progress", "stage": "sample", "step": 3, "total": 14, "eta_s": 2.5}
SEEN = {"event": "preview", "path": "preview.png", "step": None}
WARNED = {"event": "warning", "code": "spacing", "message": "No späcing."}
FILE = {
    "role": "cf", "path": "cf/0001.dcm", "sop_class": "1.2", "series_uid": "1.3", "sop_uid": "1.4",
    "sha256": "ff", "label": "seed 7, severity 1.00",
}  # fmt: skip
RESULT = {
    "event": "result",
    "files": [FILE, {**FILE, "role": "preview", "path": "preview.png", "sop_class": None}],
    "metrics": {"outside_max_diff": 0},
    "verdict": {"verdict": "passed"},
    "report": "report.json",
    "seconds": {"read": 0.1},
}
STORY: tuple[dict[str, Any], ...] = (HELLO, STEP, SEEN, WARNED, RESULT)


def lines(*events: dict[str, Any]) -> bytes:
    """Events as the runner prints them, with letters that take two bytes."""
    return b"".join(json.dumps(e, ensure_ascii=False).encode() + b"\n" for e in events)


def heard(data: bytes, folder: Path | None, size: int = 1 << 20) -> list[Any]:
    """All events of some bytes that come ``size`` at a time."""
    ear = LineDecoder(folder)
    found = [e for i in range(0, len(data), size) for e in ear.feed(data[i : i + size])]
    return found + ear.end()


def test_each_event_arrives_whole(tmp_path: Path) -> None:
    hello, step, seen, warned, result = heard(lines(*STORY), tmp_path)
    assert hello == Hello(1, "0.1.0", "cpu", "ab")
    assert step == Progressed("sample", 3, 14, 2.5)
    assert seen == Preview(tmp_path / "preview.png", None)
    assert warned == Warned("spacing", "No späcing.")
    assert isinstance(result, Result)
    assert result.of("cf")[0].path == tmp_path / "cf" / "0001.dcm"
    assert result.of("cf")[0].label == "seed 7, severity 1.00"
    assert result.of("preview")[0].sop_class == ""
    assert result.report == str(tmp_path / "report.json")
    assert result.facts == {"seconds": {"read": 0.1}}


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_where_the_bytes_are_cut_does_not_matter(size: int, tmp_path: Path) -> None:
    data = lines(*STORY).replace(b"\n", b"\r\n")  # Windows
    assert heard(data, tmp_path, size) == heard(lines(*STORY), tmp_path)


def test_the_last_line_needs_no_end(tmp_path: Path) -> None:
    assert heard(lines(HELLO, STEP).rstrip(b"\n"), tmp_path)[-1] == Progressed("sample", 3, 14, 2.5)


@pytest.mark.parametrize(
    "junk",
    [
        b"a library printed this",
        b"\xff\xfe\x00",
        b"[1, 2]",
        b'"text"',
        b"null",
        b"{}",
        b"[" * 100_000,
        b'{"event": {}}',
        b'{"event": "progress", "stage": "read"}',
        b'{"event": "progress", "stage": 1, "step": 1, "total": 2}',
        b'{"event": "progress", "stage": "read", "step": "1", "total": 2}',
        b'{"event": "progress", "stage": "read", "step": 1.5, "total": 2}',
        b'{"event": "hello", "protocol": true}',
        b'{"event": "warning", "code": "x"}',
        b'{"event": "result", "files": 3}',
        b'{"event": "result", "files": [{}]}',
        b'{"event": "error", "code": null, "message": ""}',
    ],
)
def test_what_is_no_event_is_counted_and_passed_over(junk: bytes, tmp_path: Path) -> None:
    ear = LineDecoder(tmp_path)
    found = ear.feed(lines(HELLO) + junk + b"\n" + lines(STEP))
    assert [type(e) for e in found] == [Hello, Progressed]
    assert ear.junk == 1


def test_unknown_events_and_fields_are_for_later_versions(tmp_path: Path) -> None:
    ear = LineDecoder(tmp_path)
    found = ear.feed(lines(HELLO, {"event": "mood", "is": "good"}, {**STEP, "colour": "red"}))
    assert [type(e) for e in found] == [Hello, Progressed]
    assert ear.junk == 0


def test_an_endless_line_costs_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "LINE_BYTES", 1000)
    ear = LineDecoder(tmp_path)
    found = ear.feed(lines(HELLO))
    for _ in range(50):
        found += ear.feed(b"x" * 300)
        assert len(ear._buffer) <= 1300
    found += ear.feed(b"x\n" + lines(STEP))
    assert [type(e) for e in found] == [Hello, Progressed]
    assert ear.junk == 1


@pytest.mark.parametrize(
    ("step", "total", "eta", "expected"),
    [
        (0, 0, None, Progressed("read", 0, 1, None)),
        (9, 4, -1, Progressed("read", 4, 4, None)),
        (-3, 4, float("nan"), Progressed("read", 0, 4, None)),
        (1, 4, float("inf"), Progressed("read", 1, 4, None)),
        (1, 4, 0, Progressed("read", 1, 4, 0.0)),
    ],
)
def test_steps_make_sense_whatever_they_say(
    step: int, total: int, eta: float | None, expected: Progressed, tmp_path: Path
) -> None:
    said = {"event": "progress", "stage": "read", "step": step, "total": total, "eta_s": eta}
    assert heard(lines(HELLO, said), tmp_path)[1] == expected


def test_texts_are_short_and_hold_no_control_characters(tmp_path: Path) -> None:
    said = {"event": "error", "code": "x", "message": "a\x1b[31m\n" + "b" * 5000, "hint": None}
    (failed,) = heard(lines(said), tmp_path)
    assert failed.message.startswith("a [31m b")
    assert len(failed.message) == decoder.TEXT_LENGTH
    assert failed.hint == ""


@posix
@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "cf/../../x", "", "link/x"])
def test_a_file_outside_the_folder_ends_the_story(path: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    ear = LineDecoder(folder)
    _, failed = ear.feed(lines(HELLO, {**RESULT, "files": [{**FILE, "path": path}]}, STEP))
    assert isinstance(failed, Failed)
    assert failed.code == "protocol"
    assert ear.over


@pytest.mark.parametrize(
    ("protocol", "word"), [(0, "a newer wheel or checkout"), (2, "Extensions Manager")]
)
def test_another_protocol_says_what_to_update(protocol: int, word: str, tmp_path: Path) -> None:
    (failed,) = heard(lines({**HELLO, "protocol": protocol}, STEP, RESULT), tmp_path)
    assert failed.code == "protocol"
    assert word in failed.hint


def test_a_result_without_a_greeting_is_not_believed(tmp_path: Path) -> None:
    (failed,) = heard(lines(RESULT), tmp_path)
    assert failed.code == "protocol"


def test_an_error_needs_no_greeting_and_is_the_last_word(tmp_path: Path) -> None:
    said = {"event": "error", "code": "no_file", "message": "Gone.", "hint": "Look."}
    assert heard(lines(said, STEP, RESULT), tmp_path) == [Failed("no_file", "Gone.", "Look.")]


def test_without_a_folder_a_path_is_refused() -> None:
    assert isinstance(heard(lines(HELLO, RESULT), None)[1], Failed)
