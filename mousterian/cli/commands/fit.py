"""`mousterian fit`: fit a table of trials."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.cli.commands import EXIT_DONE, EXIT_UNIDENTIFIED, FITS, STORE
from mousterian.cli.console import console, print_json
from mousterian.errors import InputError

if TYPE_CHECKING:
    from mousterian.fitting.arms import Arm
    from mousterian.fitting.result import Fit

_UNSAFE = re.compile(r"^\.|[/\\\x00-\x1f]")


def fit(
    *tables: str,
    store: Path = STORE,
    column: Sequence[str] = (),
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
    column
        NAME=COLUMN: the table's column that holds n_base, n_real_plus, n_syn_plus (or r_real, r_syn: ratios
        to n_base), accuracy, total, generator, ..., where its name does not say so; unused=COLUMN ignores
        one. May be repeated.
    where
        COLUMN=VALUE: use only the rows with that value; may be repeated. code_revisions=1 and the like name
        rows of older code, which are left out where there are newer ones.
    surface
        A surface (`mousterian list surfaces`), or auto: all, weighted by how well they explain the data.
    bootstrap
        Number of bootstrap draws for the intervals.
    seed
        Seed of the draws.
    out
        Folder for the fits, one file for each arm, or a .json file for a single one.
    json
        Print the fits as JSON.
    latex
        Print the equations in LaTeX.
    python
        Print the equations as Python functions.
    strict
        Exit with 4 if a parameter of the surface with the largest weight is not identified.
    """
    from mousterian.answers import fit_file
    from mousterian.fitting.arms import read_arms
    from mousterian.plugins.key_value import key_and_value

    columns = [key_and_value(each, flag="--column", form="NAME=COLUMN") for each in column]
    arms, said = read_arms(tables, store, where, columns)
    saved = _fit_and_save(arms, out, surface=surface, bootstrap=bootstrap, seed=seed)
    if said and (json or latex or python):
        print(said, file=sys.stderr)
    if json:
        print_json([fit_file.to_json(made) for made, _ in saved])
    elif latex:
        print("\n".join(_as_latex(made) for made, _ in saved))
    elif python:
        print("\n\n".join(_as_python(made) for made, _ in saved))
    else:
        _show(saved, said)
    unidentified = _unidentified(saved) if strict else []
    for sentence in unidentified:
        print(f"mousterian: {sentence}", file=sys.stderr)
    return EXIT_UNIDENTIFIED if unidentified else EXIT_DONE


def _fit_and_save(arms: Sequence[Arm], out: Path, **settings: Any) -> list[tuple[Fit, Path]]:
    """Fit every arm and save each fit, as soon as it is made.

    Args:
        arms: arms to fit, of distinct names.
        out: a folder, or a .json file for a single arm.
        settings: surface, bootstrap and seed.

    Raises:
        InputError: no arm can be fitted, or several arms are to go into one file.
    """
    from mousterian.answers import fit_file
    from mousterian.cli.commands._arm_fits import fit_arms

    single = out.suffix == ".json"
    if single and len(arms) > 1:
        raise InputError(
            f"there are {len(arms)} arms ({', '.join(arm.name for arm in arms)}), and one file holds one fit",
            where=f"--out {out}",
            hint="name a folder, or choose an arm with --where COLUMN=VALUE",
        )
    saved: list[tuple[Fit, Path]] = []
    for made in fit_arms([replace(arm, name=out.stem) for arm in arms] if single else arms, **settings):
        # A store's columns may contain anything: no name from them may lead out of the folder.
        path = out if single else out / f"{_UNSAFE.sub('_', made.name)}.json"
        fit_file.write(made, path)
        saved.append((made, path))
    return saved


