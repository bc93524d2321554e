"""`mousterian suggest`: the most informative next trials."""

from __future__ import annotations

from pathlib import Path

from mousterian.cli.commands import EXIT_DONE
from mousterian.cli.console import print_json


def suggest(fit: Path, *, trials: int, out: Path = Path("results/suggested.toml"), json: bool = False) -> int:
    """Write a grid file of the trials that would narrow the equivalence's interval most.

    Where answers are conditional on few subset or generator seeds, these come first, if the trials suffice.

    Parameters
    ----------
    fit
        A saved fit of a store's arm.
    trials
        Number of trials, at most.
    out
        The grid file to write.
    json
        Print the cells as JSON and write nothing.
    """
    from mousterian.answers import fit_file
    from mousterian.answers.suggested_grid import grid_text
    from mousterian.answers.suggestion import suggest as suggested
    from mousterian.cli.commands._leaks import show_leaks
    from mousterian.files import write_atomically

    loaded = fit_file.read(fit)
    cells = suggested(loaded, trials=trials)
    show_leaks(loaded, as_json=json)
    if json:
        return print_json(cells.assign(reason=cells.attrs["reason"]).to_dict("records"))
    text = grid_text(loaded, cells)
    write_atomically(out, text.encode())
    print(text + f"\nwritten to {out}; run it with\n  mousterian grid {out}")
    return EXIT_DONE
