"""The Python interface: a table of accuracies -> how many synthetic images a real one is worth.

fit = mousterian.fit("results.csv")
fit.equivalence(n_base=5000, n_real_plus=2500).n_syn_plus      # Interval(estimate, low, high)
fit.formula().text                                             # the papers' Eq. 1, with these numbers
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from mousterian.answers import comparison, equivalence, fit_file
from mousterian.answers import formula as formulas
from mousterian.answers import improvement_ratio as ratios
from mousterian.answers.equivalence import Equivalence
from mousterian.answers.formula import Formula
from mousterian.errors import InputError
from mousterian.fitting import estimation, result
from mousterian.fitting.arm_fits import fit_each
from mousterian.fitting.arms import frame_arms, read_arms
from mousterian.fitting.interval import Interval


@dataclass(frozen=True, eq=False)
class Fit(result.Fit):
    """A fit with its answers as methods: equivalences, the formula, improvement ratios.

    The attributes are those of the fit (`mousterian.fitting`).
    """

    def equivalence(
        self, *, n_base: float, n_real_plus: float | None = None, n_syn_plus: float | None = None
    ) -> Equivalence:
        """Return how many synthetic images are worth `n_real_plus` real ones, or vice versa.

        Raises:
            InputError: a count is negative, or not exactly one of the two is given.
        """
        return equivalence.equivalence(self, n_base=n_base, n_real_plus=n_real_plus, n_syn_plus=n_syn_plus)

    def equivalences(self, *, n_base: float, n_real_plus: Sequence[float]) -> list[Equivalence]:
        """Return the equivalence of each number of real images, in little more time than for one."""
        return equivalence.equivalences(self, n_base=n_base, n_real_plus=n_real_plus)

    def marginal_rate(self, *, n_base: float, n_real_plus: float = 0, n_syn_plus: float = 0) -> Interval:
        """Return how many synthetic images one more real image is worth at this mixture; inf: no number."""
        return equivalence.marginal_rate(self, n_base=n_base, n_real_plus=n_real_plus, n_syn_plus=n_syn_plus)

    def formula(self) -> Formula | None:
        """Return the papers' formula closest to this fit; None where synthetic images gain too little."""
        return formulas.nearest_formula(self)

    def ratio(self) -> pd.DataFrame:
        """Return the improvement ratio (Eq. 3): columns n_base, r, ratio, low, high, source, basis.

        Source "trials": where synthetic and real gains were measured at the same r, with Fieller's interval
        from differences paired by seed. Source "surface": at every measured r. Basis: measured, interpolated
        or extrapolated.
        """
        return ratios.improvement_ratio(self)

    def to_json(self) -> dict[str, Any]:
        """Return the fit as JSON; `Fit.from_json` restores it with the same answers."""
        return fit_file.to_json(self)

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> Fit:
        """Return the fit that `to_json` wrote.

        Raises:
            InputError: it is not a fit, or was saved by a newer version.
        """
        return _public(fit_file.from_json(found))

    def save(self, path: Path | str) -> None:
        """Write the fit to a JSON file, atomically."""
        fit_file.write(self, Path(path))

    @staticmethod
    def load(path: Path | str) -> Fit:
        """Read a fit from a JSON file.

        Raises:
            InputError: there is no such file, or it is not a fit.
        """
        return _public(fit_file.read(Path(path)))


def _public(made: result.Fit) -> Fit:
    return Fit(**{field.name: getattr(made, field.name) for field in fields(made)})


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
        bootstrap: number of bootstrap draws behind the intervals.
        seed: random seed of the draws.
        name: the fit's name; a file's name by default.
        labels: what describes the arm (dataset, generator, trained_on, model, ...).

    Raises:
        InputError: the table cannot be used, or has rows of several arms (see `fit_arms`); the message names
            the rows or columns.
    """
    return _public(
        estimation.fit(table, surface=surface, bootstrap=bootstrap, seed=seed, name=name, labels=labels)
    )


def fit_arms(
    table: pd.DataFrame | Path | str, *, surface: str = "auto", bootstrap: int = 1000, seed: int = 0
) -> dict[str, Fit]:
    """Fit each arm of a table by itself: another generator, model, dataset or strategy is another arm.

    Rows without synthetic images belong to every arm of the same data, classifier and training.

    Args:
        table: as for `fit`, or a folder of a store.
        surface: as for `fit`.
        bootstrap: as for `fit`.
        seed: as for `fit`.

    Returns:
        The fits by name of the arm; a Python warning says why an arm cannot be fitted.

    Raises:
        InputError: the table cannot be used, or no arm can be fitted.
    """
    arms = frame_arms(table) if isinstance(table, pd.DataFrame) else read_arms([str(table)], Path(), ())[0]
    refused: list[InputError] = []
    made = fit_each(arms, refused, surface=surface, bootstrap=bootstrap, seed=seed)
    found = {each.name: _public(each) for each in made}
    for each in refused:
        warnings.warn(str(each), stacklevel=2)
    return found


def compare(fits: Mapping[str, Fit] | Sequence[Fit]) -> pd.DataFrame:
    """Compare every two arms at each mixture that both have measured.

    Args:
        fits: of the arms, as `fit_arms` gives them.

    Returns:
        One row a pair and mixture: first, second, n_base, n_real_plus, n_syn_plus; difference (in accuracy, a
        fraction), difference_low, difference_high, trials ("paired" by seed or "unpaired"), freedom, p and
        p_holm (corrected for all rows); ratio (of the real images that the synthetic ones are worth),
        ratio_low, ratio_high and draws ("paired" or "unpaired").

    Raises:
        InputError: fewer than two arms, two of one name, or no mixture that two of them share.
    """
    return comparison.compare(fits)
