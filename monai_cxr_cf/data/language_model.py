# SPDX-License-Identifier: Apache-2.0
"""A report in, a language model's caption out: an OpenAI-compatible server, or a local folder.

Reports may hold what belongs to a patient. They are sent to this machine alone unless the caller
says that they may leave it; they are never logged, and neither is the key, which comes from the
environment.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from monai_cxr_cf.errors import INSTALL_EXTRA, BadRequest, ComponentMissing, RemoteFailure

KEY = "CXR_CF_LLM_KEY"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
CONNECT_S, ANSWER_S = 10.0, 120.0
WAITS_S = (1.0, 4.0)  # before the second and the third try, where the server is busy
BUSY = (429, 503)
TOKENS = 80  # of an answer; 25 words and some
EXCERPT = 8000  # characters of a report; longer ones are cut


class LanguageModel(Protocol):
    """Answers one report with one caption; ``name`` tells models apart in the cache."""

    name: str

    def answer(self, report: str) -> str:
        """The caption as the model wrote it."""


def instructions() -> str:
    """The prompt that every model gets before the report."""
    return (resources.files("monai_cxr_cf") / "data" / "cleaner_prompt.txt").read_text("utf-8")


@dataclass
class Endpoint:
    """A server that speaks the OpenAI chat protocol, named by its base URL."""

    url: str  # such as http://127.0.0.1:8000/v1
    model: str
    remote: bool = False  # the reports may leave this machine
    answer_s: float = ANSWER_S

    def __post_init__(self) -> None:
        """Check the address before anything is read."""
        self.url = checked(self.url, remote=self.remote)
        self.name = f"{self.url} {self.model}"

    def answer(self, report: str) -> str:
        """The first choice of the server's answer, at temperature 0.

        Raises:
            RemoteFailure: no connection, no answer in time, a refusal, or another form.
        """
        body = {
            "model": self.model,
            "temperature": 0,
            "max_tokens": TOKENS,
            "messages": [
                {"role": "system", "content": instructions()},
                {"role": "user", "content": f"Report: {report[:EXCERPT]}\nCaption:"},
            ],
        }
        for wait in (*WAITS_S, None):
            status, content = self._post(body)
            if status not in BUSY or wait is None:
                break
            time.sleep(wait)
        if status != 200:
            raise RemoteFailure(
                f"The language model's server refused with HTTP {status}.",
                hint=f"Check --llm-model and {KEY}; what was answered so far is kept.",
            )
        return _first_choice(content)

    def _post(self, body: dict[str, Any]) -> tuple[int, Any]:
        httpx = _httpx()
        key = os.environ.get(KEY, "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Timeout(self.answer_s, connect=CONNECT_S)
        here = urlsplit(self.url).hostname in LOOPBACK  # then no proxy of the environment sees it
        try:
            reply = httpx.post(
                f"{self.url}/chat/completions", json=body, headers=headers, timeout=limits,
                trust_env=not here,
            )  # fmt: skip
            return reply.status_code, reply.json() if reply.status_code == 200 else None
        except httpx.TimeoutException as error:
            raise RemoteFailure(
                f"The language model's server did not answer within {self.answer_s:g} s.",
                hint="Start again: what was answered so far is kept.",
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise RemoteFailure(
                "The language model's server cannot be reached.", hint="Check --llm-url."
            ) from error
        except ValueError as error:
            raise _other_form() from error


def _httpx() -> Any:
    try:
        import httpx
    except ImportError as error:
        raise ComponentMissing(
            "Asking a language model over HTTP needs httpx, which is not installed.",
            hint=INSTALL_EXTRA.format("train"),
        ) from error
    return httpx


def _first_choice(content: Any) -> str:
    try:
        text = content["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise _other_form() from error
    if not isinstance(text, str):
        raise _other_form()
    return text


def _other_form() -> RemoteFailure:
    return RemoteFailure(
        "The language model's server answered in another form than the OpenAI chat protocol.",
        hint="--llm-url is the base URL, such as http://127.0.0.1:8000/v1.",
    )


def checked(url: str, *, remote: bool) -> str:
    """The base URL without a final slash; BadRequest if reports must not be sent there."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise BadRequest(
            "A language model's server is named by its http or https base URL.",
            hint="Such as http://127.0.0.1:8000/v1.",
        )
    if parts.username or parts.password:
        raise BadRequest(
            "Credentials do not belong in a URL: other users of this machine can read it.",
            hint=f"Set {KEY}.",
        )
    if host not in LOOPBACK and not remote:
        raise BadRequest(
            "The reports would leave this machine: the language model's server is another host.",
            hint="Their licence may forbid that (PhysioNet's does); --llm-remote says it may be.",
        )
    if host not in LOOPBACK and parts.scheme != "https":
        raise BadRequest("Reports are sent to another host by https only.", hint="Use https://.")
    return url.rstrip("/")


class LocalModel:
    """A folder with a transformers text-generation model and its tokenizer (safetensors)."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "config.json").is_file():
            raise ComponentMissing(
                f"The folder {folder.name!r} holds no transformers model (config.json).",
                hint="Give --llm-model a downloaded model's folder, or a server with --llm-url.",
            )
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.model = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            ).eval()
        except (OSError, ValueError, KeyError) as error:
            raise ComponentMissing(
                f"The folder {folder.name!r} does not load as a text-generation model.",
                hint="It needs config.json, a tokenizer, and weights as safetensors.",
            ) from error
        self.name = f"{folder.resolve()} {(folder / 'config.json').stat().st_mtime_ns}"

    def answer(self, report: str) -> str:
        """The greedy continuation."""
        import torch

        asked = f"Report: {report[:EXCERPT]}\nCaption:"
        if self.tokenizer.chat_template:
            turns = [{"role": "user", "content": f"{instructions()}\n{asked}"}]
            text = self.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )
        else:
            text = f"{instructions()}\n{asked}"
        tokens = self.tokenizer(text, return_tensors="pt")
        room = getattr(self.model.config, "max_position_embeddings", None)
        if room and tokens["input_ids"].shape[1] + TOKENS > room:
            raise BadRequest(
                f"The local language model reads {room} tokens, too few for a report.",
                hint="Choose one with a longer context.",
            )
        with torch.no_grad():
            out = self.model.generate(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"],
                max_new_tokens=TOKENS, do_sample=False,
                pad_token_id=self.tokenizer.pad_token_id or self.tokenizer.eos_token_id,
            )  # fmt: skip
        new = out[0, tokens["input_ids"].shape[1] :]
        return str(self.tokenizer.decode(new, skip_special_tokens=True))
