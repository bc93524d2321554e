"""Fits -> one self-contained HTML file: answers, formula, figures, tables and provenance."""

from __future__ import annotations

import platform
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from mousterian.answers.comparison import compare
from mousterian.errors import InputError
from mousterian.files import write_atomically
from mousterian.reporting.figures import _comparison
from mousterian.reporting.page_arms import arm, shown
from mousterian.reporting.page_data import as_data
from mousterian.reporting.provenance import provenance_of
from mousterian.reporting.tables import Table, comparison, difference_table
from mousterian.store.samples import Sheet

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


QUESTION = "How many synthetic images is a real one worth?"
_SCRIPTS = ("curves.js", "words.js", "asking.js", "pointing.js")
_PACKAGES = ("mousterian", "numpy", "scipy", "pandas", "matplotlib")


@dataclass(frozen=True)
class About:
    """What a report shows besides its fits.

    Attributes:
        title: what the study is called.
        store: folder of the fits' store: adds device time, per-class accuracies and failures.
        against: the published equation to audit; "" for the one derived from the same table, if any.
        provenance: further lines for "Provenance", such as the command that made the page.
        sheets: sample sheets of images, real and synthetic.
    """

    title: str = ""
    store: str = ""
    against: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    sheets: Sequence[Sheet] = ()


def write_page(shown: Mapping[str, Any], path: Path) -> None:
    """Write the output of `contents` as one self-contained HTML page, atomically.

    The same fits, the same `about` and the same store give the same bytes.

    Raises:
        InputError: the file cannot be written.
    """
    write_atomically(path, render(shown).encode())


def contents(fits: Sequence[Fit], about: About = About()) -> dict[str, Any]:
    """Return the template's context.

    Args:
        fits: the arms, in the order in which they are shown.
        about: what else the page shows.

    Raises:
        InputError: there is no fit.
    """
    if not fits:
        raise InputError("a report needs at least one fit", hint="`mousterian fit` makes one")
    arms = [
        arm(fit, index, store=about.store, against=about.against) for index, fit in enumerate(fits, start=1)
    ]
    asked = {arm["anchor"]: fit for arm, fit in zip(arms, fits, strict=True) if arm["asks"]}
    return {
        # Escaped: it cannot close its own element.
        "data": Markup(as_data(asked)) if asked else "",  # noqa: S704
        "question": QUESTION,
        "title": about.title or _title(fits),
        "arms": arms,
        "comparison": _compared(arms, fits),
        "sheets": about.sheets,
        "provenance": {**about.provenance, **provenance_of(about.store), **_versions()},
    }


def render(shown: Mapping[str, Any]) -> str:
    """Return the output of `contents` as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mousterian.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _style(environment), _script(environment)
    return environment.get_template("report.html").render(
        **shown, policy=_policy(style, script), style=style, script=script
    )


def _compared(arms: Sequence[Mapping[str, Any]], fits: Sequence[Fit]) -> dict[str, Any] | None:
    """Return the comparison of the arms that have answers: a table and, where possible, a figure."""
    if len(arms) < 2:
        return None
    differences = _differences({arm["name"]: fit for arm, fit in zip(arms, fits, strict=True)})
    answered = [(arm, fit) for arm, fit in zip(arms, fits, strict=True) if arm["told"]]
    if len(answered) < 2:
        return {"table": None, "figure": None, "differences": differences} if differences else None
    table = comparison([(arm["name"], arm["equivalences"]) for arm, _ in answered])
    try:
        figure = shown(_comparison.draw([(arm["name"], fit) for arm, fit in answered]), "side-by-side")
    except InputError:  # fewer than two arms have synthetic images: the table is all there is to show
        figure = None
    return {"table": table, "figure": figure, "differences": differences}


def _differences(fits: Mapping[str, Fit]) -> Table | None:
    """Return the arms' differences in accuracy and worth; None where no two share a mixture."""
    try:
        return difference_table(compare(fits))
    except InputError:  # each arm has mixtures, or a name, of its own
        return None


def _style(environment: jinja2.Environment) -> Markup:
    """Return the style sheet, which has nothing from the fits in it."""
    source = environment.get_template("report.css").render()
    return Markup(re.sub(r"\s*\n\s*", "\n", source))  # noqa: S704


def _script(environment: jinja2.Environment) -> Markup:
    """Return the page's script, which has nothing from the fits in it."""
    parts = [environment.get_template(name).render() for name in _SCRIPTS]
    lines = (line.strip() for part in parts for line in part.splitlines())
    return Markup("\n".join(line for line in lines if line and not line.startswith("//")))  # noqa: S704


def _policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy: only the page's own style and script, and no requests."""
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
