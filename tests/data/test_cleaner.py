# SPDX-License-Identifier: Apache-2.0
"""Captions by a language model: what the rules let pass, what is kept on disk, what is refused."""

import csv
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from monai_cxr_cf.data.captioned import Collection
from monai_cxr_cf.data.cleaner import CACHE, Cleaner, checked_caption, cleaner_of
from monai_cxr_cf.data.language_model import KEY, Endpoint, LocalModel, instructions
from monai_cxr_cf.errors import BadRequest, ComponentMissing, RemoteFailure
from monai_cxr_cf.prompts.compose import NORMAL

REPORT = (
    "HISTORY: Pneumonia. FINDINGS: Small left pleural effusion. No pneumothorax. "
    "Possible right nodule. The heart is enlarged."
)
RULES = "mild left pleural effusion and cardiomegaly"
# answer -> what is made of it: a caption, or why it is not used
ANSWERS = {
    "small left pleural effusion and cardiomegaly": "small left pleural effusion and cardiomegaly",
    ' "Caption: Small left pleural effusion." ': "small left pleural effusion",
    "small left effusion and no pneumothorax": "mild left effusion",
    "pneumothorax": "absent",
    "small left effusion and pneumothorax": "absent",
    "right nodule": "doubtful",
    "small right pleural effusion": "side",
    "bilateral effusions": "side",
    "pneumonia": "unmentioned",  # it is the reason of the film
    "left effusion and rib fracture": "unmentioned",
    NORMAL: "missing",
    "unknown": "missing",
    "": "unusable",
    "I cannot help with that.": "unusable",
    "the effusion is small. " * 20: "unusable",
}  # fmt: skip


@pytest.mark.parametrize(("answer", "made"), ANSWERS.items(), ids=[a[:40] for a in ANSWERS])
def test_an_answer_is_used_only_if_the_rules_do_not_object(answer: str, made: str) -> None:
    caption, reason = checked_caption(answer, REPORT)
    assert (caption or reason) == made
    assert not (caption and reason)


@pytest.mark.parametrize(
    ("answer", "report", "made"),
    [
        (NORMAL, "No effusion. Lungs are clear.", (NORMAL, "")),
        ("effusion", "No effusion. Lungs are clear.", ("", "absent")),
        ("unknown", "Clinical correlation is recommended.", ("", "")),
        ("right effusion", "No left effusion. Small right effusion.", ("right effusion", "")),
        ("left effusion", "No left effusion. Small right effusion.", ("", "absent")),
        ("pneumonia", "Pneumonia cannot be excluded.", ("", "doubtful")),
        (NORMAL, "Pneumonia cannot be excluded.", ("", "missing")),
        ("edema", "The edema has resolved.", ("", "absent")),
        ("left effusion", "Unchanged effusion.", ("", "side")),
    ],
)
def test_no_answer_turns_a_report_round(answer: str, report: str, made: tuple[str, str]) -> None:
    assert checked_caption(answer, report) == made


class Answers(BaseHTTPRequestHandler):
    """An OpenAI-compatible server of one sentence, and what it was asked."""

    status, content, asked = 200, "small left pleural effusion", []

    def do_POST(self) -> None:
        """Note the request; answer as told."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append((self.path, self.headers.get("Authorization"), body))
        reply = {"choices": [{"message": {"role": "assistant", "content": self.content}}]}
        data = b"<html>" if self.content == "html" else json.dumps(reply).encode()
        if self.content == "other form":
            data = b'{"answer": 1}'
        self.send_response(self.status)
        self.send_header("Location", "http://192.0.2.1/")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The base URL of a server on loopback; a proxy of the environment must not see it."""
    for name, value in (("status", 200), ("content", "small left pleural effusion"), ("asked", [])):
        monkeypatch.setattr(Answers, name, value)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr("monai_cxr_cf.data.language_model.WAITS_S", (0.0, 0.0))
    running = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}/v1"
    running.shutdown()
    running.server_close()


