"""`mousterian report`."""

from __future__ import annotations

from pathlib import Path

from mousterian.verbs import FITS, REPORTS


def report(*fits: Path, out: Path = REPORTS / "report.html", title: str = "") -> int:
    """Write fits as one HTML page that needs nothing else.

    Parameters
    ----------
    fits
        Saved fits; without any, all of results/fits.
    out
        The page's file.
    title
        The page's title.
    """
    from mousterian import answers
    from mousterian.equivalence import Fit
    from mousterian.reporting import write_report

    loaded = [Fit.load(path) for path in answers.find_fits(fits, FITS)]
    print(f"report: {write_report(loaded, out, title=title)}")
    return 0
