"""What the tests of executors share: a listener, grids in subprocesses, comparing stores, own plug-ins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from conftest import TINY_GRID

from mousterian.executors.jobs import Job, TrialJob
from mousterian.store.rows import Store
from mousterian.store.schema import COLUMNS
from mousterian.trials import grid, identity
from mousterian.trials.settings import Settings

# Identity and result of a trial; the other columns record how long it took, where and when.
SAME = [c.name for c in COLUMNS if c.group in {"identity", "result", "status"}] + ["steps", "images_seen"]


class Recorder:
    """A listener that records what it is notified of."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.lost: list[str] = []
        self.errors: dict[str, str] = {}
        self.notices: list[str] = []
        self.stopped = False

    def started(self, job: Job) -> None:
        self.begun.append(job.key)

    def finished(self, job: Job, seconds: float) -> None:
        self.done.append(job.key)

    def failed(self, job: Job, error: str) -> None:
        self.errors[job.key] = error

    def postponed(self, job: Job) -> None:
        self.lost.append(job.key)

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def stopping(self) -> None:
        self.stopped = True


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mousterian", *map(str, arguments)]


def mousterian(*arguments: object, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in another process, with plug-ins of the folder `site` where one is given."""
    environment = {**os.environ, "PYTHONPATH": str(site)} if site else dict(os.environ)
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, env=environment, timeout=300
    )


def install(site: Path, name: str, code: str, entry: str, kind: str = "strategies") -> Path:
    """Write a package with one module and one plug-in (`entry`, as `odd = odd:train`) into a folder."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{name}.py").write_text(code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[mousterian.{kind}]\n{entry}\n")
    return site


def trials_of(folder: Path, text: str) -> list[identity.Trial]:
    (folder / "grid.toml").write_text(text)
    return grid.read(folder / "grid.toml")[0]


def settings_of(store: Path, device: str = "cpu") -> Settings:
    return Settings(store, None, device, "tiny")


def rows(store: Path) -> pd.DataFrame:
    """Return what the rows of a store say of its trials and their results, in a fixed order."""
    found = Store(store).read().sort_values("trial").reset_index(drop=True)
    return found.assign(per_class=found["per_class"].map(tuple))[SAME]


def holds_within(seconds: float, condition: Callable[[], object]) -> bool:
    """Return whether a condition holds before so many seconds have passed."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def alive(process: int) -> bool:
    """Return whether a process runs; one that has ended and is not yet reaped does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


# Eight trials of a strategy whose body a test writes.
ALONE = TINY_GRID.partition("[generator]")[0].replace("r_syn = [2]", 'strategy = "odd"')
ODD = """
import os, pathlib
from mousterian.training.strategies.joint import train as joint
def train(model, task): {body}
"""


def odd_site(folder: Path) -> Path:
    """Return a folder for PYTHONPATH with a strategy `odd`."""
    return install(folder / "site", "odd", "", "odd = odd:train")


def run_odd(site: Path, body: str, *options: str, text: str = ALONE) -> subprocess.CompletedProcess[str]:
    """Run a grid of the strategy `odd` through the command line."""
    (site / "odd.py").write_text(ODD.format(body=body))
    file = site.parent / "odd.toml"
    file.write_text(text)
    return mousterian("grid", file, "--store", site.parent / "store", "--json", *options, site=site)


def run_grid(file: Path, store: Path, *options: object, **more: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command("grid", file, "--store", store, *options),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        **more,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


class Pressing(Recorder):
    """A listener that presses Ctrl-C after the first trial has started."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def started(self, job: Job) -> None:
        super().started(job)
        if len(self.begun) == 1:
            threading.Thread(target=self._press, daemon=True).start()

    def _press(self) -> None:
        for _ in range(self.times):
            time.sleep(2.0 if self.times == 2 else 0.2)
            os.kill(os.getpid(), signal.SIGINT)


class Sleepy(TrialJob):
    """A trial that only sleeps, and notes in the store's folder which process runs it."""

    def __init__(self, *fields: object, seconds: float) -> None:
        super().__init__(*fields)  # type: ignore[arg-type]
        object.__setattr__(self, "seconds", seconds)

    def execute(self, settings: Settings, *, wait: bool = True) -> None:
        (settings.store / f"{self.key}.runs").write_text(str(os.getpid()))
        time.sleep(self.seconds)  # type: ignore[attr-defined]
        row = {"trial": self.key, "status": "done", "evaluation": "accuracy", "top1": 0.5}
        Store(settings.store).write([row])


class Deadly(TrialJob):
    """A trial that kills its worker: always, or until its mark exists."""

    def __init__(self, *fields: object, mark: str = "") -> None:
        super().__init__(*fields)  # type: ignore[arg-type]
        object.__setattr__(self, "mark", mark)

    def execute(self, settings: Settings, *, wait: bool = True) -> None:
        mark = Path(self.mark)  # type: ignore[attr-defined]
        if not self.mark or not mark.exists():  # type: ignore[attr-defined]
            if self.mark:  # type: ignore[attr-defined]
                mark.touch()
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)
        super().execute(settings, wait=wait)
