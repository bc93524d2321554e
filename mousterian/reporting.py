"""Fits -> one self-contained HTML file: answers, equation, figures, tables and where they come from."""

from __future__ import annotations

import platform
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from markupsafe import Markup

from mousterian import plugins
from mousterian.errors import InputError
from mousterian.figures._rows import typical
from mousterian.fitting.formula import LEAST_LOG_H
from mousterian.fitting.interval import Interval
from mousterian.report_answers import as_data, formulas
from mousterian.report_tables import (
    comparison,
    equivalence_table,
    figure_table,
    identified_table,
    noise_table,
    outlier_table,
    parameter_table,
    points_of,
    ratio_table,
    surface_table,
)
from mousterian.store import write_atomically
from mousterian.wording import TRUST, Answer, answer, compares, generator, number, percent, setting

if TYPE_CHECKING:
    from mousterian.equivalence import Fit, Formula

QUESTION = "How many synthetic images is a real one worth?"
# What is shown of an arm's labels, in order, and under which words.
_FACTS = {
    "dataset": "Dataset",
    "model": "Classifier",
    "strategy": "Strategy",
    "recipe": "Training recipe",
    "evaluation": "Evaluation",
    "source": "Source",
}
_SCRIPTS = ("answers.js", "words.js", "asking.js")
_PACKAGES = ("mousterian", "numpy", "scipy", "pandas", "matplotlib")


def write_report(
    fits: Sequence[Fit], path: Path | str, *, title: str = "", provenance: Mapping[str, str] | None = None
) -> Path:
    """Write one self-contained HTML report of one or several fits, and return its path.

    The same fits, title and provenance give the same bytes.

    Args:
        fits: the arms, in the order in which they are shown.
        path: the file to write; its folder is made.
        title: what the study is called.
        provenance: further lines for "Where this comes from", such as the grid, the command, failed trials.

    Raises:
        InputError: there is no fit, or the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the report's folder ({error.strerror})", where=str(path.parent)
        ) from error
    write_atomically(path, render(fits, title=title, provenance=provenance).encode())
    return path


def render(fits: Sequence[Fit], *, title: str = "", provenance: Mapping[str, str] | None = None) -> str:
    """Return the report as HTML; arguments and errors are those of `write_report`."""
    if not fits:
        raise InputError("a report needs at least one fit", hint="`mousterian fit` makes one")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mousterian"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    arms = [_arm(fit, index) for index, fit in enumerate(fits, start=1)]
    asked = {arm["anchor"]: fit for arm, fit in zip(arms, fits, strict=True) if arm["asks"]}
    style, script = _style(environment), _script(environment, tuple(asked.values()))
    return environment.get_template("report.html").render(
        policy=_policy(style, script),
        script=script,
        # No character of it can end the element that it stands in.
        data=Markup(as_data(asked)) if asked else "",  # noqa: S704
        question=QUESTION,
        title=title or _title(fits),
        arms=arms,
        comparison=comparison([(arm["name"], arm["equivalences"]) for arm in arms])
        if len(arms) > 1
        else None,
        provenance={**(provenance or {}), **_versions()},
        style=style,
    )


def _style(environment: jinja2.Environment) -> Markup:
    """Return the style sheet; it is ours, with nothing from the fits in it."""
    source = environment.get_template("report.css").render()
    return Markup(re.sub(r"\s*\n\s*", "\n", source))  # noqa: S704


def _script(environment: jinja2.Environment, asked: Sequence[Fit]) -> Markup:
    """Return the page's script; it is ours, and from the fits it has the names of surfaces alone."""
    parts = [formulas(asked) or "", *(environment.get_template(name).render() for name in _SCRIPTS)]
    lines = (line.strip() for part in parts for line in part.splitlines())
    return Markup("\n".join(line for line in lines if line and not line.startswith("//")))  # noqa: S704


