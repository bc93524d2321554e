"""What `mousterian report` does: fits, or a store's arms fitted now, as one page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.cli.commands import FITS, REPORTS
from mousterian.cli.console import console
from mousterian.errors import InputError, InputErrors

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


@dataclass(frozen=True)
class ReportArguments:
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


def _publish(request: ReportArguments) -> dict[str, Any]:
    """Write the page and return all that it shows, as `reporting.contents` does.

    Raises:
        InputError: there is nothing to show, or a file cannot be read or written.
    """
    from mousterian.reporting.page import About, contents, write_page
    from mousterian.synthesis import samples

    paths, made = _fits(request)
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
    )
    shown = contents(made, about)
    write_page(shown, request.out)
    return shown


def _described(shown: Mapping[str, Any], path: Path) -> dict[str, Any]:
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


def _fits(request: ReportArguments) -> tuple[tuple[Path, ...], list[Fit]]:
    """Return the saved fits and their files; or those of a store's arms, made now, and no file."""
    from mousterian.answers.fit_file import fit_paths, read_fits
    from mousterian.fitting import estimation
    from mousterian.fitting.arms import read_arms

    if not request.store or request.fits:
        paths = tuple(fit_paths(request.fits, request.folder))
        return paths, read_fits(paths)
    arms, _ = read_arms((), request.store, ())
    made: list[Fit] = []
    refused: list[InputError] = []
    for arm in arms:
        try:
            made.append(estimation.fit(arm.rows, name=arm.name, labels=arm.labels))
        except InputError as error:  # of a grid that is running, say: the other arms are shown all the same
            refused.append(InputError(f"{arm.name} is not fitted: {error.what}", hint=error.hint))
    if not made:
        raise InputErrors(refused)
    for each in refused:
        console(stderr=True).print(f"mousterian: {each}", highlight=False)
    return (), made


def report(
    *fits: Path,
    store: Path | None = None,
    out: Path = REPORTS / "report.html",
    title: str = "",
    against: str = "",
    data_dir: Path | None = None,
    json: bool = False,
) -> int:
    """Write fits as one HTML page that needs nothing else.

    Parameters
    ----------
    fits
        Saved fits; without any, all of results/fits, or with --store every arm of the store, fitted now.
    store
        The store that the fits are of: adds device time, per-class gains, quality and samples of the pools,
        failures.
    out
        The page's file.
    title
        The page's title.
    against
        eq1 or eq2 of the main paper: audit that equation; default: the one made from the same table.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    json
        Print what the page says as JSON.
    """
    from mousterian.cli.console import print_json

    request = ReportArguments(fits, FITS, store, out, title, against, data_dir)
    shown = _publish(request)
    if json:
        return print_json(_described(shown, out))
    print(f"report: {out}")
    return 0
