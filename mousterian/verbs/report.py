"""`mousterian report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mousterian.verbs import FITS, REPORTS


def report(
    *fits: Path,
    store: Path | None = None,
    out: Path = REPORTS / "report.html",
    title: str = "",
    against: str = "",
    follow: bool = False,
    grid: Path | None = None,
    seconds: float = 5,
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
    follow
        Make the page again whenever its fits or its store change, until Ctrl-C; open in a browser, it loads
        itself again. The last page is the one that is made without --follow.
    grid
        With --follow and --store: the grid file whose last trial ends it.
    seconds
        With --follow: time between two looks.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    json
        Print what the page says as JSON; with --follow a line each time that it is made.
    """
    from json import dumps

    from mousterian import publishing

    def tell(shown: dict[str, Any]) -> None:
        told = dumps(publishing.told(shown, out), ensure_ascii=False, indent=None if follow else 2)
        print(told if json else f"report: {out}", flush=True)

    request = publishing.Request(fits, FITS, store, out, title, against, data_dir)
    if follow:
        publishing.follow(request, publishing.Followed(seconds, grid), tell)
    else:
        tell(publishing.publish(request))
    return 0
