"""Language models behind one interface; every reply is cached, so that no request is sent twice.

A model is named by a table:

    {model = "google/flan-t5-base"}           a transformers model: a local folder, or a name on a hub
    {model = "gpt-4o", base_url = "https://…/v1", key = "OPENAI_API_KEY"}     an OpenAI-compatible endpoint

`key` names the environment variable with the API key; the key itself is never stored. Both take `temperature`
and `max_tokens`; a local model also takes `device`.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mousterian.data.cache import data_directory
from mousterian.errors import InputError, first_line, unknown_name
from mousterian.files import write_atomically
from mousterian.seeds import digest, seed_for

T = TypeVar("T")
TRIES = 5  # requests before a malformed reply is an error
_CALLS, _PAUSE = 4, 2.0  # calls of a busy endpoint, and the first pause in seconds
_BUSY = {408, 409, 429, 500, 502, 503, 504}


class LanguageModel(Protocol):
    """A language model."""

    def reply(self, request: str, *, seed: int) -> str:
        """Return the model's reply to a request; it may depend on the seed."""
        ...


@dataclass(frozen=True)
class Settings:
    """A model, and how it is sampled.

    Attributes:
        model: a local folder, or the model's name on a hub or at the endpoint.
        base_url: of an OpenAI-compatible endpoint, including "/v1"; empty: a local model.
        key: environment variable with the endpoint's API key; empty: none is needed.
        temperature: of sampling; 0: greedy decoding. Diversify used 0.75.
        max_tokens: maximum length of a reply.
        device: torch device of a local model; "auto": an accelerator if there is one.
        timeout: of a call of the endpoint, in seconds.
    """

    model: str
    base_url: str = ""
    key: str = ""
    temperature: float = 0.75
    max_tokens: int = 1024
    device: str = "auto"
    timeout: float = 120.0

    @classmethod
    def read(cls, given: str | Mapping[str, Any]) -> Settings:
        """Return the settings of a name or a table.

        Raises:
            InputError: an unknown key, a value of the wrong type, or no model.
        """
        table = {"model": given} if isinstance(given, str) else dict(given)
        known = {each.name: str(each.type) for each in fields(cls)}
        for name, value in table.items():
            if name not in known:
                raise unknown_name("key", name, known, where="language model")
            wanted: tuple[type, ...] = {"str": (str,), "int": (int,), "float": (int, float)}[known[name]]
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise InputError(f"{name} = {value!r} is not {known[name]}", where="language model")
        if not table.get("model"):
            raise InputError(
                "no language model given",
                hint='set language = {model = "a folder, or a name on a hub"}, or one with base_url and key',
            )
        return cls(**table)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that determines the model's replies."""
        return {name: getattr(self, name) for name in ("model", "base_url", "temperature", "max_tokens")}


def load(given: str | Mapping[str, Any], *, replies: Path | None = None) -> LanguageModel:
    """Return a language model with cached replies; the model itself is loaded on first use.

    Args:
        given: its name, or a table as described above.
        replies: folder of the cached replies; by default `language` in the data directory.
    """
    settings = Settings.read(given)
    model = Endpoint(settings) if settings.base_url else LocalModel(settings)
    return CachedModel(model, settings, replies or data_directory(None) / "language")


def parsed_reply(
    language: LanguageModel,
    request: str,
    parse: Callable[[str], T],
    *,
    seed: int,
    what: str,
    tries: int = TRIES,
) -> T:
    """Return a reply as parsed by `parse`; while it raises ValueError, the request is repeated.

    Args:
        language: the model.
        request: the prompt.
        parse: returns the reply's content, or raises ValueError with what is wrong with it.
        seed: of the first request; those of the others derive from it.
        what: what is requested, for the message.
        tries: maximum number of requests.

    Raises:
        InputError: every reply was malformed.
    """
    reply, fault = "", ""
    for attempt in range(tries):
        reply = language.reply(request, seed=seed_for("reply", seed, attempt) if attempt else seed)
        try:
            return parse(reply)
        except ValueError as error:
            fault = str(error)
    raise InputError(
        f"{tries} replies for {what} could not be used; the last: {fault}; it was {reply[:200]!r}",
        where="language model",
        hint="use a larger model, one that follows instructions, or another prompt maker",
    )


