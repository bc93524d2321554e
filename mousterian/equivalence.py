"""A table of accuracies -> how many synthetic images a real one is worth, with honest intervals.

fit = mousterian.fit("results.csv")
fit.equivalence(n_base=5000, n_real_plus=2500).n_syn_plus      # Interval(estimate, low, high)
fit.formula().text                                             # the papers' Eq. 1, with these numbers
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mousterian import published
from mousterian.errors import InputError
from mousterian.fitting.analysis import SurfaceFit, assemble
from mousterian.fitting.averaged import Averaged
from mousterian.fitting.interval import Interval, rounded
from mousterian.fitting.measured import Measured, Trust, refuse_impossible
from mousterian.fitting.surface import Points
from mousterian.fitting.table import COUNTS, check, load

_PUBLISHED = "published:"


@dataclass(frozen=True)
class Equivalence:
    """The synthetic images that do what real ones do (or the other way round) at one base size.

    Attributes:
        n_base: size of the base set.
        n_real_plus: real images added: as asked, or the answer.
        n_syn_plus: synthetic images added: as asked, or the answer; None where no amount is enough.
        reachable: whether there is an answer.
        accuracy: accuracy that both give.
        saturation_accuracy: best accuracy that synthetic images alone bring this base to, within reach.
        trust: whether the answer lies inside the measured range, near it, or beyond.
        share_reachable: share of bootstrap draws in which there is an answer.
    """

    n_base: float
    n_real_plus: float | Interval | None
    n_syn_plus: float | Interval | None
    reachable: bool
    accuracy: Interval
    saturation_accuracy: float
    trust: Trust
    share_reachable: float

    def to_json(self) -> dict[str, object]:
        """Return the answer as `mousterian equivalence --json` prints it."""
        answer = {
            name: value.to_json() if isinstance(value, Interval) else value
            for name, value in (("n_real_plus", self.n_real_plus), ("n_syn_plus", self.n_syn_plus))
        }
        return {
            "n_base": self.n_base,
            **answer,
            "reachable": self.reachable,
            "accuracy": self.accuracy.to_json(),
            "saturation_accuracy": rounded(self.saturation_accuracy),
            "trust": self.trust,
            "share_reachable": rounded(self.share_reachable),
        }


@dataclass(frozen=True, eq=False)
class Fit:
    """Surfaces fitted to one arm's table, weighted, with draws for intervals.

    Attributes:
        name: of the fit.
        labels: what describes the arm (dataset, generator, trained_on, model, strategy, ...).
        data: the rows used, one a trial: n_base, n_real_plus, n_syn_plus, accuracy (fraction), training_seed,
            subset_seed, total, weight, fitted, residual (fractions), outlier, z, reason.
        surfaces: the surfaces, heaviest first.
        components: standard deviations of one trial's accuracy (fractions): test_set, seed, subset, trial.
        warnings: what the reader of an answer should know, as sentences.
        settings: bootstrap, seed and surface as given.
        averaged: the surfaces with their parameters and draws.
    """

    name: str
    labels: Mapping[str, str]
    data: pd.DataFrame
    surfaces: tuple[SurfaceFit, ...]
    components: Mapping[str, float]
    warnings: tuple[str, ...]
    settings: Mapping[str, Any]
    averaged: Averaged

    @property
    def surface(self) -> str:
        """Name of the heaviest surface."""
        return self.surfaces[0].name

    @cached_property
    def measured(self) -> Measured:
        """The range of the data, outliers left out."""
        return Measured.of(self.data)

    @property
    def identified(self) -> bool:
        """Whether the table tells every parameter of the heaviest surface."""
        return not self.surfaces[0].unidentified

    @property
    def outliers(self) -> list[tuple[dict[str, Any], float, str]]:
        """The rows set aside: the row, how many usual residuals off it is, and the reason."""
        rows = self.data[self.data["outlier"]].to_dict("records")
        shown = (*COUNTS, "accuracy")
        return [({name: row[name] for name in shown}, row["z"], row["reason"]) for row in rows]

    def predict(self, n_base: Any, n_real_plus: Any = 0, n_syn_plus: Any = 0) -> Interval:
        """Return the mean accuracy of trials (a fraction), with interval; floats or arrays that broadcast."""
        refuse_impossible(n_base=n_base, n_real_plus=n_real_plus, n_syn_plus=n_syn_plus)
        points = Points.of(n_base, n_real_plus, n_syn_plus)
        shape = points.n_base.shape
        found = self.averaged.predict(Points(*(np.ravel(count) for count in points.counts)))
        parts = [np.reshape(part, shape) for part in (found.estimate, found.low, found.high)]
        return Interval(*(float(part) if not shape else part for part in parts))


def equivalence(
    fit: Fit, *, n_base: float, n_real_plus: float | None = None, n_syn_plus: float | None = None
) -> Equivalence:
    """Return the synthetic images that do what `n_real_plus` does, or the real ones for `n_syn_plus`.

    Raises:
        InputError: a count is negative, or not exactly one of the two is given.
    """
    given = n_real_plus if n_real_plus is not None else n_syn_plus
    if given is None or (n_real_plus is not None and n_syn_plus is not None):
        raise InputError("an equivalence needs n_real_plus or n_syn_plus, one of the two")
    refuse_impossible(n_base=n_base, **{"n_real_plus" if n_syn_plus is None else "n_syn_plus": given})
    return _solved(fit, float(n_base), [float(given)], forward=n_real_plus is not None)[0]


def equivalences(fit: Fit, *, n_base: float, n_real_plus: Sequence[float]) -> list[Equivalence]:
    """Return the equivalence of each number of real images: many at once take little more than one."""
    return _solved(fit, float(n_base), [float(count) for count in n_real_plus], forward=True)


def _solved(fit: Fit, n_base: float, given: Sequence[float], *, forward: bool) -> list[Equivalence]:
    counts = np.array(given)
    bases = np.full(len(counts), n_base)
    estimate, draws = (fit.averaged.synthetic_for if forward else fit.averaged.real_for)(bases, counts)
    accuracy = fit.predict(bases, counts, 0) if forward else fit.predict(bases, 0, counts)
    saturation = fit.averaged.saturation(n_base)
    found = []
    for i, count in enumerate(given):
        share = float(np.isfinite(draws[:, i]).mean())
        reachable = bool(np.isfinite(estimate[i])) and share >= 0.5
        answer = Interval.of_draws(estimate[i], draws[:, i]) if reachable else None
        real = count if forward else (answer.estimate if answer else math.inf)
        syn = (answer.estimate if answer else 0.0) if forward else count
        trust = fit.measured.trust(n_base, real, syn)
        found.append(
            Equivalence(
                n_base=n_base,
                n_real_plus=count if forward else answer,
                n_syn_plus=answer if forward else count,
                reachable=reachable,
                accuracy=Interval(*(float(e[i]) for e in (accuracy.estimate, accuracy.low, accuracy.high))),
                saturation_accuracy=saturation,
                # That no amount is enough says something about amounts beyond the measured ones.
                trust="near" if not reachable and trust == "inside" else trust,
                share_reachable=share,
            )
        )
    return found


def marginal_rate(fit: Fit, *, n_base: float, n_real_plus: float = 0, n_syn_plus: float = 0) -> Interval:
    """Return the synthetic images worth one more real image at this mixture; inf where none are."""
    refuse_impossible(n_base=n_base, n_real_plus=n_real_plus, n_syn_plus=n_syn_plus)
    base, real, syn = float(n_base), float(n_real_plus), float(n_syn_plus)
    estimate, draws = fit.averaged.reaching(
        Points.of([base], real + 1.0, syn),
        lambda count: Points.of(base, real, syn + count),
        fit.averaged.most_synthetic,
    )
    return Interval.of_draws(estimate[0], draws[:, 0])


def fit(
    table: pd.DataFrame | Path | str,
    *,
    surface: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    name: str = "",
    labels: Mapping[str, str] | None = None,
) -> Fit:
    """Fit accuracy surfaces to a table of trials.

    Args:
        table: columns n_base, n_real_plus, n_syn_plus and accuracy (or top1; fraction or percent), and where
            known total (test images), weight, training_seed (or seed), subset_seed; or a file of one; or
            "published:NAME" for a table of a paper.
        surface: a surface's name, or "auto" for all of them, weighted.
        bootstrap: draws that intervals are made of.
        seed: of those draws.
        name: of the fit; a file's name by default.
        labels: what describes the arm (dataset, generator, trained_on, model, ...).

    Raises:
        InputError: the table cannot be used; the message names the rows.
    """
    if bootstrap < 20 or seed < 0:
        raise InputError(f"bootstrap is {bootstrap} and seed {seed}: at least 20 draws, and a seed from 0 on")
    given = ""
    if isinstance(table, str) and table.startswith(_PUBLISHED):
        found = published.load(table.removeprefix(_PUBLISHED))
        table, given, labels = found.rows, found.name, labels or found.labels
    elif not isinstance(table, pd.DataFrame):
        given = Path(table).stem
    checked = check(load(table))
    return Fit(
        name=name or given,
        labels=dict(labels or {}),
        settings={"surface": surface, "bootstrap": bootstrap, "seed": seed},
        **assemble(checked, surface, bootstrap, seed),
    )
