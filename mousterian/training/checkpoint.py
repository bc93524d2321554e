"""Checkpoints of a long training run: one file, whole or absent, never trusted unless its sum is right."""

from __future__ import annotations

import hashlib
import io
import logging
import time
from pathlib import Path
from typing import Any

import torch

from mousterian.files import write_atomically

EVERY = 60.0
_FORMAT = 1
_SUM = 64  # hexadecimal digits of a sha256
_log = logging.getLogger(__name__)


class Checkpoint:
    """What a trial has reached, kept on disk every so often.

    A trial's strategy may train in several stages (calls of the loop). The file holds the stage that was
    running, with all that it needs to go on, and what the stages before it took.

    Args:
        path: the file; `remove` deletes it.
        trial: the trial's hash; a file of another trial is ignored.
        every: seconds of training between two writes; default: EVERY.
    """

    def __init__(self, path: Path, trial: str, every: float | None = None) -> None:
        self.path, self._trial = path, trial
        self._every = EVERY if every is None else every
        self._held = self._load()
        self._stage = -1
        self._took: list[list[float]] = list(self._held["took"]) if self._held else []
        self._written = time.perf_counter()

    def _load(self) -> dict[str, Any] | None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("%s: cannot be read (%s); the trial starts anew", self.path, error.strerror)
            return None
        told, payload = content[:_SUM], content[_SUM:]
        if hashlib.sha256(payload).hexdigest().encode() != told:
            _log.warning("%s: a damaged checkpoint is ignored; the trial starts anew", self.path)
            return None
        try:
            held: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
            known = (held["format"], held["trial"]) == (_FORMAT, self._trial)
        except Exception as error:  # torch.load raises what it likes on foreign content
            reason = str(error).partition("\n")[0]
            _log.warning("%s: no checkpoint of ours, ignored (%s)", self.path, reason)
            return None
        if not known:
            _log.warning("%s: a checkpoint of another trial or version is ignored", self.path)
            return None
        return held

    def enter(self) -> None:
        """A stage begins."""
        self._stage += 1
        self._written = time.perf_counter()

    def finished(self) -> list[float] | None:
        """Return what the present stage took, if the file says that it is over."""
        over = self._held is not None and self._stage < self._held["stage"]
        return self._took[self._stage] if over else None

    def state(self) -> dict[str, Any] | None:
        """Return where the present stage was cut off, if the file says so."""
        if self._held is None or self._held["stage"] != self._stage:
            return None
        found: dict[str, Any] = self._held["state"]
        return found

    def due(self) -> bool:
        """Tell whether it is time to write."""
        return time.perf_counter() - self._written >= self._every

    def write(self, state: dict[str, Any]) -> None:
        """Keep the present stage's state: dicts, lists, numbers, text and tensors."""
        buffer = io.BytesIO()
        held = {
            "format": _FORMAT,
            "trial": self._trial,
            "stage": self._stage,
            "took": self._took[: self._stage],
            "state": state,
        }
        torch.save(held, buffer)
        payload = buffer.getvalue()
        write_atomically(self.path, hashlib.sha256(payload).hexdigest().encode() + payload)
        self._written = time.perf_counter()

    def leave(self, took: list[float]) -> None:
        """Note what the present stage took."""
        self._took[self._stage :] = [took]

    def remove(self) -> None:
        """Delete the file: the trial's rows are in the store."""
        self.path.unlink(missing_ok=True)
