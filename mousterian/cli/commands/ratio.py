"""`mousterian ratio`: the improvement ratio."""

from __future__ import annotations

from pathlib import Path

from mousterian.cli.commands import EXIT_DONE
from mousterian.cli.console import console, print_json, table


def ratio(fit: Path, *, json: bool = False) -> int:
    """Print the improvement ratio: the gain from synthetic images over that from as many real ones.

    Parameters
    ----------
    fit
        A saved fit.
    json
        Print as JSON.
    """
    from mousterian.answers import fit_file
    from mousterian.answers.answerable import require_answer
    from mousterian.answers.improvement_ratio import improvement_ratio, to_json
    from mousterian.cli.commands._leaks import show_leaks

    made = fit_file.read(fit)
    require_answer(made)
    found = improvement_ratio(made)
    if json:
        show_leaks(made, as_json=True)
        return print_json([{**row, "conditional": made.conditional} for row in to_json(found)])
    rows = found.to_dict("records")
    title = ", ".join(filter(None, (f"improvement ratio of {made.name}", made.conditional)))
    console().print(table(title, rows, keep=("n_base", "r", "ratio", "basis")))
    show_leaks(made)
    return EXIT_DONE
