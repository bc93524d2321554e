"""What `mousterian generate` does: makes, extends and filters pools."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mousterian.cli.commands import STORE
from mousterian.cli.console import console, print_json, table
from mousterian.errors import InputError, singular
from mousterian.plugins import registry
from mousterian.plugins.choice import Choice

if TYPE_CHECKING:
    from mousterian.executors.jobs import PoolJob
    from mousterian.synthesis.filtering import Filtered, Share
    from mousterian.synthesis.kinds import Progress
    from mousterian.synthesis.pools import Pool, PoolIdentity
    from mousterian.trials.identity import Trial
    from mousterian.trials.settings import Settings


EXIT_DONE, EXIT_FAILED = 0, 3
CLASSES_SHOWN = 12


@dataclass(frozen=True)
class GenerateArguments:
    """The arguments of `mousterian generate`."""

    file: Path | None
    store: Path
    count: int
    only: tuple[str, ...]
    device: str
    data_dir: Path | None

    def trials(self) -> list[Trial]:
        """Return the trials of the grid file, or those that meet the conditions, checked for their sizes."""
        from mousterian.trials import checks
        from mousterian.trials import grid as grids

        if self.file is None:
            raise InputError(
                "which pools?",
                hint="name a grid file, or --pool HASH; or --list, --verify or --sheet for what is there",
            )
        if self.count < 0:
            raise InputError(f"--count must be 0 or more, not {self.count}")
        trials, source = grids.read(self.file, None, self.data_dir)
        chosen = [trial for trial in grids.select(trials, self.only) if trial.n_syn_plus]
        if not chosen:
            raise InputError("no trial uses synthetic images", where=str(self.file))
        checks.check_sizes(chosen, source, self.data_dir)
        return chosen


@dataclass(frozen=True)
class _PoolRequest:
    """A pool that is wanted, and how it is brought to `count` images, or so many that its filters keep."""

    pool: Pool
    label: str
    count: int
    filters: tuple[str, ...]
    fill: Callable[[Progress], Filtered | None]


def _make_pools(request: GenerateArguments, as_json: bool) -> int:
    """Make every pool of a grid; one that cannot be made does not keep the others from it."""
    from mousterian.executors.jobs import PoolJob, jobs_of
    from mousterian.trials.settings import Settings

    settings = Settings(request.store, request.data_dir, request.device, "generate")
    jobs = [job for job in jobs_of(request.trials(), settings) if isinstance(job, PoolJob)]
    wishes = [(job.label, partial(_of_grid, job, max(job.count, request.count), settings)) for job in jobs]
    return _make_all(wishes, request.store, as_json)


def _extend(request: GenerateArguments, pools_named: Sequence[str], as_json: bool) -> int:
    """Extend pools of the store, named by the first digits of their hashes, to so many images."""
    if request.file is not None or request.only:
        raise InputError("--pool takes no grid file and no --only", hint="name pools, or a grid file")
    if request.count < 1:
        raise InputError(f"--pool makes nothing with --count {request.count}", hint="give --count IMAGES")
    return _make_all(
        [(name, partial(_of_store, name, request)) for name in pools_named], request.store, as_json
    )


def _of_grid(job: PoolJob, count: int, settings: Settings) -> _PoolRequest:
    from mousterian.trials.images import make_pool, pool_of

    pool = pool_of(job.trial, settings)
    if pool is None:
        raise InputError("this trial uses no pool", where=job.label)
    filters = tuple(spec.name for spec in job.trial.filter_specs)
    return _PoolRequest(
        pool, job.label, count, filters, lambda told: make_pool(job.trial, count, settings, told)
    )


def _of_store(name: str, request: GenerateArguments) -> _PoolRequest:
    from mousterian.data.loading import load_images
    from mousterian.synthesis.pools import Pool, PoolIdentity
    from mousterian.synthesis.stored_pools import dataset_of, pool_folders, seen_indices
    from mousterian.training.device import device_named

    (folder,) = pool_folders([name], request.store)
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

    return _PoolRequest(pool, identity.label, request.count, (), fill)


def _check_unchanged(identity: PoolIdentity, dataset: Choice, folder: Path, data_dir: Path | None) -> None:
    """Refuse to go on with a pool where other images would follow than those that it would have had.

    Raises:
        InputError: another version made it, or files that its dataset or generator reads have changed.
    """
    from mousterian.data.cache import data_directory

    if identity.key != folder.name:
        hint = "run its grid file: it makes a pool of its own"
        raise InputError("this pool was made by another version of mousterian", where=str(folder), hint=hint)
    place = data_directory(data_dir)
    for kind, name, options, stamp in (
        ("datasets", dataset.name, dataset.options, dataset.stamp),
        ("generators", identity.generator, identity.options, identity.stamp),
    ):
        if registry.find(kind, name).stamp(place, options) != stamp:
            raise InputError(
                f"the files of the {singular(kind)} {name} have changed or are gone since this pool was made",
                where=str(folder),
                hint="put them back; or run the pool's grid file: with other files it makes another pool",
            )


def _make_all(wishes: Sequence[tuple[str, Callable[[], _PoolRequest]]], store: Path, as_json: bool) -> int:
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


def _make(wish: _PoolRequest, store: Path, out: Console) -> dict[str, Any]:
    from mousterian.answers.numbers import duration
    from mousterian.cli.progress import ProgressReporter
    from mousterian.store.rows import Store
    from mousterian.synthesis.samples import draw

    started = time.perf_counter()
    pool = wish.pool
    damaged = pool.set_damaged_aside() if pool.folder.exists() else []
    for path in damaged:
        out.print(f"{path}: was damaged; set aside, and made anew", highlight=False)
    before = pool.count()
    with Store(store).in_use(), out.status("") as status:
        filtered = wish.fill(ProgressReporter(wish.label, out, status))
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


def generate(
    file: Path | None = None,
    *,
    store: Path = STORE,
    count: int = 0,
    only: Sequence[str] = (),
    pool: Sequence[str] = (),
    device: str = "auto",
    data_dir: Path | None = None,
    list: bool = False,
    verify: bool = False,
    sheet: bool = False,
    samples: Path | None = None,
    json: bool = False,
) -> int:
    """Make, extend and filter pools without training on them; list and verify them.

    Killed and run again, it goes on where it was; damaged shards are set aside and made anew.

    Parameters
    ----------
    file
        The grid file (TOML); none with --pool, --list, --verify, --sheet or --samples, which go to
        the store's pools.
    store
        Folder of the store; pools lie in it.
    count
        Make so many images of each pool, where the grid asks for fewer.
    only
        COLUMN=VALUE: only the pools of trials with that value, e.g. n_base=300; may be repeated.
    pool
        Extend this pool of the store to --count images; the first digits of its hash; may be repeated.
    device
        cpu, cuda, cuda:1, or auto.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    list
        List the pools of the store: images, what filters keep, training.
    verify
        Read every shard of the store's pools and name those that are not sound.
    sheet
        Draw a sample sheet of each pool of the store: sheet.png in its folder, one row for each class.
    samples
        Draw real images and those of each kind of pool of the store into this folder, small enough for git;
        in the folder samples of a store without pools they are what a report of it shows.
    json
        Print as JSON.
    """
    from mousterian.cli.commands import _existing_pools

    if list or verify or sheet or samples:
        return _existing_pools.run(
            _existing_pools.ExistingPoolsArguments(file, store, data_dir, list, verify, sheet, samples), json
        )
    request = GenerateArguments(file, store, count, tuple(only), device, data_dir)
    return _extend(request, pool, json) if pool else _make_pools(request, json)
