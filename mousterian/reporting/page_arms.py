"""A report's arms: the templates' context for one fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from mousterian.answers.answerable import refusal
from mousterian.answers.formula import LEAST_LOG_H, Formula, nearest_formula
from mousterian.answers.improvement_ratio import improvement_ratio
from mousterian.answers.measured import has_synthetic, typical_question
from mousterian.answers.numbers import number, percent
from mousterian.answers.wording import TRUST, Answer, answer, generator, limit, setting, with_caveat
from mousterian.errors import InputError
from mousterian.fitting.interval import Interval
from mousterian.plugins import registry
from mousterian.reporting.provenance import DEVICE_TIME, stored_facts
from mousterian.reporting.tables import (
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

if TYPE_CHECKING:
    from mousterian.answers.equivalence import Equivalence
    from mousterian.fitting.result import Fit
    from mousterian.plugins.spec import Plugin
    from mousterian.reporting.drawing import Figure


# Labels shown, in order, and their headings.
_FACTS = {
    "dataset": "Dataset",
    "model": "Classifier",
    "strategy": "Strategy",
    "recipe": "Training recipe",
    "evaluation": "Evaluation",
    "source": "Source",
}


def arm(fit: Fit, index: int, *, store: str, against: str) -> dict[str, Any]:
    """Return the template's context for one fit, arm number `index` of the report.

    `store` and `against` are those of the report, and options of figures that have options of these names.
    """
    anchor = f"arm-{index}"
    asked = typical_question(fit)
    first, refused = answer(fit, *asked), refusal(fit)
    answers = [] if refused else [answer(fit, *point) for point in points_of(fit)]
    formula, solved = nearest_formula(fit), first.equivalence
    return {
        "anchor": anchor,
        "name": fit.name or generator(fit.labels) or f"Fit {index}",
        "asks": not refused and fit.averaged.noise_known,  # no calculator without intervals
        "setting": setting(fit.labels),
        "generator": generator(fit.labels),
        "answer": first,
        "limit": _limit(fit, asked[0], first) if has_synthetic(fit.data) else "",
        "measured": _measured(fit, store),
        "trust": solved.trust if solved else "",
        "conditional": fit.conditional if solved else "",
        "verdict": _verdict(solved) if solved else "",
        "told": not refused,
        "refused": refused.what if refused else "",
        "remedy": refused.hint if refused else "",
        "facts": [*_facts(fit), *stored_facts(fit, store)],
        "formula": _formula(formula) if formula else None,
        **_figures(fit, anchor, {"store": store, "against": against}),
        "equivalences": answers,
        "equivalence_table": equivalence_table(answers) if answers else None,
        "ratio_table": ratio_table(improvement_ratio(fit)),
        "surface_table": surface_table(fit.surfaces),
        "surfaces": [(surface, parameter_table(surface)) for surface in fit.surfaces],
        "noise_table": noise_table(fit.components),
        "outlier_table": outlier_table(fit.outliers),
        "warnings": (*fit.leaks, *fit.warnings),
        "labels": [pair for pair in sorted({**fit.settings, **fit.labels}.items()) if pair[1] != ""],
    }


def _limit(fit: Fit, n_base: float, found: Answer) -> str:
    """Return where synthetic images stop helping at an answer's base size; "" if the answer says so."""
    said = limit(fit, n_base)
    return "" if said in found.tail else said


def _measured(fit: Fit, store: str) -> str:
    """Return a one-line summary of the measurements."""
    data = fit.data
    parts = [fit.labels[name] for name in ("dataset", "model") if fit.labels.get(name)]
    parts.append(f"{number(len(data))} trials in {number(fit.cells)} cells")
    seeds = data[["training_seed", "subset_seed"]].drop_duplicates().dropna(how="all")
    parts += [f"{len(seeds)} seeds"] if len(seeds) > 1 else []
    parts += [text for words, text in stored_facts(fit, store) if words == DEVICE_TIME]
    return "; ".join(parts)


def _verdict(found: Equivalence) -> str:
    """Return how far an answer holds, as sentences."""
    return f"{with_caveat(TRUST[found.trust], found.conditional)} {_doubt(found)}".rstrip()


def _doubt(found: Equivalence) -> str:
    """Return the share of draws that disagree on whether there is an answer; "" if none does."""
    share = found.share_reachable
    if share in (0.0, 1.0):
        return ""
    if isinstance(found.n_syn_plus, Interval):
        return f"In {percent(1 - share, 0)} of bootstrap draws no number of synthetic images is enough."
    return f"In {percent(share, 0)} of bootstrap draws some number of synthetic images is enough."


def _facts(fit: Fit) -> list[tuple[str, str]]:
    data = fit.data
    facts = [(words, fit.labels[name]) for name, words in _FACTS.items() if fit.labels.get(name)]
    if generator(fit.labels):
        facts.append(("Synthetic images", generator(fit.labels)))
    facts.append(("Trials", f"{number(len(data))} in {number(fit.cells)} cells"))
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
    """Return the template's context for the papers' formula; only numbers enter its MathML."""
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
    """Return the linear limit of the formula if ln(h)/k is at its lower bound; else ""."""
    printed = formula.printed
    if formula.log_h_per_r_real.estimate > 1.001 * LEAST_LOG_H:
        return ""
    middle = sum(formula.domain["r_real"]) / 2
    slope = formula.c.estimate * np.expm1(formula.log_h_per_r_real.estimate * middle) / middle
    return f"n_syn_plus ≃ {slope:.3g} · {printed['g']:.3g}^(n_base/{printed['tau']:.6g}) · n_real_plus"


def _figures(fit: Fit, anchor: str, sources: Mapping[str, str]) -> dict[str, Any]:
    """Draw all figures; of those that cannot be drawn for this fit, return the reasons."""
    drawn: list[dict[str, Any]] = []
    missing: list[tuple[str, str]] = []
    for name, plugin in in_order(registry.working("figures")):
        options = {option: value for option, value in sources.items() if value and option in plugin.options}
        try:
            figure = plugin.load()(fit, **options)
        except InputError as error:
            missing.append((name.replace("_", " ").capitalize(), error.what))
            continue
        drawn.append(shown(figure, f"{anchor}-{name.replace('_', '-')}"))
    return {"figures": drawn, "missing": missing}


def in_order(found: Mapping[str, Plugin]) -> list[tuple[str, Plugin]]:
    """Return figures in order of presentation: measurements, conclusions, uncertainty."""
    return sorted(found.items(), key=lambda item: (item[1].constants.get("PLACE", math.inf), item[0]))


def shown(figure: Figure, identifier: str) -> dict[str, Any]:
    """Return the template's context for a figure: drawing, caption, table, and a CSV as a data URL."""
    return {
        "id": identifier,
        "title": figure.title,
        "caption": figure.caption,
        "svg": Markup(figure.inline(identifier)),  # noqa: S704 - matplotlib escapes what it writes
        "table": figure_table(figure),
        "csv": f"data:text/csv;charset=utf-8,{quote(figure.data.to_csv(index=False, float_format='%.7g'))}",
    }
