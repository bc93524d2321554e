"""`mousterian report`: fits as one HTML page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.cli.commands import EXIT_DONE, FITS, REPORTS
from mousterian.cli.console import print_json

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


def report(
    *fits: Path,
    store: Path | None = None,
    out: Path = REPORTS / "report.html",
    title: str = "",
    against: str = "",
    data_dir: Path | None = None,
    json: bool = False,
) -> int:
    """Write fits as one self-contained HTML page.

    Parameters
    ----------
    fits
        Saved fits; without any, all of results/fits, or with --store every arm of the store, fitted now.
    store
        The store of the fits' trials: adds device time, per-class gains, quality and samples of the pools,
        failures.
    out
        The page's file.
    title
        The page's title.
    against
        eq1 or eq2 of the main paper: audit that equation; default: the one derived from the same table.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    json
        Print the page's content as JSON.
    """
    from mousterian.reporting.page import About, contents, write_page
    from mousterian.synthesis import samples

    paths, made = _fits(fits, store)
    options = {"--store": store, "--title": title, "--against": against, "--data-dir": data_dir}
    given = [part for name, value in options.items() if value for part in (name, str(value))]
    about = About(
        title=title,
        store=str(store or ""),
        against=against,
        provenance={"Command": shlex.join(["mousterian", "report", *map(str, paths), *given])},
        sheets=samples.sheets_of(store, data_dir) if store else (),
    )
    shown = contents(made, about)
    write_page(shown, out)
    if json:
        return print_json(_described(shown, out))
    print(f"report: {out}")
    return EXIT_DONE


def _fits(fits: Sequence[Path], store: Path | None) -> tuple[Sequence[Path], list[Fit]]:
    """Return the saved fits and their files; or fits of a store's arms, made now, and no files."""
    from mousterian.answers.fit_file import fit_paths, read_fits
    from mousterian.cli.commands._arm_fits import fit_arms
    from mousterian.fitting.arms import read_arms

    if not store or fits:
        paths = tuple(fit_paths(fits, FITS))
        return paths, read_fits(paths)
    arms, _ = read_arms((), store, ())
    return (), list(fit_arms(arms))


def _described(shown: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return what --json prints of a page."""
    return {
        "path": str(path),
        "title": shown["title"],
        "question": shown["question"],
        "arms": [_arm(each) for each in shown["arms"]],
        "provenance": dict(shown["provenance"]),
    }


def _arm(shown: Mapping[str, Any]) -> dict[str, Any]:
    formula = shown["formula"]
    return {
        **{name: shown[name] for name in ("name", "setting", "generator")},
        "answer": shown["answer"].text,
        "equivalence": solved.to_json() if (solved := shown["answer"].equivalence) else None,
        "limit": shown["limit"],
        "trust": shown["trust"] or None,
        "conditional": shown["conditional"],
        "verdict": shown["verdict"],
        "formula": formula["text"] if formula else None,
        "measured": shown["measured"],
        "equivalences": [each.equivalence.to_json() for each in shown["equivalences"]],
        "warnings": list(shown["warnings"]),
        "facts": dict(shown["facts"]),
        "labels": dict(shown["labels"]),
        "not_drawn": dict(shown["missing"]),
    }