def _show(saved: Sequence[tuple[Fit, Path]], said: str) -> None:
    """Print how tables were read, then each fit: equation, surfaces, equivalences, warnings, its file."""
    from mousterian.answers.formula import nearest_formula
    from mousterian.answers.numbers import number
    from mousterian.fitting.columns import COUNTS

    out = console()
    if said:
        out.print(said, highlight=False, markup=False)
    for made, path in saved:
        out.rule(made.name, align="left")
        out.print(f"{len(made.data)} trials in {made.cells} cells; surface {_weights(made)}", highlight=False)
        formula = nearest_formula(made)
        if formula:
            out.print(formula.text, style="bold", highlight=False, markup=False)
            off = math.exp(formula.rms_log_error)
            exact = (
                "exact for these surfaces"
                if off < 1.005
                else f"typically off the surfaces by a factor {off:.2f}"
            )
            out.print(f"({exact})", highlight=False)
        else:
            out.print(_no_equation(made), style="bold", highlight=False, markup=False)
        for text in _typical(made):
            out.print("  " + text, highlight=False, markup=False)
        for row, z, reason in made.outliers:
            place = ", ".join(f"{name} {number(row[name])}" for name in COUNTS)
            out.print(
                f"  outlier at {place} ({z:.1f} residuals off): {reason}", highlight=False, markup=False
            )
        if not math.isnan(share := made.test_set_share):
            text = f"  test images: {100 * share:.0f} % of the variance of differences between mixtures"
            out.print(text, highlight=False)
        for leak in made.leaks:
            out.print(f"  leak: {leak}", highlight=False, markup=False)
        for warning in made.warnings:
            out.print(f"  warning: {warning}", highlight=False, markup=False)
        out.print(f"  saved as {path}", highlight=False, markup=False)


def _no_equation(made: Fit) -> str:
    from mousterian.answers.answerable import refusal

    refused = refusal(made)
    return f"no equation: {refused.what if refused else 'synthetic images gain too little beside real ones'}"


def _weights(made: Fit) -> str:
    return ", ".join(
        f"{each.name} {100 * each.weight:.0f} %" for each in made.surfaces if each.weight >= 0.01
    )


def _typical(made: Fit) -> list[str]:
    """Return the equivalence of n_real_plus = n_base at base sizes with synthetic rows.

    Where the rows can tell none, return what to measure: the equation's line has said why.
    """
    from mousterian.answers.answerable import refusal
    from mousterian.answers.equivalence import equivalence as equivalence_of
    from mousterian.answers.measured import base_sizes
    from mousterian.answers.wording import sentence

    refused = refusal(made)
    if refused:
        return [f"to have an answer: {refused.hint}"]
    return [sentence(made, equivalence_of(made, n_base=base, n_real_plus=base)) for base in base_sizes(made)]


def _as_latex(made: Fit) -> str:
    """Return the equation in LaTeX; if there is none, a comment with the reason."""
    from mousterian.answers.formula import nearest_formula

    formula = nearest_formula(made)
    return formula.latex if formula else f"% {made.name}: {_no_equation(made)}"


def _as_python(made: Fit) -> str:
    """Return the equation as a Python function; if there is none, a comment with the reason."""
    from mousterian.answers.formula import nearest_formula

    formula = nearest_formula(made)
    if formula is None:
        return f"# {made.name}: {_no_equation(made)}"
    c, log_g, log_h = (
        repr(value.estimate) for value in (formula.c, formula.log_g_per_image, formula.log_h_per_r_real)
    )
    domain = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in formula.domain.items())
    return (
        "from math import exp, expm1\n\n\n"
        "def n_syn_plus(n_base: float, n_real_plus: float) -> float:\n"
        f'    """Synthetic images worth n_real_plus real ones ({made.name}; {domain})."""\n'
        f"    return n_base * {c} * exp({log_g} * n_base) * expm1({log_h} * n_real_plus / n_base)\n"
    )


def _unidentified(saved: Sequence[tuple[Fit, Path]]) -> list[str]:
    """Return a sentence for each fit whose surface of largest weight has unidentified parameters."""
    return [
        f"{made.name}: the table does not identify these parameters of {made.surface}: {', '.join(unknown)}"
        for made, _ in saved
        if (unknown := made.surfaces[0].unidentified)
    ]
