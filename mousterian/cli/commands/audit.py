"""`mousterian audit`: compare a published equation with the measurements."""

from __future__ import annotations

import json as json_module
from pathlib import Path

from mousterian.cli.commands import EXIT_DONE
from mousterian.cli.console import console, print_json, table
from mousterian.errors import InputError


def audit(fit: Path, *, against: str, json: bool = False) -> int:
    """Compare a published equation with what was measured.

    Parameters
    ----------
    fit
        A saved fit.
    against
        eq1 or eq2 of the main paper.
    json
        Print as JSON.
    """
    from mousterian.answers import fit_file
    from mousterian.answers.audit import audit_equation, comparable, typical_factor
    from mousterian.cli.commands._leaks import show_leaks

    made = fit_file.read(fit)
    found = audit_equation(made, against)
    if json:
        show_leaks(made, as_json=True)
        rows = json_module.loads(found.assign(conditional=made.conditional).to_json(orient="records"))
        return print_json(rows)
    if found.empty:
        raise InputError("no mixture of this fit can be compared with an equation", where=made.name)
    title = ", ".join(filter(None, (f"{against} against {made.name}", made.conditional)))
    console().print(table(title, found.to_dict("records"), keep=tuple(map(str, found))))
    rows = comparable(found)
    inside = rows[rows["trust"] == "inside"]
    if len(inside):
        text = f"inside the data the equation is typically off by a factor {typical_factor(inside):.2f}"
        console().print(text, highlight=False)
    if len(rows) < len(found):
        worthless = f"{len(found) - len(rows)} of {len(found)} mixtures"
        console().print(f"in {worthless} the synthetic images are worth no real one", highlight=False)
    show_leaks(made)
    return EXIT_DONE
