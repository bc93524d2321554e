"""What `mousterian generate` does: makes, extends and filters pools."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status

from mousterian import grid, plugins
from mousterian.clock import duration
from mousterian.console import console, print_json, table
from mousterian.datasets._cache import data_directory
from mousterian.errors import InputError, one
from mousterian.executors._jobs import PoolJob
from mousterian.filtering import Filtered, Share
from mousterian.generators._sampler import Progress
from mousterian.looking import draw
from mousterian.pools import Pool, PoolIdentity
from mousterian.store import Store
from mousterian.subjects import dataset_of, names, seen_indices
from mousterian.supply import device_named, load_images, make_pool, pool_of
from mousterian.trial import Choice, Settings, Trial

EXIT_DONE, EXIT_FAILED = 0, 3
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
                "which pools?",
                hint="name a grid file, or --pool HASH; or --list, --verify or --sheet for what is there",
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


@dataclass(frozen=True)
class _Wish:
    """A pool that is wanted, and how it is brought to `count` images, or so many that its filters keep."""

    pool: Pool
    label: str
    count: int
    filters: tuple[str, ...]
    fill: Callable[[Progress], Filtered | None]


def make(request: Request, as_json: bool) -> int:
    """Make every pool of a grid; one that cannot be made does not keep the others from it."""
    settings = Settings(request.store, request.data_dir, request.device, "generate")
    jobs = [job for job in grid.jobs(request.trials(), settings) if isinstance(job, PoolJob)]
    wishes = [(job.label, partial(_of_grid, job, max(job.count, request.count), settings)) for job in jobs]
    return _make_all(wishes, request.store, as_json)


def extend(request: Request, pools_named: Sequence[str], as_json: bool) -> int:
    """Extend pools of the store, named by the first digits of their hashes, to so many images."""
    if request.file is not None or request.only:
        raise InputError("--pool takes no grid file and no --only", hint="name pools, or a grid file")
    if request.count < 1:
        raise InputError(f"--pool makes nothing with --count {request.count}", hint="give --count IMAGES")
    return _make_all(
        [(name, partial(_of_store, name, request)) for name in pools_named], request.store, as_json
    )


def _of_grid(job: PoolJob, count: int, settings: Settings) -> _Wish:
    pool = pool_of(job.trial, settings)
    if pool is None:
        raise InputError("this trial uses no pool", where=job.label)
    filters = tuple(sieve.name for sieve in job.trial.sieves)
    return _Wish(pool, job.label, count, filters, lambda told: make_pool(job.trial, count, settings, told))


def _of_store(name: str, request: Request) -> _Wish:
    (folder,) = names([name], request.store)
    identity, data_dir = PoolIdentity.at(folder), request.data_dir
    dataset = dataset_of(identity)
    _check_unchanged(identity, dataset, folder, data_dir)
    train = load_images(dataset, "train", data_dir)
    pool = Pool(folder.parent, identity, train.class_names)

    def fill(told: Progress) -> None:
        pool.ensure(
            request.count,
            train.shape,
            lambda: train.take(seen_indices(identity, train)),
            device_named(request.device),
            progress=told,
            test=lambda: load_images(dataset, "test", data_dir),
        )

    return _Wish(pool, identity.label, request.count, (), fill)


def _check_unchanged(identity: PoolIdentity, dataset: Choice, folder: Path, data_dir: Path | None) -> None:
    """Refuse to go on with a pool where other images would follow than those that it would have had.

    Raises:
        InputError: another version made it, or files that its dataset or generator reads have changed.
    """
    if identity.key != folder.name:
        hint = "run its grid file: it makes a pool of its own"
        raise InputError("this pool was made by another version of mousterian", where=str(folder), hint=hint)
    place = data_directory(data_dir)
    for kind, name, options, stamp in (
        ("datasets", dataset.name, dataset.options, dataset.stamp),
        ("generators", identity.generator, identity.options, identity.stamp),
    ):
        if plugins.find(kind, name).stamp(place, options) != stamp:
            raise InputError(
                f"files that the {one(kind)} {name} reads have changed since this pool was made, or are gone",
                where=str(folder),
                hint="put them back; or run the pool's grid file: with other files it makes another pool",
            )


def _make_all(wishes: Sequence[tuple[str, Callable[[], _Wish]]], store: Path, as_json: bool) -> int:
    out = console(stderr=as_json)
    made: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for label, wish in wishes:
        try:
            made.append(_make(wish(), store, out))
        except InputError as error:
            failed.append({"pool": label, "error": str(error)})
            out.print(f"failed: {label}\n  {error}", style="red", highlight=False)
    if as_json:
        print_json({"pools": made, "failed": failed})
    return EXIT_FAILED if failed else EXIT_DONE


def _make(wish: _Wish, store: Path, out: Console) -> dict[str, Any]:
    started = time.perf_counter()
    pool = wish.pool
    damaged = pool.set_damaged_aside() if pool.folder.exists() else []
    for path in damaged:
        out.print(f"{path}: was damaged; set aside, and made anew", highlight=False)
    before = pool.count()
    with Store(store).in_use(), out.status("") as status:
        filtered = wish.fill(_Told(wish.label, out, status))
    shares = filtered.shares() if filtered else []
    seconds = time.perf_counter() - started
    there = pool.count()
    draw(pool)
    out.print(
        f"{wish.label} ({pool.identity.key[:8]}): {there:,} images, {there - before:,} of them new, in"
        f" {duration(seconds)}" + ("; its generator has no more" if there < wish.count else ""),
        highlight=False,
    )
    if shares:
        _tell_shares(shares, out)
    return {
        "pool": pool.identity.key,
        "label": wish.label,
        "images": there,
        "new": there - before,
        "remade": [str(path) for path in damaged],
        "filters": list(wish.filters),
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
