"""Checkpoints of a long training run: one file, written atomically and verified by its checksum."""

from __future__ import annotations

import hashlib
import io
import logging
import time
from pathlib import Path
from typing import Any

import torch

from mousterian.errors import first_line
from mousterian.files import write_atomically

EVERY = 60.0
_FORMAT = 1
_CHECKSUM = 64  # hexadecimal digits of a sha256
_log = logging.getLogger(__name__)


class Checkpoint:
    """The progress of a trial, saved periodically.

    A trial's strategy may train in several stages (calls of the loop). The file holds the state of the
    running stage and the costs of those before it.

    Args:
        path: the file; `remove` deletes it.
        trial: the trial's hash; a file of another trial is ignored.
        every: seconds of training between two saves; default: EVERY.
    """

    def __init__(self, path: Path, trial: str, every: float | None = None) -> None:
        self.path, self._trial = path, trial
        self._every = EVERY if every is None else every
        self._saved = self._load()
        self._stage = -1
        self._took: list[list[float]] = list(self._saved["took"]) if self._saved else []
        self._written = time.perf_counter()

    def _load(self) -> dict[str, Any] | None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("%s: cannot be read (%s); the trial starts anew", self.path, error.strerror)
            return None
        checksum, payload = content[:_CHECKSUM], content[_CHECKSUM:]
        if hashlib.sha256(payload).hexdigest().encode() != checksum:
            _log.warning("%s: a damaged checkpoint is ignored; the trial starts anew", self.path)
            return None
        try:
            saved: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
            valid = (saved["format"], saved["trial"]) == (_FORMAT, self._trial)
        except Exception as error:  # torch.load raises many types on foreign content
            _log.warning("%s: not a mousterian checkpoint, ignored (%s)", self.path, first_line(error))
            return None
        if not valid:
            _log.warning("%s: a checkpoint of another trial or version is ignored", self.path)
            return None
        return saved

    def begin_stage(self) -> None:
        """Begin a stage."""
        self._stage += 1
        self._written = time.perf_counter()

    def finished_stage(self) -> list[float] | None:
        """Return the cost of the current stage, if the file says that it is finished."""
        over = self._saved is not None and self._stage < self._saved["stage"]
        return self._took[self._stage] if over else None

    def state(self) -> dict[str, Any] | None:
        """Return the saved state of the current stage; None if there is none."""
        if self._saved is None or self._saved["stage"] != self._stage:
            return None
        state: dict[str, Any] = self._saved["state"]
        return state

    def due(self) -> bool:
        """Return whether it is time to save."""
        return time.perf_counter() - self._written >= self._every

    def write(self, state: dict[str, Any]) -> None:
        """Save the current stage's state: dicts, lists, numbers, text and tensors."""
        buffer = io.BytesIO()
        saved = {
            "format": _FORMAT,
            "trial": self._trial,
            "stage": self._stage,
            "took": self._took[: self._stage],
            "state": state,
        }
        torch.save(saved, buffer)
        payload = buffer.getvalue()
        write_atomically(self.path, hashlib.sha256(payload).hexdigest().encode() + payload)
        self._written = time.perf_counter()

    def end_stage(self, cost: list[float]) -> None:
        """End the current stage, recording its cost."""
        self._took[self._stage :] = [cost]

    def remove(self) -> None:
        """Delete the file: the trial's rows are in the store."""
        self.path.unlink(missing_ok=True)
