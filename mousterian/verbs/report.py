"""`mousterian report`."""

from __future__ import annotations

import shlex
from pathlib import Path

from mousterian.verbs import FITS, REPORTS


def report(
    *fits: Path,
    store: Path | None = None,
    out: Path = REPORTS / "report.html",
    title: str = "",
    against: str = "",
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
    """
    from mousterian import answers, equivalence, samples, tablefiles
    from mousterian.reporting import About, write_report

    if store and not fits:
        arms, _ = tablefiles.read_arms((), store, ())
        made = [equivalence.fit(arm.rows, name=arm.name, labels=arm.labels) for arm in arms]
    else:
        fits = tuple(answers.find_fits(fits, FITS))
        made = [equivalence.Fit.load(path) for path in fits]
    options = {"--store": str(store or ""), "--title": title, "--against": against}
    given = [part for name, value in options.items() if value for part in (name, value)]
    about = About(
        title=title,
        store=str(store or ""),
        against=against,
        provenance={"Command": shlex.join(["mousterian", "report", *map(str, fits), *given])},
        sheets=samples.sheets_of(store) if store else (),
    )
    print(f"report: {write_report(made, out, about)}")
    return 0