def test_a_server_is_asked_once_for_each_report(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(KEY, "a-secret")
    clean = cleaner_of("some-model", server + "/", tmp_path)
    assert clean(REPORT) == clean(REPORT) == "small left pleural effusion"
    assert clean("  ") == ""
    (path, key, body), *more = Answers.asked
    assert not more
    assert (path, key) == ("/v1/chat/completions", "Bearer a-secret")
    assert (body["model"], body["temperature"]) == ("some-model", 0)
    assert body["messages"][0]["content"] == instructions()
    assert REPORT in body["messages"][1]["content"]
    kept = (tmp_path / CACHE).read_text()
    assert len(kept.splitlines()) == 1
    assert "Possible right nodule" not in kept  # by content hash, not by content
    again = cleaner_of("some-model", server, tmp_path)
    assert again(REPORT) == "small left pleural effusion"
    assert len(Answers.asked) == 1
    assert cleaner_of("other-model", server, tmp_path)(REPORT) == "small left pleural effusion"
    assert len(Answers.asked) == 2
    assert "a-secret" not in caplog.text + kept
    assert "Possible right nodule" not in caplog.text


def test_what_the_rules_object_to_is_replaced_and_counted(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "content", "left pneumothorax")
    clean = cleaner_of("m", server, tmp_path)
    assert clean(REPORT) == RULES
    assert clean("Left pneumothorax.") == "left pneumothorax"
    assert clean("Pneumothorax cannot be excluded.") == ""
    assert clean.lines() == [
        "captions of the language model: 1 used",
        "replaced by the rules' caption: 1 that name a finding that the report excludes",
        "replaced by the rules' caption: 1 that name a finding that the report only suspects",
        "reports without a caption: 1",
    ]


def test_a_line_of_the_cache_that_was_cut_is_asked_again(server: str, tmp_path: Path) -> None:
    assert cleaner_of("m", server, tmp_path)(REPORT)
    cache = tmp_path / CACHE
    cache.write_text(cache.read_text()[:-9])
    assert cleaner_of("m", server, tmp_path)(REPORT) == "small left pleural effusion"
    assert cleaner_of("m", server, tmp_path)(REPORT) == "small left pleural effusion"
    assert len(Answers.asked) == 2


@pytest.mark.parametrize(
    ("status", "content", "said", "tries"),
    [
        (401, "", "HTTP 401", 1),
        (302, "", "HTTP 302", 1),
        (429, "", "HTTP 429", 3),
        (200, "html", "another form", 1),
        (200, "other form", "another form", 1),
    ],
)
def test_a_refusal_is_one_sentence(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, content: str,
    said: str, tries: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(Answers, "status", status)
    monkeypatch.setattr(Answers, "content", content)
    with pytest.raises(RemoteFailure, match=said) as caught:
        cleaner_of("m", server, tmp_path)(REPORT)
    assert caught.value.hint
    assert len(Answers.asked) == tries
    assert not (tmp_path / CACHE).exists()


def test_silence_and_a_closed_door_are_one_sentence(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Event()
    monkeypatch.setattr(Answers, "do_POST", lambda self: waiting.wait(5))
    with pytest.raises(RemoteFailure, match=r"within 0\.2 s"):
        Endpoint(server, "m", answer_s=0.2).answer(REPORT)
    waiting.set()
    with pytest.raises(RemoteFailure, match="cannot be reached"):
        Endpoint("http://127.0.0.1:9/v1", "m").answer(REPORT)


@pytest.mark.parametrize(
    ("url", "remote", "said"),
    [
        ("ftp://127.0.0.1/v1", False, "http or https"),
        ("http://[::1/v1", False, "http or https"),
        ("http://127.0.0.1/v1?key=1", False, "http or https"),
        ("http://me:secret@127.0.0.1/v1", False, "Credentials"),
        ("https://llm.example/v1", False, "leave this machine"),
        ("http://llm.example/v1", True, "https only"),
    ],
)
def test_an_address_that_reports_must_not_go_to_is_refused(url, remote, said) -> None:
    with pytest.raises(BadRequest, match=said) as caught:
        Endpoint(url, "m", remote)
    assert "secret" not in str(caught.value)


def test_another_host_is_asked_where_that_is_allowed() -> None:
    assert Endpoint("https://llm.example/v1/", "m", remote=True).url == "https://llm.example/v1"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text-generation model of random weights with a tokenizer of characters."""
    folder = tmp_path_factory.mktemp("tiny")
    letters = {chr(k): k - 31 for k in range(32, 127)} | {"<unk>": 0, "\n": 96, "<end>": 97}
    tokenizer = Tokenizer(models.WordLevel(letters, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<end>"
    ).save_pretrained(folder)
    config = GPT2Config(vocab_size=98, n_positions=2500, n_embd=8, n_layer=1, n_head=1,
                        bos_token_id=97, eos_token_id=97)  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_a_local_model_answers_and_the_rules_catch_nonsense(tiny: Path, tmp_path: Path) -> None:
    clean = cleaner_of(str(tiny), None, tmp_path)
    assert clean(REPORT) == RULES
    assert clean.counts["asked"] == 1
    assert clean.counts["used"] == 0
    assert LocalModel(tiny).answer(REPORT) == LocalModel(tiny).answer(REPORT)
    with pytest.raises(BadRequest, match="too few"):
        LocalModel(tiny).answer("effusion " * 300)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ComponentMissing, match="no transformers model"):
        cleaner_of(str(tmp_path), None, tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ComponentMissing, match="does not load"):
        cleaner_of(str(tmp_path), None, tmp_path)


class Fixed:
    """A model of one answer."""

    name = "fixed"

    def answer(self, report: str) -> str:
        """Always the same."""
        return "small left pleural effusion"


def test_a_collection_is_captioned_by_the_cleaner_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="monai_cxr_cf")
    image = "train/patient00001/study1/view1_frontal.jpg"
    (tmp_path / image).parent.mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / image)
    row = {
        "path_to_image": image, "frontal_lateral": "Frontal", "ap_pa": "PA", "split": "train",
        "deid_patient_id": "patient00001", "section_findings": "", "section_impression": REPORT,
    }  # fmt: skip
    with (tmp_path / "df_chexpert_plus_240401.csv").open("w", newline="") as table:
        writer = csv.DictWriter(table, list(row))
        writer.writeheader()
        writer.writerow(row)
    clean = Cleaner(Fixed(), tmp_path / "out")
    rows = Collection(tmp_path, "chexpert-plus", clean=clean).read(("PA",), ("train",))
    assert [r.prompt for r in rows] == ["small left pleural effusion"]
    assert "captions of the language model: 1 used" in caplog.text
