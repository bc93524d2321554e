"""`mousterian generate`: make, extend and filter pools; list, verify and draw existing ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.cli.commands import EXIT_DONE, EXIT_FAILED, STORE
from mousterian.cli.console import console, print_json, table
from mousterian.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from mousterian.executors.jobs import PoolJob
    from mousterian.plugins.choice import Choice
    from mousterian.synthesis.filtering import ClassRetention, Filtered
    from mousterian.synthesis.kinds import Progress
    from mousterian.synthesis.pool_identity import PoolIdentity
    from mousterian.synthesis.pools import Pool
    from mousterian.trials.identity import Trial
    from mousterian.trials.settings import Settings

CLASSES_SHOWN = 12


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

    After an interruption the same command resumes; damaged shards are set aside and remade.

    Parameters
    ----------
    file
        The grid file (TOML); none with --pool, --list, --verify, --sheet or --samples, which concern
        the store's pools.
    store
        Folder of the store, which has the pools.
    count
        Make this many images of each pool, if the grid needs fewer.
    only
        COLUMN=VALUE: only the pools of trials with that value, e.g. n_base=300; may be repeated.
    pool
        Extend this pool of the store, given by the first digits of its hash, to --count images; may be
        repeated.
    device
        cpu, cuda, cuda:1, or auto.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    list
        List the pools of the store: images, images that filters keep, training.
    verify
        Read every shard of the store's pools and list the damaged ones.
    sheet
        Draw a sample sheet of each pool of the store: sheet.png in its folder, one row for each class.
    samples
        Draw sample sheets of real images and of each kind of pool of the store into this folder, small
        enough for git; a report of a store without pools shows those in the store's folder samples.
    json
        Print as JSON.
    """
    if list or verify or sheet or samples:
        if file is not None:
            raise InputError(
                "--list, --verify, --sheet and --samples take no grid file", hint=f"leave out {file}"
            )
        from mousterian.cli.commands import _existing_pools

        return _existing_pools.show(
            store, data_dir, listed=list, verified=verify, drawn=sheet, samples=samples, as_json=json
        )
    from mousterian.trials.settings import Settings

    settings = Settings(store, data_dir, device, "generate")
    if pool and (file is not None or only):
        raise InputError("--pool takes no grid file and no --only", hint="name pools, or a grid file")
    requests = _named_pools(pool, count, settings) if pool else _pools_of(file, count, only, settings)
    return _make_all(requests, store, json)


# A pool's name in messages, and what finds out how to make it (and may fail).
_Request = tuple[str, Callable[[], "_PoolRequest"]]


def _named_pools(names: Sequence[str], count: int, settings: Settings) -> list[_Request]:
    if count < 1:
        raise InputError(f"--pool makes nothing with --count {count}", hint="give --count IMAGES")
    return [(name, partial(_of_store, name, count, settings)) for name in names]


def _pools_of(file: Path | None, count: int, only: Sequence[str], settings: Settings) -> list[_Request]:
    """Return the pools of a grid file, with `count` images where the grid needs fewer."""
    from mousterian.executors.jobs import PoolJob, jobs_of

    jobs = jobs_of(_trials(file, count, only, settings.data_dir), settings)
    pools = [job for job in jobs if isinstance(job, PoolJob)]
    return [(job.label, partial(_of_grid, job, max(job.count, count), settings)) for job in pools]


def _trials(file: Path | None, count: int, only: Sequence[str], data_dir: Path | None) -> list[Trial]:
    """Return the trials of the grid file that use pools and match the conditions, their sizes checked."""
    from mousterian.trials import checks
    from mousterian.trials import grid as grids

    if file is None:
        raise InputError(
            "which pools?",
            hint="name a grid file, or --pool HASH; or --list, --verify or --sheet for existing pools",
        )
    if count < 0:
        raise InputError(f"--count must be 0 or more, not {count}")
    trials, source = grids.read(file, None, data_dir)
    chosen = [trial for trial in grids.select(trials, only) if trial.n_syn_plus]
    if not chosen:
        raise InputError("no trial uses synthetic images", where=str(file))
    checks.check_sizes(chosen, source, data_dir)
    return chosen


@dataclass(frozen=True)
class _PoolRequest:
    """A pool to be made, and how: `fill` makes `count` images, or enough for its filters to keep `count`."""

    pool: Pool
    label: str
    count: int
    filters: tuple[str, ...]
    fill: Callable[[Progress], Filtered | None]
    leaks: Path


def _of_grid(job: PoolJob, count: int, settings: Settings) -> _PoolRequest:
    from mousterian.trials import leaks
    from mousterian.trials.images import make_pool, pool_of

    pool = pool_of(job.trial, settings)
    if pool is None:
        raise InputError("this trial uses no pool", where=job.label)

    def fill(progress: Progress) -> Filtered | None:
        return make_pool(job.trial, count, settings, progress)

    names = tuple(spec.name for spec in job.trial.filter_specs)
    return _PoolRequest(pool, job.label, count, names, fill, leaks.file_of_pool(job.trial, pool.folder))


