"""What tests of running trials share: a small grid, its trials, settings, and a listener that records."""

from __future__ import annotations

from pathlib import Path

from mousterian.executors.jobs import Job
from mousterian.trials import grid, identity
from mousterian.trials.settings import Settings

GRID = """
dataset = "digits"
n_base = [30]
r_real = [1]
model = {name = "small_cnn", width = 4}
recipe = {name = "small", iterations = 12, batch_size = 16, crop = 1, flip = true}
training_seeds = [0, 1, 2]
"""


class Told:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.started_keys: list[str] = []
        self.done: list[str] = []
        self.errors: dict[str, str] = {}
        self.notices: list[str] = []

    def started(self, job: Job) -> None:
        self.started_keys.append(job.key)

    def finished(self, job: Job, seconds: float) -> None:
        self.done.append(job.key)

    def failed(self, job: Job, error: str) -> None:
        self.errors[job.key] = error

    def postponed(self, job: Job) -> None:
        self.started_keys.remove(job.key)

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def stopping(self) -> None:
        pass


def trials_of(folder: Path, text: str = GRID) -> list[identity.Trial]:
    (folder / "grid.toml").write_text(text)
    return grid.read(folder / "grid.toml")[0]


def settings_of(folder: Path, device: str = "cpu") -> Settings:
    return Settings(folder / "store", None, device, "test")
