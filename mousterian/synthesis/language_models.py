"""Language models behind one small interface; every reply is kept, so that it need not be asked twice.

A model is named by a table:

    {model = "google/flan-t5-base"}                   a transformers model: a local folder or a hub's name
    {model = "gpt-4o", base_url = "https://…/v1", key = "OPENAI_API_KEY"}     an OpenAI-compatible endpoint

`key` names the environment variable that holds the key; the key itself is written nowhere. Both take
`temperature` and `max_tokens`; a local model also takes `device`.
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
TRIES = 5  # how often a malformed reply is asked for again
_CALLS, _PAUSE = 4, 2.0  # how often an endpoint that is busy is called, and the first pause in seconds
_BUSY = {408, 409, 429, 500, 502, 503, 504}


class Language(Protocol):
    """A language model."""

    def reply(self, request: str, *, seed: int) -> str:
        """Return the model's answer to a request; another seed may give another."""
        ...


@dataclass(frozen=True)
class Settings:
    """Which model, and how it is sampled.

    Attributes:
        model: a local folder, a hub's name, or the endpoint's name for it.
        base_url: of an OpenAI-compatible endpoint, up to and with "/v1"; a local model if empty.
        key: environment variable that holds the endpoint's key; "" where it needs none.
        temperature: of sampling; 0 takes the likeliest word each time. Diversify used 0.75.
        max_tokens: longest reply.
        device: torch device of a local model; "auto" takes an accelerator where there is one.
        timeout: seconds that one reply of an endpoint may take.
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
        """Return the settings that a name or a table gives.

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
                "no language model is named",
                hint='give language = {model = "a folder or a hub\'s name"}, or one with base_url and key',
            )
        return cls(**table)

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides what the model answers."""
        return {name: getattr(self, name) for name in ("model", "base_url", "temperature", "max_tokens")}


def load(given: str | Mapping[str, Any], *, replies: Path | None = None) -> Language:
    """Return a language model whose replies are kept; the model itself is only loaded when it is needed.

    Args:
        given: its name, or a table as at the head of this module.
        replies: folder of kept replies; by default `language` in the data directory.
    """
    settings = Settings.read(given)
    inner = Endpoint(settings) if settings.base_url else Local(settings)
    return CachedModel(inner, settings, replies or data_directory(None) / "language")


def asked(
    language: Language, request: str, read: Callable[[str], T], *, seed: int, what: str, tries: int = TRIES
) -> T:
    """Return what `read` makes of a reply; one that it refuses with ValueError is asked for again.

    Args:
        language: the model.
        request: what it is asked.
        read: gives the reply's content, or raises ValueError saying what is wrong with it.
        seed: of the first try; the others follow from it.
        what: what is asked for, for the message.
        tries: how often.

    Raises:
        InputError: every try was malformed.
    """
    reply, fault = "", ""
    for attempt in range(tries):
        reply = language.reply(request, seed=seed_for("reply", seed, attempt) if attempt else seed)
        try:
            return read(reply)
        except ValueError as error:
            fault = str(error)
    raise InputError(
        f"{tries} replies for {what} could not be used; the last: {fault}; it was {reply[:200]!r}",
        where="language model",
        hint="use a larger model, one that follows instructions, or another prompt maker",
    )


@dataclass(frozen=True)
class CachedModel:
    """A language model whose replies lie on disk by the content of their requests."""

    inner: Language
    settings: Settings
    folder: Path

    def reply(self, request: str, *, seed: int) -> str:
        """Return the kept reply, or ask for one and keep it."""
        question = {**self.settings.identity, "request": request, "seed": seed}
        path = self.folder / f"{digest(question)}.json"
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["question"] == question:
                return str(kept["reply"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass  # not asked yet, or damaged: ask
        reply = self.inner.reply(request, seed=seed)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot keep replies ({error.strerror})", where=str(self.folder)) from error
        write_atomically(path, json.dumps({"question": question, "reply": reply}, indent=1).encode())
        return reply


@dataclass(frozen=True)
class Local:
    """A transformers model, of either kind: encoder and decoder (T5), or decoder alone (Llama)."""

    settings: Settings

    def reply(self, request: str, *, seed: int) -> str:
        """Return what the model writes; the same request and seed give the same on one machine."""
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
            written = network.generate(**tokens, max_new_tokens=self.settings.max_tokens, **sampling)[0]
        if not network.config.is_encoder_decoder:
            written = written[tokens["input_ids"].shape[1] :]
        text: str = tokenizer.decode(written, skip_special_tokens=True)
        return text.strip()

    @cached_property
    def _loaded(self) -> tuple[Any, Any, Any]:
        try:
            import torch
            from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
        except ImportError:
            raise InputError(
                "a local language model needs the package transformers",
                hint="pip install 'mousterian[text]', or name an endpoint by `base_url`",
            ) from None
        name, chosen = self.settings.model, self.settings.device
        device = torch.device(chosen if chosen != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
        path = Path(name).expanduser()
        where = str(path) if path.is_dir() else name
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        try:
            both = AutoConfig.from_pretrained(where).is_encoder_decoder
            kind = AutoModelForSeq2SeqLM if both else AutoModelForCausalLM
            network = kind.from_pretrained(where, dtype=dtype, use_safetensors=True)
            tokenizer = AutoTokenizer.from_pretrained(where)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"the language model cannot be loaded ({first_line(error)})",
                where=name,
                hint="give a local folder with config.json, tokenizer and weights in safetensors, or a name"
                " on a hub that this machine reaches",
            ) from error
        return tokenizer, network.to(device).eval(), device


@dataclass(frozen=True)
class Endpoint:
    """A server that speaks OpenAI's chat completions."""

    settings: Settings
    pause: float = field(default=_PAUSE, compare=False)

    def reply(self, request: str, *, seed: int) -> str:
        """Return the server's answer; one that is busy is asked again after a pause."""
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
        fault = self._fault(url, "was not called")
        for call in range(_CALLS):
            if call:
                time.sleep(self.pause * 2 ** (call - 1))
            try:
                return self._content(url, json.dumps(body).encode())
            except urllib.error.HTTPError as error:
                told = error.read(300).decode("utf-8", "replace")
                fault = self._fault(url, f"answers {error.code} {error.reason}: {told}")
                if error.code not in _BUSY:
                    break
            except OSError as error:  # a connection that is refused, lost or too slow
                fault = self._fault(url, f"does not answer ({getattr(error, 'reason', error)})")
        raise fault

    def _content(self, url: str, body: bytes) -> str:
        headers = {"Content-Type": "application/json", **self._key()}
        request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 (checked: http or https)
        with urllib.request.urlopen(request, timeout=self.settings.timeout) as response:  # noqa: S310
            raw = response.read()
        try:
            return str(json.loads(raw)["choices"][0]["message"]["content"]).strip()
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise self._fault(url, f"gave no chat completion: {raw[:200]!r}") from error

    def _key(self) -> dict[str, str]:
        name = self.settings.key
        if not name:
            return {}
        key = os.environ.get(name)
        if not key:
            raise InputError(
                f"the environment variable {name} is not set",
                where="language model",
                hint=f"export {name}=… with the endpoint's key",
            )
        return {"Authorization": f"Bearer {key}"}

    def _fault(self, url: str, what: str) -> InputError:
        return InputError(
            f"the language model's endpoint {what}",
            where=url,
            hint="start it or mend base_url, model and key, then run the same command again: the replies"
            " that came are kept",
        )
