"""A fit: surfaces fitted to one arm's rows, their weights and draws; it predicts accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mousterian.fitting.columns import COUNTS
from mousterian.fitting.interval import Interval
from mousterian.fitting.measured_range import MeasuredRange, refuse_impossible
from mousterian.fitting.model_average import ModelAverage
from mousterian.fitting.surface import Points


@dataclass(frozen=True, eq=False)
class Fit:
    """Surfaces fitted to one arm's table, weighted, with draws for intervals.

    Attributes:
        name: of the fit.
        labels: what describes the arm (dataset, generator, trained_on, model, strategy, ...).
        data: the rows used, one a trial: n_base, n_real_plus, n_syn_plus, accuracy (fraction), training_seed,
            subset_seed, total, weight, fitted, residual (fractions), outlier, z, reason.
        surfaces: the surfaces, by falling weight.
        components: standard deviations of one trial's accuracy (fractions): test_set, seed, subset, trial.
        warnings: caveats for whoever reads an answer, as sentences.
        settings: bootstrap, seed and surface as given.
        averaged: the surfaces with their parameters and draws.
        conditional: what the answers are conditional on, where the rows hold too few subsets or generators:
            "conditional on one subset and one generator"; "" where answers are about their population.
        leaks: what leak checks found of the rows' data sets and pools, as sentences; every answer has them.
        test_set_share: share of the variance of differences between mixtures of one base size (which answers
            rest on) that the choice of test images causes; NaN where predictions of the trials are unknown.
    """

    name: str
    labels: Mapping[str, str]
    data: pd.DataFrame
    surfaces: tuple[SurfaceFit, ...]
    components: Mapping[str, float]
    warnings: tuple[str, ...]
    settings: Mapping[str, Any]
    averaged: ModelAverage
    conditional: str
    leaks: tuple[str, ...] = ()
    test_set_share: float = math.nan

    @property
    def surface(self) -> str:
        """Name of the heaviest surface."""
        return self.surfaces[0].name

    @property
    def cells(self) -> int:
        """Number of distinct mixtures measured."""
        return len(self.data[list(COUNTS)].drop_duplicates())

    @cached_property
    def measured(self) -> MeasuredRange:
        """The range of the data, outliers left out."""
        return MeasuredRange.of(self.data)

    @property
    def identified(self) -> bool:
        """Whether every parameter of the heaviest surface is identifiable."""
        return not self.surfaces[0].unidentified

    @property
    def outliers(self) -> list[tuple[dict[str, Any], float, str]]:
        """The outliers: the row, its robust z-score, and the reason."""
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


@dataclass(frozen=True)
class SurfaceFit:
    """One surface as fitted.

    Attributes:
        name: of the surface.
        weight: its share in the average.
        aicc: corrected Akaike information criterion; inf where there are too few rows.
        cv_rmse: leave-one-cell-out root mean square error, a fraction.
        rmse: root mean square error at the fitted rows, a fraction.
        parameters: each with its interval.
        latex: the formula.
        unidentified: parameters that the rows do not identify (tested for surfaces with weight).
        extrapolation_error: back-test: root mean square errors at the largest real sizes and at the largest
            synthetic amounts, each predicted from the smaller ones, fractions; NaN where there are none.
    """

    name: str
    weight: float
    aicc: float
    cv_rmse: float
    rmse: float
    parameters: dict[str, Interval]
    latex: str
    unidentified: tuple[str, ...]
    extrapolation_error: tuple[float, float]
