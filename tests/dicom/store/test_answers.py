# SPDX-License-Identifier: Apache-2.0
"""What stores answer, well and badly: one DICOM file, one sentence, never half a file."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from monai_cxr_cf.dicom.store.answers import boundary_of, reason
from monai_cxr_cf.dicom.store.pacs import Instance, Pacs, SeriesFound
from monai_cxr_cf.dicom.store.remote import TOKEN
from monai_cxr_cf.errors import BadRequest, CxrError, RemoteFailure
from tests.dicom.factory import Spec, build, save
from tests.dicom.store.small_store import Answer, small_store

pytest.importorskip("dicomweb_client", reason="pip install '.[server]'")
STUDY, SERIES, WANTED = "1.2.840.1", "1.2.840.1.1", "1.2.840.1.1.1"
RELATED = 'multipart/related; type="application/dicom"; boundary='
PART = b"Content-Type: application/dicom\r\n\r\n"


def film(uid: str = WANTED, mark: bytes = b"") -> bytes:
    """A small DICOM file; ``mark`` is hidden in its preamble, where anything may stand."""
    import io

    ds = build(Spec(sop="SC", rows=64, columns=64))
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid
    ds.preamble = (mark + b"\0" * 128)[:128]
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


FILM, OTHER = film(), film("1.2.840.9")
MARKED = film(mark=b"\r\n--edg\r\n--edgeless\r\n\r\n")


def parts(*contents: bytes, edge: bytes = b"edge", line: bytes = b"\r\n") -> bytes:
    """A multipart message, closed."""
    head = PART.replace(b"\r\n", line)
    body = b"".join(b"--" + edge + line + head + content + line for content in contents)
    return body + b"--" + edge + b"--"


SAVED: dict[str, tuple[bytes, str]] = {
    "as the standard has it": (parts(FILM), RELATED + "edge"),
    "quoted boundary with a space": (parts(FILM, edge=b"my edge"), RELATED + '"my edge"'),
    "capitals in the type": (parts(FILM), 'MULTIPART/Related; BOUNDARY="edge"'),
    "boundary first, parameters after": (
        parts(FILM),
        'multipart/related; boundary=edge; start="<1@s>"; type="application/dicom"',
    ),
    "mixed instead of related": (parts(FILM), "multipart/mixed; boundary=edge"),
    "an empty line first": (b"\r\n" + parts(FILM), RELATED + "edge"),
    "words before the first part": (b"For old readers.\r\n" + parts(FILM), RELATED + "edge"),
    "words after the last part": (parts(FILM) + b"\r\nthe end", RELATED + "edge"),
    "lines that end in LF": (parts(FILM, line=b"\n"), RELATED + "edge"),
    "blanks behind the boundary": (parts(FILM).replace(b"edge\r\n", b"edge  \r\n"),
                                   RELATED + "edge"),
    "a part without a header": (parts(FILM).replace(PART, b"\r\n"), RELATED + "edge"),
    "a long header of the part": (
        parts(FILM).replace(PART, b"Content-Location: /" + b"x" * 70_000 + b"\r\n" + PART),
        RELATED + "edge",
    ),
    "bytes that resemble the boundary": (parts(MARKED), RELATED + "edge"),
    "the same part twice": (parts(FILM, FILM), RELATED + "edge"),
    "two parts, the second is wanted": (parts(OTHER, FILM), RELATED + "edge"),
    "a note beside the film": (parts(b"{}", FILM), RELATED + "edge"),
    "bare": (FILM, "application/dicom"),
    "bare, with a parameter": (FILM, "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"),
    "bare octets": (FILM, "application/octet-stream"),
    "bare, type unknown": (FILM, ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAVED)
def test_a_film_is_saved_byte_for_byte(kind: str, tmp_path: Path) -> None:
    body, content_type = SAVED[kind]
    with small_store(Answer(body, content_type)) as store:
        Pacs(store.url).fetch(STUDY, SERIES, WANTED, tmp_path / "film")
    assert (tmp_path / "film").read_bytes() == (MARKED if "resemble" in kind else FILM)
    assert [path.name for path in tmp_path.iterdir()] == ["film"]


NEVER_SAVED: dict[str, tuple[Answer, type[CxrError], str]] = {
    "page to log in": (Answer(b"<html>Log in</html>", "text/html"), RemoteFailure, "web page"),
    "page that calls itself DICOM": (
        Answer(b"<html>Log in</html>", "application/dicom"), RemoteFailure, "something else"),
    "JSON": (Answer(b"[]"), RemoteFailure, "JSON"),
    "JSON null": (Answer(b"null"), RemoteFailure, "JSON"),
    "XML": (Answer(b"<NativeDicomModel/>", "application/dicom+xml"), RemoteFailure, "XML"),
    "text": (Answer(b"try later", "text/plain; charset=utf-8"), RemoteFailure, "text"),
    "a picture": (Answer(b"\xff\xd8\xff\xe0", "image/jpeg"), RemoteFailure, "a picture"),
    "parts that are pictures": (
        Answer(parts(b"\xff\xd8\xff\xe0"), RELATED + "edge"), RemoteFailure, "a multipart message"),
    "nothing": (Answer(b"", RELATED + "edge"), RemoteFailure, "nothing"),
    "204": (Answer(b"", "", 204), BadRequest, "no such instance (status 204)"),
    "404": (Answer(b"no", "text/plain", 404), BadRequest, "no such instance (status 404)"),
    "410": (Answer(b"", "", 410), BadRequest, "no such instance (status 410)"),
    "no last boundary": (
        Answer(parts(FILM)[:-8], RELATED + "edge"), RemoteFailure, "before its last boundary"),
    "half a part": (
        Answer(parts(FILM)[:1000], RELATED + "edge"), RemoteFailure, "before its last boundary"),
    "another boundary": (Answer(parts(FILM), RELATED + "rim"), RemoteFailure, "holds no part"),
    "two other films": (
        Answer(parts(OTHER, film("1.2.3")), RELATED + "edge"), RemoteFailure, "2 files"),
    "half of the mark": (Answer(b"\0" * 128 + b"DIC", "application/dicom"), RemoteFailure, "else"),
    "401": (Answer(b"", "", 401), RemoteFailure, "status 401"),
    "406": (Answer(b"", "", 406), RemoteFailure, "status 406"),
    "503": (Answer(b"busy", "text/plain", 503), RemoteFailure, "status 503"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NEVER_SAVED)
def test_what_is_no_film_is_never_saved(kind: str, tmp_path: Path) -> None:
    answer, error, words = NEVER_SAVED[kind]
    with small_store(answer) as store, pytest.raises(error) as refused:
        Pacs(store.url).fetch(STUDY, SERIES, WANTED, tmp_path / "film")
    assert words in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_redirect_to_the_film_is_followed_and_one_to_a_login_page_refused(tmp_path: Path) -> None:
    away = Answer(b"", "", 302, (("Location", "/elsewhere/film"),))
    with small_store(away, elsewhere=Answer(FILM, "application/dicom")) as store:
        Pacs(store.url).fetch(STUDY, SERIES, WANTED, tmp_path / "film")
        assert (tmp_path / "film").read_bytes() == FILM
        store.answers["elsewhere"] = Answer(b"<html/>", "text/html; charset=utf-8")
        with pytest.raises(RemoteFailure, match="log in"):
            Pacs(store.url).fetch(STUDY, SERIES, WANTED, tmp_path / "other")
        with pytest.raises(RemoteFailure, match="log in"):
            Pacs(store.url).find(study=STUDY)
        with pytest.raises(RemoteFailure, match="sends to another address"):
            Pacs(store.url).store([save(tmp_path / "a.dcm")])


def entry(**more: Any) -> dict[str, Any]:
    """One instance as QIDO lists it; a keyword names a tag, None removes it."""
    found = {"0020000D": [STUDY], "0020000E": [SERIES], "00080018": [WANTED], "00080060": ["DX"]}
    vrs = {"00080060": "CS", "00280010": "US", "00080020": "DA", "00201209": "IS"}
    for tag, value in more.items():
        found[tag.removeprefix("t")] = value
    listed = {tag: {"vr": vrs.get(tag, "UI"), "Value": v} for tag, v in found.items() if v}
    return {**listed, **{tag: {"vr": vrs.get(tag, "UI")} for tag, v in found.items() if v == []}}


def listed(*entries: object) -> bytes:
    """A QIDO body."""
    return json.dumps(entries).encode()


LISTS: dict[str, tuple[Answer, int | str]] = {
    "one": (Answer(listed(entry())), 1),
    "plain JSON type": (Answer(listed(entry()), "application/json"), 1),
    "with a character set": (Answer(listed(entry()), "application/dicom+json;charset=UTF-8"), 1),
    "no type at all": (Answer(listed(entry()), ""), 1),
    "one object instead of a list": (Answer(json.dumps(entry()).encode()), 1),
    "empty list": (Answer(b"[]"), 0),
    "null": (Answer(b"null"), 0),
    "nothing": (Answer(b""), 0),
    "204": (Answer(b"", "", 204), 0),
    "another modality among them": (Answer(listed(entry(), entry(t00080060=["CT"]))), 1),
    "empty values": (Answer(listed(entry(t00080020=[], t00280010=[]))), 1),
    "numbers as text": (Answer(listed(entry(t00280010=["120"]))), 1),
    "no series": (Answer(listed(entry(t0020000E=None))), "no usable SeriesInstanceUID"),
    "an identifier that is a path": (
        Answer(listed(entry(t00080018=["../../x"]))), "no usable SOPInstanceUID"),
    "a page": (Answer(b"<html/>", "text/html"), "a web page"),
    "an empty page": (Answer(b"", "text/html"), "a web page"),
    "XML": (Answer(b"<a/>", "application/dicom+xml"), "XML"),
    "a page that calls itself JSON": (Answer(b"<html/>"), "cannot be parsed"),
    "half of a list": (Answer(listed(entry())[:-9]), "cannot be parsed"),
    "words": (Answer(b'"later"'), "cannot be parsed"),
    "a number": (Answer(b"7"), "cannot be parsed"),
    "403": (Answer(b"", "", 403), "status 403"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_is_read_or_refused_in_a_sentence(kind: str) -> None:
    answer, outcome = LISTS[kind]
    with small_store(answer) as store:
        if isinstance(outcome, str):
            with pytest.raises(RemoteFailure) as refused:
                Pacs(store.url).find(study=STUDY)
            assert outcome in str(refused.value)
            return
        found = Pacs(store.url).find(study=STUDY)
    rows = 120 if "numbers" in kind else None
    assert found == (Instance(STUDY, SERIES, WANTED, "", "DX", rows),) * outcome


def test_series_of_a_store_that_ignores_the_filter_are_listed_once_and_by_their_modality() -> None:
    all_of_them = listed(*(entry(t00080060=[m], t00201209=["2"]) for m in ("CT", "DX", "SR")))
    with small_store(Answer(all_of_them)) as store:
        assert Pacs(store.url).find_series() == (SeriesFound(STUDY, SERIES, "DX", 2),)


def outcome(sequence: str = "00081199", reason_tag: str = "", number: object = None) -> bytes:
    """A STOW answer of one item."""
    item: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [WANTED]}}
    if reason_tag:
        item[reason_tag] = {"vr": "US", "Value": [number]}
    return json.dumps({sequence: {"vr": "SQ", "Value": [item]}}).encode()


REFERENCED, FAILED, OTHER_FAILURE = "00081199", "00081198", "0008119A"
WHY, WARNING = "00081197", "00081196"
WARNED = ("changed", "elements left out", "a warning of its own")
ok = outcome()
STORED: dict[str, tuple[Answer, str]] = {
    "taken": (Answer(ok), "stored"),
    "taken, with a character set": (Answer(ok, "application/dicom+json; charset=utf-8"), "stored"),
    "taken, no type": (Answer(ok, ""), "stored"),
    "taken, an empty list of failures": (
        Answer(ok[:-1] + b', "00081198": {"vr": "SQ"}}'), "stored"),
    "changed": (Answer(outcome(REFERENCED, WARNING, 0xB000)), "values were changed (B000)"),
    "elements left out": (
        Answer(outcome(REFERENCED, WARNING, 0xB006), status=202), "elements were discarded (B006)"),
    "a warning of its own": (Answer(outcome(REFERENCED, WARNING, 0xB123)), "status B123"),
    "no memory": (Answer(outcome(FAILED, WHY, 0xA700)), "file 1: out of resources (A700)"),
    "no memory, by family": (Answer(outcome(FAILED, WHY, 0xA7F1)), "out of resources (A7F1)"),
    "unknown class": (Answer(outcome(FAILED, WHY, 0x0122), status=409), "SOP class) is not taken"),
    "not authorized": (Answer(outcome(FAILED, WHY, 0x0124), status=409), "not authorized (0124)"),
    "not understood": (Answer(outcome(FAILED, WHY, 0xC0FF)), "cannot be understood (C0FF)"),
    "transfer syntax": (Answer(outcome(FAILED, WHY, 0xC122)), "transfer syntax is not taken"),
    "a number as text": (Answer(outcome(FAILED, WHY, "272")), "processing failure (0110)"),
    "no reason": (Answer(outcome(FAILED)), "no reason given"),
    "another failure": (Answer(outcome(OTHER_FAILURE, WHY, 0x0110)), "processing failure"),
    "nothing said": (Answer(b""), "did not confirm file 1: it answered with nothing"),
    "204": (Answer(b"", "", 204), "did not confirm file 1: it answered with nothing (status 204)"),
    "null": (Answer(b"null"), "did not confirm file 1"),
    "XML": (Answer(b"<a/>", "application/dicom+xml"), "it answered with XML"),
    "a page": (Answer(b"<html/>", "text/html"), "a web page"),
    "too large": (Answer(b"no", "text/html", 413), "it is too large (status 413)"),
    "media type": (Answer(b"", "", 415), "its media type is not taken (status 415)"),
    "credentials": (Answer(b"", "", 401), "credentials are needed (status 401)"),
    "broken": (Answer(b"Doe^Jane", "text/plain", 500), "status 500"),
}  # fmt: skip


TAKEN = [kind for kind, (_, text) in STORED.items() if text == "stored" or kind in WARNED]


@pytest.mark.parametrize("kind", TAKEN)
def test_what_a_store_says_of_a_file_that_it_takes_is_told(kind: str, tmp_path: Path) -> None:
    answer, expected = STORED[kind]
    path, told = save(tmp_path / "a.dcm", Spec(rows=64, columns=64)), []
    with small_store(answer) as store:
        assert Pacs(store.url).store([path], warn=told.append) == 1
        assert path.read_bytes() in store.bodies[0]
    assert told == ([] if expected == "stored" else [f"file 1: {expected}"])


@pytest.mark.parametrize("kind", [kind for kind in STORED if kind not in TAKEN])
def test_why_a_store_refuses_a_file_is_told(kind: str, tmp_path: Path) -> None:
    answer, expected = STORED[kind]
    path = save(tmp_path / "a.dcm", Spec(rows=64, columns=64))
    with small_store(answer) as store, pytest.raises(RemoteFailure) as refused:
        Pacs(store.url).store([path])
    assert expected in str(refused.value)
    assert "Doe" not in str(refused.value)


def test_a_store_is_never_told_of_in_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(TOKEN, "very-secret")
    caplog.set_level(logging.DEBUG)
    with small_store(Answer(listed(entry()))) as store:
        Pacs(store.url).find(study=STUDY)
        with pytest.raises(RemoteFailure) as refused:
            Pacs(store.url).fetch(STUDY, SERIES, WANTED, tmp_path / "film")
    assert {headers["Authorization"] for _, _, headers in store.asked} == {"Bearer very-secret"}
    for text in (caplog.text, str(refused.value)):
        assert "very-secret" not in text
        assert STUDY not in text


def test_a_boundary_is_read_in_every_spelling() -> None:
    assert boundary_of('multipart/related; boundary="a b"') == b"a b"
    assert boundary_of("Multipart/Related;Boundary=x;type=y") == b"x"
    assert boundary_of("application/dicom; boundary=x") == b""
    assert boundary_of("multipart/related") == b""
    assert boundary_of("") == b""


def test_a_status_is_named_by_its_family() -> None:
    assert reason(0xA9AB) == "the object does not match its SOP class (A9AB)"
    assert reason(0xB00E) == "status B00E"
    assert reason(0x7FFF) == "status 7FFF"
