"""What `mousterian fit`, `report` and the questions asked of a fit print."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from mousterian import equivalence, published
from mousterian.console import console, print_json, table
from mousterian.equivalence import Equivalence, Fit, marginal_rate
from mousterian.equivalence import equivalence as equivalence_of
from mousterian.errors import InputError, InputErrors
from mousterian.fitting import saved as saved_fits
from mousterian.fitting.arms import apart
from mousterian.fitting.formula import nearest_formula
from mousterian.fitting.ratio import improvement_ratio
from mousterian.fitting.table import COUNTS
from mousterian.planning import Plan
from mousterian.published.equations import audit, comparable, typical_factor
from mousterian.tablefiles import Arm, told_where
from mousterian.wording import answer, compares, counts, number, percent, percents, rates

_NOTHING = "no trial adds synthetic images to a base, so nothing can be said of what they are worth"
_BEYOND_SYNTHETIC = "worth more than any number of synthetic ones"
_UNSAFE = re.compile(r"^\.|[/\\\x00-\x1f]")
RANGE = {"inside": "inside the data", "near": "near the data", "extrapolated": "extrapolated"}


def fit(arms: Sequence[Arm], out: Path, *, surface: str, bootstrap: int, seed: int) -> list[tuple[Fit, Path]]:
    """Fit every arm and save each fit.

    Args:
        arms: what to fit.
        out: a folder, or a .json file for a single arm.
        surface: a surface's name, or auto.
        bootstrap: draws that intervals are made of.
        seed: of those draws.

    Raises:
        InputError: no table can be fitted, or several arms are to go into one file. Arms that cannot be
            fitted beside others that can are told on the error output.
    """
    single = out.suffix == ".json"
    if single and len(arms) > 1:
        raise InputError(
            f"there are {len(arms)} arms ({', '.join(arm.name for arm in arms)}), and one file holds one fit",
            where=f"--out {out}",
            hint="name a folder, or choose an arm with --where COLUMN=VALUE",
        )
    saved: list[tuple[Fit, Path]] = []
    refused: list[InputError] = []
    for arm in arms:
        name = out.stem if single else arm.name
        # Two tables of one name in different folders: neither fit may take the other's place.
        again = sum(each.name == arm.name for each in arms[: len(saved)])
        name += f"-#{again + 1}" if again else ""
        try:
            with told_where(arm.source):
                made = equivalence.fit(
                    arm.rows, surface=surface, bootstrap=bootstrap, seed=seed, name=name, labels=arm.labels
                )
        except InputError as error:  # of a grid that is running, say: the other arms are fitted all the same
            if len(arms) == 1:
                raise
            refused.append(
                InputError(f"{name} is not fitted: {error.what}", where=error.where, hint=error.hint)
            )
            continue
        # A store's columns may hold anything: no name from there leads out of the folder.
        path = out if single else out / f"{_UNSAFE.sub('_', name)}.json"
        saved_fits.write(made, path)
        saved.append((made, path))
    if refused and not saved:
        raise InputErrors(refused)
    for each in refused:
        console(stderr=True).print(f"mousterian: {each}", highlight=False)
    return saved


def show_fits(saved: Sequence[tuple[Fit, Path]], left_out: str) -> None:
    """Print each fit: equation, surfaces, a few equivalences, warnings, and where it is."""
    out = console()
    if left_out:
        out.print(left_out, highlight=False)
    for made, path in saved:
        out.rule(made.name, align="left")
        cells = made.data.groupby(["n_base", "n_real_plus", "n_syn_plus"]).ngroups
        out.print(f"{len(made.data)} trials in {cells} cells; surface {_weights(made)}", highlight=False)
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
        for warning in made.warnings:
            out.print(f"  warning: {warning}", highlight=False, markup=False)
        out.print(f"  saved as {path}", highlight=False, markup=False)


def _no_equation(made: Fit) -> str:
    why = "synthetic images reach too little of what real ones do" if compares(made.data) else _NOTHING
    return f"no equation: {why}"


def _weights(made: Fit) -> str:
    return ", ".join(
        f"{each.name} {100 * each.weight:.0f} %" for each in made.surfaces if each.weight >= 0.01
    )


def _typical(made: Fit) -> list[str]:
    """Return what as many real images again are worth, at each base size that has synthetic rows."""
    rows = made.data[(made.data["n_syn_plus"] > 0) & (made.data["n_base"] > 0)]
    bases = [float(base) for base in sorted(rows["n_base"].unique())]
    return [sentence(made, equivalence_of(made, n_base=base, n_real_plus=base)) for base in bases]


def sentence(made: Fit, found: Equivalence) -> str:
    """Return an equivalence as a sentence with its interval, and whether it lies inside the data."""
    if not compares(made.data):
        raise InputError(_NOTHING, where=made.name)
    if isinstance(found.n_real_plus, float):
        text = answer(made, found.n_base, found.n_real_plus).text
    else:
        given = found.n_syn_plus if isinstance(found.n_syn_plus, float) else 0.0
        real = found.n_real_plus
        worth = counts(real) if real else f"more than {number(made.averaged.most_real)}"
        text = (
            f"At {number(found.n_base)} base images, {number(given)} more synthetic images are worth"
            f" {worth} real ones."
        )
    return f"{text} [{RANGE[found.trust]}]"


def show_ratio(made: Fit, as_json: bool) -> int:
    """Print the improvement ratio at each measured ratio, from the trials and from the surface."""
    rows = improvement_ratio(made).to_dict("records")
    if as_json:
        return print_json(rows)
    if not rows:
        raise InputError(
            "no synthetic images were measured, so there is no improvement ratio", where=made.name
        )
    console().print(table(f"improvement ratio of {made.name}", rows, keep=("n_base", "r", "ratio")))
    return 0


def show_rate(made: Fit, n_base: float, n_real_plus: float, n_syn_plus: float, as_json: bool) -> int:
    """Print what one more real image is worth at a mixture, in synthetic images."""
    if not compares(made.data):
        raise InputError(_NOTHING, where=made.name)
    mixture = {"n_base": n_base, "n_real_plus": n_real_plus, "n_syn_plus": n_syn_plus}
    rate, trust = marginal_rate(made, **mixture), made.measured.trust(**mixture)
    if as_json:
        return print_json({**mixture, "marginal_rate": rate.to_json(), "trust": trust})
    at = f"At {number(n_base)} base, {number(n_real_plus)} more real and {number(n_syn_plus)} synthetic"
    worth = f"worth {rates(rate)} synthetic ones" if math.isfinite(rate.estimate) else _BEYOND_SYNTHETIC
    print(f"{at} images, one more real image is {worth}. [{RANGE[trust]}]")  # noqa: T201
    return 0


def find_fits(given: Sequence[Path], folder: Path) -> list[Path]:
    """Return the fits given, or all those in the folder.

    Raises:
        InputError: there is none.
    """
    paths = list(given) or sorted(folder.glob("*.json"))
    if not paths:
        raise InputError(
            "no fits here", where=str(folder), hint="run `mousterian fit` first, or name a fit's file"
        )
    return paths


def load_fits(paths: Sequence[Path]) -> list[Fit]:
    """Return saved fits, with the options in which they differ in their names where several have one.

    Raises:
        InputError: one is not there, or no fit.
    """
    fits = [saved_fits.read(path) for path in paths]
    names = apart([each.name for each in fits], [each.labels for each in fits], whole=True)
    return [replace(each, name=name) for each, name in zip(fits, names, strict=True)]


def as_latex(made: Fit) -> str:
    """Return the equation in LaTeX; a comment that says why where there is none."""
    formula = nearest_formula(made)
    return formula.latex if formula else f"% {made.name}: {_no_equation(made)}"


def as_python(made: Fit) -> str:
    """Return the equation as a Python function."""
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


def unidentified(saved: Sequence[tuple[Fit, Path]]) -> list[str]:
    """Return a sentence for each fit whose heaviest surface has parameters that the table does not tell."""
    return [
        f"{made.name}: {made.surface} has parameters that the table cannot tell: {', '.join(unknown)}"
        for made, _ in saved
        if (unknown := made.surfaces[0].unidentified)
    ]


def list_published(as_json: bool) -> int:
    """Print the papers' tables that ship as data."""
    tables = [published.load(name) for name in published.names()]
    if as_json:
        return print_json([asdict(each) for each in tables])
    rows = [
        {"name": t.name, "what": t.title, "source": f"{t.paper}, {t.table}", "rows": len(t.rows)}
        for t in tables
    ]
    console().print(table("published tables", rows, keep=("name", "what", "rows")))
    return 0