def _of_store(name: str, count: int, settings: Settings) -> _PoolRequest:
    from mousterian.data.loading import load_images
    from mousterian.synthesis.pool_identity import PoolIdentity
    from mousterian.synthesis.pool_leaks import file_of, pool_leaks
    from mousterian.synthesis.pools import Pool
    from mousterian.synthesis.stored_pools import dataset_of, pool_folders, seen_indices
    from mousterian.training.device import device_named

    (folder,) = pool_folders([name], settings.store)
    identity, data_dir = PoolIdentity.at(folder), settings.data_dir
    dataset = dataset_of(identity)
    _check_unchanged(identity, dataset, folder, data_dir)
    train = load_images(dataset, "train", data_dir)
    pool = Pool(folder.parent, identity, train.class_names)

    def fill(progress: Progress) -> None:
        pool.ensure(
            count,
            train.shape,
            lambda: train.take(seen_indices(identity, train)),
            device_named(settings.device),
            progress=progress,
            test=lambda: load_images(dataset, "test", data_dir),
            data_dir=data_dir,
        )
        pool_leaks(pool, pool.count(), data_dir)

    return _PoolRequest(pool, identity.label, count, (), fill, file_of(pool.folder))


def _check_unchanged(identity: PoolIdentity, dataset: Choice, folder: Path, data_dir: Path | None) -> None:
    """Refuse to extend a pool if its further images would differ from what they would have been.

    Raises:
        InputError: another version made it, or its dataset or generator has changed: code, or files read.
    """
    from mousterian.data.cache import data_directory
    from mousterian.plugins import registry
    from mousterian.plugins.choice import Choice

    if identity.key != folder.name:
        hint = "run its grid file, which makes a new pool"
        raise InputError("this pool was made by another version of mousterian", where=str(folder), hint=hint)
    data_dir = data_directory(data_dir)
    made = Choice(identity.generator, identity.options, identity.stamp, identity.revision)
    for kind, then in (("datasets", dataset), ("generators", made)):
        plugin = registry.find(kind, then.name)
        plugin.check_revision(then.revision, then.options, where=str(folder))
        if plugin.stamp(data_dir, then.options) != then.stamp:
            raise InputError(
                f"files that the {plugin.label} reads have changed since this pool was made, or are gone",
                where=str(folder),
                hint="restore them; or run the pool's grid file, which makes another pool from the new files",
            )


def _make_all(requests: Sequence[_Request], store: Path, as_json: bool) -> int:
    """Make pools; one that cannot be made does not prevent the others."""
    out = console(stderr=as_json)
    made: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for label, request in requests:
        try:
            made.append(_make(request(), store, out))
        except InputError as error:
            failed.append({"pool": label, "error": str(error)})
            out.print(f"failed: {label}\n  {error}", style="red", highlight=False)
    if as_json:
        print_json({"pools": made, "failed": failed})
    return EXIT_FAILED if failed else EXIT_DONE


def _make(request: _PoolRequest, store: Path, out: Console) -> dict[str, Any]:
    from mousterian.answers.numbers import duration
    from mousterian.cli.progress import PoolProgress
    from mousterian.data.leakage.stored import read
    from mousterian.store.rows import Store
    from mousterian.synthesis.samples import draw

    started = time.perf_counter()
    pool = request.pool
    damaged = pool.set_damaged_aside() if pool.folder.exists() else []
    for path in damaged:
        out.print(f"{path}: damaged; set aside, and made again", highlight=False)
    before = pool.count()
    with Store(store).in_use(), out.status("") as status:
        filtered = request.fill(PoolProgress(request.label, out, status))
    shares = filtered.retention() if filtered else []
    seconds = time.perf_counter() - started
    images = pool.count()
    draw(pool)
    out.print(
        f"{request.label} ({pool.identity.key[:8]}): {images:,} images, {images - before:,} of them new, in"
        f" {duration(seconds)}" + ("; its generator has no more" if images < request.count else ""),
        highlight=False,
    )
    if shares:
        _show_shares(shares, out)
    leaks = read(request.leaks)
    for sentence in leaks.sentences if leaks else ():
        out.print(f"  {sentence}", highlight=False)
    return {
        "pool": pool.identity.key,
        "label": request.label,
        "images": images,
        "new": images - before,
        "remade": [str(path) for path in damaged],
        "filters": list(request.filters),
        "classes": [vars(share) for share in shares],
        "leaks": {**leaks.summary, "sentences": list(leaks.sentences)} if leaks else None,
        "seconds": round(seconds, 1),
    }


def _show_shares(shares: Sequence[ClassRetention], out: Console) -> None:
    """Print how much the filters removed of each class, the largest share first."""
    images, kept = sum(s.images for s in shares), sum(s.kept for s in shares)
    worst = sorted(shares, key=lambda share: share.kept / max(1, share.images))[:CLASSES_SHOWN]
    rows = [
        {"class": s.class_name, "images": s.images, "kept": s.kept, "lost %": 1 - s.kept / max(1, s.images)}
        for s in worst
    ]
    out.print(table("", rows, keep=("class", "images", "kept", "lost %")))
    more = f"; of {len(shares)} classes the {len(worst)} that lose most" if len(worst) < len(shares) else ""
    out.print(f"filters keep {kept:,} of {images:,} images{more}", highlight=False)
