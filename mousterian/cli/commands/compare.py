"""`mousterian compare`: arms beside one another."""

from __future__ import annotations

from pathlib import Path

from mousterian.cli.commands import EXIT_DONE, FITS
from mousterian.cli.console import console, print_json, table


def compare(*fits: Path, store: Path | None = None, json: bool = False) -> int:
    """Compare arms at the mixtures that they share: accuracy, and the worth of synthetic images.

    Parameters
    ----------
    fits
        Saved fits of two or more arms; without any, all of results/fits.
    store
        Folder of the store that the fits were made of: differences are then paired by test image, too, and
        their intervals are about other test images as well.
    json
        Print as JSON.
    """
    from mousterian.answers import comparison, wording
    from mousterian.answers.arm_predictions import ArmPredictions
    from mousterian.answers.fit_file import fit_paths, read_fits

    predictions = ArmPredictions(store) if store else None
    found = comparison.compare(read_fits(fit_paths(fits, FITS)), predictions)
    if json:
        return print_json(comparison.to_json(found))
    rows = [wording.compared(row) for row in found.to_dict("records")]
    out = console()
    out.print(table("arms compared, 95 % intervals in brackets", rows, keep=tuple(rows[0])))
    out.print(comparison.multiplicity(found), highlight=False)
    return EXIT_DONE
