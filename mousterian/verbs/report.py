"""`mousterian report`."""

from __future__ import annotations

from pathlib import Path

from mousterian.verbs import FITS, REPORTS


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
    from mousterian import publishing
    from mousterian.console import print_json

    request = publishing.Request(fits, FITS, store, out, title, against, data_dir)
    shown = publishing.publish(request)
    if json:
        return print_json(publishing.told(shown, out))
    print(f"report: {out}")
    return 0
