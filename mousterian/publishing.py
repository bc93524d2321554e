"""What `mousterian report` does: fits, or a store's arms fitted now, as one page; again while they change."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mousterian import answers, equivalence, samples, tablefiles, watching
from mousterian.console import console
from mousterian.equivalence import Fit
from mousterian.errors import InputError, InputErrors
from mousterian.reporting import About, contents, write_page
from mousterian.store import Store
from mousterian.wording import number

# What changes when pools are made or measured, beside the trials.
_BESIDE = ("pools", "quality")


@dataclass(frozen=True)
class Request:
    """What to make a page of, and where: the arguments of `mousterian report`.

    Attributes:
        fits: saved fits; none for all of `folder`, or with a store for every arm of it, fitted now.
        folder: where fits lie by default.
        store: folder of the store that the fits are of; None for none.
        out: the page's file.
        title: the page's title.
        against: the published equation to audit; "" for the one made from the same table.
        data_dir: where datasets lie; None for where they always do.
    """

    fits: tuple[Path, ...]
    folder: Path
    store: Path | None
    out: Path
    title: str = ""
    against: str = ""
    data_dir: Path | None = None


@dataclass(frozen=True)
class Followed:
    """How to follow: seconds between looks, and the grid file whose last trial ends it, if any."""

    seconds: float
    grid: Path | None = None


def publish(request: Request, *, draws: int = 0, progress: str = "", refresh: int = 0) -> dict[str, Any]:
    """Write the page and return all that it shows, as `reporting.contents` does.

    Args:
        request: what to make it of.
        draws: of the fits made for it; 0 for as many as `mousterian fit` takes.
        progress: what a page that is still to change says of itself.
        refresh: seconds after which such a page loads itself again; 0 for never.

    Raises:
        InputError: there is nothing to show, or a file cannot be read or written.
    """
    paths, made = _fits(request, draws)
    options = {
        "--store": request.store,
        "--title": request.title,
        "--against": request.against,
        "--data-dir": request.data_dir,
    }
    given = [part for name, value in options.items() if value for part in (name, str(value))]
    about = About(
        title=request.title,
        store=str(request.store or ""),
        against=request.against,
        provenance={"Command": shlex.join(["mousterian", "report", *map(str, paths), *given])},
        sheets=samples.sheets_of(request.store, request.data_dir) if request.store else (),
        progress=progress,
        refresh=refresh,
    )
    shown = contents(made, about)
    write_page(shown, request.out)
    return shown


def told(shown: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return what `mousterian report --json` prints of a page."""
    return {
        "path": str(path),
        "title": shown["title"],
        "question": shown["question"],
        "arms": [_arm(each) for each in shown["arms"]],
        "provenance": dict(shown["provenance"]),
    }


def _arm(shown: Mapping[str, Any]) -> dict[str, Any]:
    answerable, formula = shown["told"], shown["formula"]
    return {
        **{name: shown[name] for name in ("name", "setting", "generator")},
        "answer": shown["answer"].text,
        "equivalence": shown["answer"].equivalence.to_json() if answerable else None,
        "limit": shown["limit"],
        "trust": shown["trust"] if answerable else None,
        "verdict": shown["verdict"],
        "formula": formula["text"] if formula else None,
        "measured": shown["measured"],
        "equivalences": [each.equivalence.to_json() for each in shown["equivalences"]],
        "warnings": list(shown["warnings"]),
        "facts": dict(shown["facts"]),
        "labels": dict(shown["labels"]),
        "not_drawn": dict(shown["missing"]),
    }


def follow(request: Request, how: Followed, tell: Callable[[dict[str, Any]], None]) -> None:
    """Write the page whenever its fits or its store have changed, and tell what it shows each time.

    The last page, when the grid's last trial has ended or Ctrl-C was pressed, is what `publish` writes.

    Raises:
        InputError: a grid file without a store, seconds that are none, or the page cannot be written.
    """
    if how.seconds <= 0:
        raise InputError(f"{how.seconds:g} seconds between looks; more than 0", where="--seconds")
    if how.grid and not request.store:
        raise InputError(
            "only a store tells how far a grid is", where="--grid", hint="name it: --store FOLDER"
        )
    trials = set(watching.trials_of(how.grid, request.data_dir)) if how.grid else set()
    written = False
    try:
        for shown in _passing(request, how.seconds, trials):
            written = True
            tell(shown)
    except KeyboardInterrupt:
        if not written:
            return
    tell(publish(request))


def _passing(request: Request, seconds: float, trials: set[str]) -> Iterator[dict[str, Any]]:
    """Yield pages that refresh themselves until all trials, if any are named, have come to an end."""
    last: object = None
    said = ""
    while True:
        status = Store(request.store).status() if request.store else {}
        ended = set(status)
        if trials and trials <= ended:
            return
        found = (status, *_stamps(request))
        if found != last:
            last = found
            progress = _progress(request, len(trials & ended) if trials else len(ended), len(trials))
            refresh = max(round(seconds), 1)
            try:
                yield publish(request, draws=watching.DRAWS, progress=progress, refresh=refresh)
            except InputError as error:  # too few trials for a fit, most often
                if str(error) != said:
                    said = str(error)
                    console(stderr=True).print(f"no page yet: {said}", highlight=False)
        time.sleep(seconds)


def _progress(request: Request, ended: int, planned: int) -> str:
    if not request.store:
        return "This page is followed: it is made again whenever its fits change."
    of = f" of {number(planned)}" if planned else ""
    said = f"This page is followed: it is made again as trials come in, {number(ended)}{of} so far."
    rough = f" Its fits have {watching.DRAWS} draws; those of the last page have more."
    return said if request.fits else said + rough


def _stamps(request: Request) -> tuple[tuple[str, int], ...]:
    """Return when each file or folder that the page is made from, beside the trials, was changed."""
    fits = request.fits or (() if request.store else tuple(sorted(request.folder.glob("*.json"))))
    parts = [request.store / name for name in _BESIDE] if request.store else []
    files = [*fits, *(path for part in parts for path in sorted((part, *part.glob("*"))))]
    return tuple((str(path), path.stat().st_mtime_ns) for path in files if path.exists())


def _fits(request: Request, draws: int) -> tuple[tuple[Path, ...], list[Fit]]:
    """Return the saved fits and their files; or those of a store's arms, made now, and no file."""
    if not request.store or request.fits:
        paths = tuple(answers.find_fits(request.fits, request.folder))
        return paths, answers.load_fits(paths)
    arms, _ = tablefiles.read_arms((), request.store, ())
    fitted = partial(equivalence.fit, bootstrap=draws) if draws else equivalence.fit
    made: list[Fit] = []
    refused: list[InputError] = []
    for arm in arms:
        try:
            made.append(fitted(arm.rows, name=arm.name, labels=arm.labels))
        except InputError as error:  # of a grid that is running, say: the other arms are shown all the same
            refused.append(InputError(f"{arm.name} is not fitted: {error.what}", hint=error.hint))
    if not made:
        raise InputErrors(refused)
    for each in () if draws else refused:
        console(stderr=True).print(f"mousterian: {each}", highlight=False)
    return (), made
