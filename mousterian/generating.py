"""What `mousterian generate` does: makes, extends and filters pools, and looks at those that are there."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status

from mousterian import grid, pools
from mousterian.console import console, table
from mousterian.errors import InputError
from mousterian.executors._jobs import PoolJob
from mousterian.filtering import Share, kept_by_filters
from mousterian.pools import Pool, PoolIdentity
from mousterian.progress import duration
from mousterian.sheets import COLUMNS, sheet
from mousterian.store import Store, write_atomically
from mousterian.supply import load_images, make_pool, pool_of
from mousterian.trial import Choice, Settings, Trial

EXIT_DONE, EXIT_FAULTS, EXIT_FAILED = 0, 2, 3
SHEET = "sheet.png"
CLASSES_SHOWN = 12
_SECONDS_BETWEEN_LINES = 30.0


@dataclass(frozen=True)
class Request:
    """The arguments of `mousterian generate`."""

    file: Path | None
    store: Path
    count: int
    only: tuple[str, ...]
    device: str
    data_dir: Path | None

    def trials(self) -> list[Trial]:
        """Return the trials of the grid file, or those that meet the conditions, checked for their sizes."""
        if self.file is None:
            raise InputError(
                "which pools?", hint="name a grid file; or --list, --verify or --sheet for what is there"
            )
        if self.count < 0:
            raise InputError(f"--count must be 0 or more, not {self.count}")
        trials, source = grid.read(self.file, None, self.data_dir)
        chosen = [trial for trial in grid.select(trials, self.only) if trial.n_syn_plus]
        if not chosen:
            raise InputError("no trial uses synthetic images", where=str(self.file))
        grid.check_sizes(chosen, source, self.data_dir)
        return chosen


class _Told:
    """Shows how far a pool is: in a line that changes on a terminal, elsewhere in a new line now and then."""

    def __init__(self, label: str, out: Console, status: Status) -> None:
        self._label, self._out, self._status = label, out, status
        self._what, self._began, self._first = "", time.monotonic(), 0
        self._line = time.monotonic()

    def __call__(self, what: str, done: int, total: int, note: str) -> None:
        """Is told that `done` of `total` are done."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._began, self._first = what, now, done
        text = f"{self._label}: {what} {done:,}/{total:,}" + (f", {note}" if note else "")
        if done > self._first and now - self._began > 1:
            left = (now - self._began) / (done - self._first) * (total - done)
            text += f", about {duration(left)} left"
        self._status.update(text)
        if not self._out.is_terminal and now - self._line > _SECONDS_BETWEEN_LINES:
            self._line = now
            self._out.print(text, highlight=False)


def make(request: Request, as_json: bool) -> int:
    """Make every pool of a grid; one that cannot be made does not keep the others from it."""
    out = console(stderr=as_json)
    settings = Settings(request.store, request.data_dir, request.device, "generate")
    jobs = [job for job in grid.jobs(request.trials(), settings) if isinstance(job, PoolJob)]
    made: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for job in jobs:
        try:
            made.append(_make(job, max(job.count, request.count), settings, out))
        except InputError as error:
            failed.append({"pool": job.label, "error": str(error)})
            out.print(f"failed: {job.label}\n  {error}", style="red", highlight=False)
    if as_json:
        print(json.dumps({"pools": made, "failed": failed}, indent=2))  # noqa: T201
    return EXIT_FAILED if failed else EXIT_DONE


def _make(job: PoolJob, count: int, settings: Settings, out: Console) -> dict[str, Any]:
    started = time.perf_counter()
    pool = pool_of(job.trial, settings)
    if pool is None:
        raise InputError("this trial uses no pool", where=job.label)
    damaged = pool.set_damaged_aside() if pool.folder.exists() else []
    for path in damaged:
        out.print(f"{path}: was damaged; set aside, and made anew", highlight=False)
    before = pool.count()
    with Store(settings.store).in_use(), out.status("") as status:
        filtered = make_pool(job.trial, count, settings, _Told(job.label, out, status))
    shares = filtered.shares() if filtered else []
    seconds = time.perf_counter() - started
    there = pool.count()
    _draw(pool)
    out.print(
        f"{job.label} ({pool.identity.key[:8]}): {there:,} images, {there - before:,} of them new, in"
        f" {duration(seconds)}",
        highlight=False,
    )
    if shares:
        _tell_shares(shares, out)
    return {
        "pool": pool.identity.key,
        "label": job.label,
        "images": there,
        "new": there - before,
        "remade": [str(path) for path in damaged],
        "filters": [sieve.name for sieve in job.trial.sieves],
        "classes": [vars(share) for share in shares],
        "seconds": round(seconds, 1),
    }