def _policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy: ours alone runs, and nothing is fetched."""
    ours = [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in (style, script)]
    return (
        f"default-src 'none'; style-src {ours[0]}; script-src {ours[1]}; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


def _title(fits: Sequence[Fit]) -> str:
    datasets = {fit.labels.get("dataset") or fit.name for fit in fits}
    return ", ".join(sorted(name for name in datasets if name))


def _versions() -> dict[str, str]:
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return {"Made with": f"{packages}, Python {platform.python_version()}"}


def _arm(fit: Fit, index: int) -> dict[str, Any]:
    """Return what the template shows of one fit."""
    anchor = f"arm-{index}"
    first = answer(fit, *typical(fit))
    # Without synthetic images there is nothing to answer, however the surfaces go on.
    synthetic = compares(fit.data)
    answers = [answer(fit, *point) for point in points_of(fit)] if synthetic else []
    formula = fit.formula()
    return {
        "anchor": anchor,
        "name": fit.name or generator(fit.labels) or f"Fit {index}",
        # A surface of a third party may be written in ways that have no JavaScript: then the page only tells.
        "asks": synthetic and formulas((fit,)) is not None,
        "setting": setting(fit.labels),
        "generator": generator(fit.labels),
        "answer": first,
        "trust": first.equivalence.trust,
        "verdict": f"{TRUST[first.equivalence.trust]} {_doubt(first)}" if synthetic else "",
        "facts": _facts(fit),
        "formula": _formula(formula) if formula else None,
        "figures": _figures(fit, anchor),
        "equivalences": answers,
        "equivalence_table": equivalence_table(answers) if synthetic else None,
        "ratio_table": ratio_table(fit.ratio()),
        "surface_table": surface_table(fit.surfaces),
        "surfaces": [(surface, parameter_table(surface)) for surface in fit.surfaces],
        "noise_table": noise_table(fit.components),
        "outlier_table": outlier_table(fit.outliers),
        "warnings": fit.warnings,
        "labels": [pair for pair in sorted({**fit.settings, **fit.labels}.items()) if pair[1] != ""],
    }


def _doubt(found: Answer) -> str:
    """Return what the draws that disagree about whether there is an answer say, if any."""
    share = found.equivalence.share_reachable
    if share in (0.0, 1.0):
        return ""
    if isinstance(found.equivalence.n_syn_plus, Interval):
        return f"In {percent(1 - share, 0)} of bootstrap draws no number of synthetic images is enough."
    return f"In {percent(share, 0)} of bootstrap draws some number of synthetic images is enough."


def _facts(fit: Fit) -> list[tuple[str, str]]:
    data = fit.data
    facts = [(words, fit.labels[name]) for name, words in _FACTS.items() if fit.labels.get(name)]
    if generator(fit.labels):
        facts.append(("Synthetic images", generator(fit.labels)))
    cells = len(data[["n_base", "n_real_plus", "n_syn_plus"]].drop_duplicates())
    facts.append(("Trials", f"{number(len(data))} in {number(cells)} cells"))
    for column, words in (("training_seed", "Training seeds"), ("subset_seed", "Subset seeds")):
        if data[column].notna().any():
            facts.append((words, number(data[column].nunique())))
    bases = [number(base) for base in np.unique(data["n_base"])]
    facts.append(
        ("Base sizes", ", ".join(bases) if len(bases) <= 6 else f"{len(bases)}, {bases[0]} to {bases[-1]}")
    )
    if data["total"].notna().any():
        facts.append(("Test images", number(data["total"].max())))
    facts.append(("Accuracies", f"{percent(data['accuracy'].min())} to {percent(data['accuracy'].max())}"))
    return facts


def _formula(formula: Formula) -> dict[str, Any]:
    """Return the papers' formula as the template shows it; its MathML is made of numbers alone."""
    domain = formula.domain
    spans = [
        f"{words} {number(low)} to {number(high)}" if words != "r_real" else f"r_real {low:.2g} to {high:.2g}"
        for words, (low, high) in domain.items()
    ]
    return {
        "mathml": Markup(formula.mathml),  # noqa: S704
        "latex": formula.latex,
        "text": formula.text,
        "table": identified_table(formula),
        "error": percent(np.expm1(formula.rms_log_error), 0),
        "exact": formula.rms_log_error < 1e-6,
        "domain": ", ".join(spans),
        "straight": _straight(formula),
    }


def _straight(formula: Formula) -> str:
    """Return the straight line that the formula stands for where ln(h)/k is at its least; else ""."""
    printed = formula.printed
    if formula.log_h_per_r_real.estimate > 1.001 * LEAST_LOG_H:
        return ""
    middle = sum(formula.domain["r_real"]) / 2
    slope = formula.c.estimate * np.expm1(formula.log_h_per_r_real.estimate * middle) / middle
    return f"n_syn_plus ≃ {slope:.3g} · {printed['g']:.3g}^(n_base/{printed['tau']:.6g}) · n_real_plus"


def _figures(fit: Fit, anchor: str) -> list[dict[str, Any]]:
    """Draw every figure that there is; one that cannot be drawn of this fit says why."""
    drawn: list[dict[str, Any]] = []
    for name, plugin in sorted(plugins.working("figures").items()):
        identifier = f"{anchor}-{name.replace('_', '-')}"
        try:
            figure = plugin.load()(fit)
        except InputError as error:
            drawn.append(
                {"id": identifier, "title": name.replace("_", " ").capitalize(), "missing": error.what}
            )
            continue
        drawn.append(
            {
                "id": identifier,
                "title": figure.title,
                "caption": figure.caption,
                "svg": Markup(figure.inline(identifier)),  # noqa: S704 - matplotlib escapes what it writes
                "table": figure_table(figure),
                "missing": "",
            }
        )
    return drawn
