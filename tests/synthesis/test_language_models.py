from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import tiny

from mousterian.errors import InputError
from mousterian.synthesis import language_models

pytest.importorskip("transformers")


class Server(HTTPServer):
    """An endpoint that returns the prepared answers in order, and records the requests."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.seen: list[tuple[str, dict[str, Any], str | None]] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, body, self.headers["Authorization"]))
        code, answer = self.server.answers.pop(0)
        raw = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def endpoint(server: Server, **more: Any) -> language_models.Endpoint:
    url = f"http://127.0.0.1:{server.server_port}/v1/"
    return language_models.Endpoint(language_models.Settings("tiny", base_url=url, **more), pause=0.0)


def completion(text: str) -> tuple[int, Any]:
    return 200, {"choices": [{"message": {"role": "assistant", "content": text}}]}


def test_an_endpoint_is_called_with_model_seed_temperature_and_key(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_KEY", "secret")
    server.answers = [completion(" a crane ")]
    assert endpoint(server, key="TINY_KEY", temperature=0.5).reply("crane?", seed=2**40 + 3) == "a crane"
    path, body, authorization = server.seen[0]
    assert path == "/v1/chat/completions" and authorization == "Bearer secret"
    assert body["messages"] == [{"role": "user", "content": "crane?"}]
    assert (body["model"], body["seed"], body["temperature"]) == ("tiny", 2**40 % 2**31 + 3, 0.5)


def test_a_busy_endpoint_is_called_again(server: Server) -> None:
    server.answers = [(503, {}), (429, {}), completion("now")]
    assert endpoint(server).reply("?", seed=0) == "now" and len(server.seen) == 3


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([(401, {"error": "bad key"})], "401 .*bad key"),
        ([(500, {})] * 4, "500"),
        ([(200, {"no": "choices"})], "no chat completion"),
    ],
)
def test_errors_of_an_endpoint_are_reported(server: Server, answers: list[Any], message: str) -> None:
    server.answers = answers
    with pytest.raises(InputError, match=message) as caught:
        endpoint(server).reply("?", seed=0)
    assert "replies received so far are cached" in caught.value.hint and not server.answers


def test_an_endpoint_that_is_down_and_a_missing_key_are_reported(server: Server) -> None:
    free = language_models.Endpoint(
        language_models.Settings("m", base_url="http://127.0.0.1:9/v1"), pause=0.0
    )
    with pytest.raises(InputError, match="does not respond"):
        free.reply("?", seed=0)
    with pytest.raises(InputError, match="NO_SUCH_KEY is not set"):
        endpoint(server, key="NO_SUCH_KEY").reply("?", seed=0)
    with pytest.raises(InputError, match="http"):
        language_models.Endpoint(language_models.Settings("m", base_url="file:///etc")).reply("?", seed=0)


def test_a_local_model_depends_on_its_seed_and_its_replies_are_cached(tmp_path: Path) -> None:
    folder, replies = tiny.language(tmp_path / "t5"), tmp_path / "replies"
    settings = {"model": str(folder), "max_tokens": 8, "temperature": 1.0, "device": "cpu"}
    model = language_models.load(settings, replies=replies)
    first = [model.reply("crane", seed=seed) for seed in range(6)]
    assert len(set(first)) > 1 and all(set(reply.split()) <= set(tiny.WORDS) for reply in first)
    fresh = language_models.LocalModel(language_models.Settings.read(settings))
    assert [fresh.reply("crane", seed=seed) for seed in range(6)] == first
    for path in folder.iterdir():
        path.unlink()
    again = language_models.load(settings, replies=replies)
    assert [again.reply("crane", seed=seed) for seed in range(6)] == first
    with pytest.raises(InputError, match="cannot be loaded"):
        again.reply("crane", seed=99)