def show_audit(made: Fit, against: str, as_json: bool) -> int:
    """Print a published equation beside what was measured, point by point."""
    found = audit(made, against)
    if as_json:
        return print_json(json.loads(found.to_json(orient="records")))
    if found.empty:
        raise InputError("no mixture of this fit can be set beside an equation", where=made.name)
    console().print(
        table(f"{against} against {made.name}", found.to_dict("records"), keep=tuple(map(str, found)))
    )
    rows = comparable(found)
    inside = rows[rows["trust"] == "inside"]
    if len(inside):
        told = f"inside the data the equation is typically off by a factor {typical_factor(inside):.2f}"
        console().print(told, highlight=False)
    if len(rows) < len(found):
        worthless = f"{len(found) - len(rows)} of {len(found)} mixtures"
        console().print(f"in {worthless} the synthetic images are worth no real one", highlight=False)
    return 0


def show_plan(made: Plan, as_json: bool) -> int:
    """Print the cheapest mixture that reaches a target, and what one kind of image alone would cost."""
    if as_json:
        return print_json(made.to_json())
    goal = percent(made.target_accuracy, 2)
    if made.n_real_plus is None or made.n_syn_plus is None or made.cost is None:
        best = f"the best is {percents(made.accuracy, 2)}"
        told = f"some mixture reaches it in {percent(made.chance, 0)} of the draws"
        short = made.accuracy.estimate < made.target_accuracy
        print(f"{goal} is not reachable within the limits; {best if short else told}")  # noqa: T201
        return 0
    alone = (("real", made.cost_of_real_alone), ("synthetic", made.cost_of_synthetic_alone))
    lines = [
        f"for {goal}, add {counts(made.n_real_plus)} real and {counts(made.n_syn_plus)} synthetic images:"
        f" cost {counts(made.cost)} [{RANGE[made.trust]}]",
        *(
            f"  {kind} images alone: " + ("not enough" if c is None else f"cost {number(c)}")
            for kind, c in alone
        ),
        f"  this mixture reaches it in {percent(made.chance, 0)} of the draws",
    ]
    print("\n".join(lines))  # noqa: T201
    return 0
