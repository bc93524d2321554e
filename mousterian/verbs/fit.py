"""`mousterian fit`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mousterian.verbs import FITS, STORE


def fit(
    *tables: str,
    store: Path = STORE,
    where: Sequence[str] = (),
    surface: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    out: Path = FITS,
    json: bool = False,
    latex: bool = False,
    python: bool = False,
    strict: bool = False,
) -> int:
    """Fit accuracy surfaces to a table of trials; save the equivalence with its intervals.

    Parameters
    ----------
    tables
        Files (CSV, TSV, parquet, JSON), folders of stores, or published:NAME; without any, the store.
    store
        Folder of the store.
    where
        COLUMN=VALUE: use only the rows with that value; may be repeated.
    surface
        A surface (`mousterian list surfaces`), or auto: all, weighted by how well they explain the data.
    bootstrap
        Draws that intervals are made of.
    seed
        Seed of those draws.
    out
        Folder for the fits, one file for each arm, or a .json file for a single one.
    json
        Print the fits as JSON.
    latex
        Print the equations in LaTeX.
    python
        Print the equations as Python functions.
    strict
        Exit with 4 if the heaviest surface has parameters that the table cannot tell.
    """
    from mousterian import answers, tablefiles
    from mousterian.console import print_json
    from mousterian.fitting import saved as saved_fits

    arms, left_out = tablefiles.read_arms(tables, store, where)
    saved = answers.fit(arms, out, surface=surface, bootstrap=bootstrap, seed=seed)
    if json:
        print_json([saved_fits.to_json(made) for made, _ in saved])
    elif latex:
        print("\n".join(answers.as_latex(made) for made, _ in saved))
    elif python:
        print("\n\n".join(answers.as_python(made) for made, _ in saved))
    else:
        answers.show_fits(saved, left_out)
    unknown = answers.unidentified(saved) if strict else []
    for sentence in unknown:
        print(f"mousterian: {sentence}", file=sys.stderr)
    return 4 if unknown else 0