@dataclass(frozen=True)
class CachedModel:
    """A language model with replies cached on disk, by the content of the requests."""

    model: LanguageModel
    settings: Settings
    folder: Path

    def reply(self, request: str, *, seed: int) -> str:
        """Return the cached reply, or request one and cache it."""
        question = {**self.settings.identity, "request": request, "seed": seed}
        path = self.folder / f"{digest(question)}.json"
        try:
            cached = json.loads(path.read_text(encoding="utf-8"))
            if cached["question"] == question:
                return str(cached["reply"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass  # not cached yet, or damaged
        reply = self.model.reply(request, seed=seed)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot cache replies ({error.strerror})", where=str(self.folder)) from error
        write_atomically(path, json.dumps({"question": question, "reply": reply}, indent=1).encode())
        return reply


@dataclass(frozen=True)
class LocalModel:
    """A transformers model: encoder-decoder (T5) or decoder-only (Llama)."""

    settings: Settings

    def reply(self, request: str, *, seed: int) -> str:
        """Return a sampled reply; the same request and seed give the same reply on one machine."""
        import torch

        tokenizer, network, device = self._loaded
        if tokenizer.chat_template:
            message = [{"role": "user", "content": request}]
            request = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        tokens = tokenizer(request, return_tensors="pt").to(device)
        tokens.pop("token_type_ids", None)
        sampling: dict[str, Any] = {"do_sample": False}
        if self.settings.temperature:
            sampling = {"do_sample": True, "temperature": self.settings.temperature, "top_k": 0}
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(seed)
            output = network.generate(**tokens, max_new_tokens=self.settings.max_tokens, **sampling)[0]
        if not network.config.is_encoder_decoder:
            output = output[tokens["input_ids"].shape[1] :]
        text: str = tokenizer.decode(output, skip_special_tokens=True)
        return text.strip()

    @cached_property
    def _loaded(self) -> tuple[Any, Any, Any]:
        try:
            import torch
            from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
        except ImportError:
            raise InputError(
                "a local language model needs the package transformers",
                hint="pip install 'mousterian[text]', or set the `base_url` of an endpoint",
            ) from None
        name, chosen = self.settings.model, self.settings.device
        device = torch.device(chosen if chosen != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
        path = Path(name).expanduser()
        where = str(path) if path.is_dir() else name
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        try:
            encoder_decoder = AutoConfig.from_pretrained(where).is_encoder_decoder
            auto_class = AutoModelForSeq2SeqLM if encoder_decoder else AutoModelForCausalLM
            network = auto_class.from_pretrained(where, dtype=dtype, use_safetensors=True)
            tokenizer = AutoTokenizer.from_pretrained(where)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"the language model cannot be loaded ({first_line(error)})",
                where=name,
                hint="give a local folder with config.json, tokenizer and safetensors weights, or a name on a"
                " hub that this machine can reach",
            ) from error
        return tokenizer, network.to(device).eval(), device


@dataclass(frozen=True)
class Endpoint:
    """A server with OpenAI's chat completions API."""

    settings: Settings
    pause: float = field(default=_PAUSE, compare=False)

    def reply(self, request: str, *, seed: int) -> str:
        """Return the server's reply; the call is retried with pauses while it is busy."""
        url = f"{self.settings.base_url.rstrip('/')}/chat/completions"
        if not url.startswith(("http://", "https://")):
            raise InputError("base_url must begin with http:// or https://", where=url)
        body = {
            "model": self.settings.model,
            "messages": [{"role": "user", "content": request}],
            "temperature": self.settings.temperature,
            "max_tokens": self.settings.max_tokens,
            "seed": seed % 2**31,
        }
        failure = self._error(url, "was not called")
        for call in range(_CALLS):
            if call:
                time.sleep(self.pause * 2 ** (call - 1))
            try:
                return self._content(url, json.dumps(body).encode())
            except urllib.error.HTTPError as error:
                details = error.read(300).decode("utf-8", "replace")
                failure = self._error(url, f"returned {error.code} {error.reason}: {details}")
                if error.code not in _BUSY:
                    break
            except OSError as error:  # connection refused, lost or timed out
                failure = self._error(url, f"does not respond ({getattr(error, 'reason', error)})")
        raise failure

    def _content(self, url: str, body: bytes) -> str:
        headers = {"Content-Type": "application/json", **self._key()}
        request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 (checked: http or https)
        with urllib.request.urlopen(request, timeout=self.settings.timeout) as response:  # noqa: S310
            raw = response.read()
        try:
            return str(json.loads(raw)["choices"][0]["message"]["content"]).strip()
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise self._error(url, f"returned no chat completion: {raw[:200]!r}") from error

    def _key(self) -> dict[str, str]:
        name = self.settings.key
        if not name:
            return {}
        key = os.environ.get(name)
        if not key:
            raise InputError(
                f"the environment variable {name} is not set",
                where="language model",
                hint=f"export {name}=… with the endpoint's API key",
            )
        return {"Authorization": f"Bearer {key}"}

    def _error(self, url: str, what: str) -> InputError:
        return InputError(
            f"the language model's endpoint {what}",
            where=url,
            hint="start it, or correct base_url, model or key, and run the same command again: the replies"
            " received so far are cached",
        )