def _tell_shares(shares: Sequence[Share], out: Console) -> None:
    """Say how much the filters took from each class, the hardest hit first."""
    looked, kept = sum(s.images for s in shares), sum(s.kept for s in shares)
    worst = sorted(shares, key=lambda share: share.kept / max(1, share.images))[:CLASSES_SHOWN]
    rows = [
        {"class": s.class_name, "images": s.images, "kept": s.kept, "lost %": 1 - s.kept / max(1, s.images)}
        for s in worst
    ]
    out.print(table("", rows, keep=("class", "images", "kept", "lost %")))
    more = f"; of {len(shares)} classes the {len(worst)} that lose most" if len(worst) < len(shares) else ""
    out.print(f"filters keep {kept:,} of {looked:,} images{more}", highlight=False)


def _draw(pool: Pool) -> None:
    """Draw the sample sheet of what is there, if anything is."""
    images = min(pool.count(), COLUMNS * len(pool.class_names))
    if images:
        write_atomically(pool.folder / SHEET, sheet(pool.read(images)))


@dataclass(frozen=True)
class Look:
    """What is wanted of the pools that are there."""

    listed: bool
    verified: bool
    drawn: bool


def look(request: Request, wanted: Look, as_json: bool) -> int:
    """List, verify or draw the pools of a store and return the exit code."""
    if request.file is not None:
        raise InputError("--list, --verify and --sheet take no grid file", hint=f"leave out {request.file}")
    store, data_dir = request.store, request.data_dir
    folders = sorted(path.parent for path in (store / "pools").glob(f"*/{pools.DESCRIPTION}"))
    answer: dict[str, Any] = {}
    if wanted.listed:
        answer["pools"] = [_row(folder) for folder in folders]
    if wanted.verified:
        answer["faults"] = [{"file": str(p), "fault": f} for p, f in pools.verify(store / "pools")]
    if wanted.drawn:
        answer["sheets"] = [str(folder / SHEET) for folder in folders if _drawn(folder, data_dir)]
    if as_json:
        print(json.dumps(answer, indent=2))  # noqa: T201
    else:
        _tell(answer, store)
    return EXIT_FAULTS if answer.get("faults") else EXIT_DONE


def _drawn(folder: Path, data_dir: Path | None) -> bool:
    identity = PoolIdentity.at(folder)
    own = identity.dataset
    classes = load_images(Choice(own["name"], own["options"]), "train", data_dir).class_names
    _draw(Pool(folder.parent, identity, classes))
    return (folder / SHEET).exists()


def _row(folder: Path) -> dict[str, Any]:
    identity = PoolIdentity.at(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        "pool": identity.key,
        "made by": identity.label,
        "seed": identity.seed,
        "images": pools.images_in(folder),
        "training": _trained(folder),
        "filters keep": kept_by_filters(folder),
        "MiB": round(sum(path.stat().st_size for path in files) / 2**20, 1),
    }


def _trained(folder: Path) -> str:
    """Return how far a generator's training is, e.g. "400 steps, loss 0.21"; empty if there was none."""
    try:
        step, loss = (folder / "training.csv").read_text(encoding="utf-8").splitlines()[-1].split(",")
    except (OSError, ValueError):
        return ""
    going = " (not over)" if (folder / "training.checkpoint").exists() else ""
    return f"{step} steps, loss {loss}{going}"


def _tell(answer: dict[str, Any], store: Path) -> None:
    out = console()
    if rows := answer.get("pools"):
        shown = [{**row, "filters keep": ", ".join(row["filters keep"])} for row in rows]
        out.print(table("", shown, keep=tuple(shown[0])))
    elif "pools" in answer:
        out.print(f"no pools in {store}", highlight=False)
    if "faults" in answer:
        for fault in answer["faults"]:
            out.print(f"{fault['file']}: {fault['fault']}", highlight=False, soft_wrap=True)
        more = "; `mousterian generate` with their grid file makes these anew" if answer["faults"] else ""
        out.print(f"{len(answer['faults'])} faults in {store}{more}", highlight=False)
    for path in answer.get("sheets", ()):
        out.print(path, highlight=False, soft_wrap=True)
