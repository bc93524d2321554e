"""What the luck of subsets, that of generators, noise and form add to the variance of the equivalences."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri, stdtrit

from mousterian.fitting.population import Levels
from mousterian.fitting.result import Fit
from mousterian.fitting.surface import Array, Points

# Slopes of accuracy in ln(n_syn_plus) below this make an equivalence as good as unreachable.
_LEAST_SLOPE = 1e-6


@dataclass(frozen=True)
class Variance:
    """Variance of ln(n_syn_plus), mean over equivalences, of a fit about the population.

    Attributes:
        subset: by what the trials of a subset have in common; more trials of the same subsets leave it.
        generator: the same of generators that serve all subsets; 0 where each subset has its own.
        noise: by what trials do not have in common.
        form: between the surfaces of the average.
        subsets: number of subsets.
        generators: number of generators.
    """

    subset: float
    generator: float
    noise: float
    form: float
    subsets: int
    generators: int

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval of ln(n_syn_plus), root mean square."""
        of_subsets = _quantile(self.subsets) * (self.subset + self.noise)
        of_generators = _quantile(self.generators) * self.generator if self.generator else 0.0
        return float(np.sqrt(of_subsets + of_generators + float(ndtri(0.975)) ** 2 * self.form))

    def with_subsets(self, more: int, trials: float) -> Variance:
        """Return what `more` new subsets leave, with `trials` times as many trials in all."""
        after = self.subsets + more
        subset = self.subset * self.subsets / after
        return replace(self, subset=subset, noise=self.noise / trials, subsets=after)

    def with_generators(self, more: int, trials: float) -> Variance:
        """Return what `more` new generators leave, with `trials` times as many trials in all."""
        after = self.generators + more
        generator = self.generator * self.generators / after
        return replace(self, generator=generator, noise=self.noise / trials, generators=after)

    def with_trials(self, left: float) -> Variance:
        """Return what new trials of the same subsets and generators leave, `left` of noise and form."""
        return replace(self, noise=self.noise * left, form=self.form * left)


def _quantile(levels: int) -> float:
    """Return the square of Student's 97.5 % quantile for a mean over levels."""
    return float(stdtrit(max(levels - 1, 1), 0.975) ** 2)


def variance(fit: Fit, levels: Levels, asked: Array, wanted: Array) -> Variance:
    """Return the variance of the equivalences, and its parts.

    Args:
        fit: about the population of subsets.
        levels: of its rows, outliers left out.
        asked: (n_base, n_real_plus) of each equivalence, (Q, 2).
        wanted: draws of ln(n_syn_plus), (D, Q).
    """
    effects = _effects(fit, asked)
    noise = float((effects**2).sum(axis=1).mean())
    subset = max(_over(effects, levels.subset) - noise, 0.0)
    generator = 0.0
    if levels.over_generators:
        synthetic = levels.generator >= 0
        part = effects[:, synthetic]
        alone = float((part**2).sum(axis=1).mean())
        generator = max(_over(part, levels.generator[synthetic]) - alone, 0.0)
    form = float(centres(fit, wanted).var(axis=0).mean())
    return Variance(subset, generator, noise, form, levels.subsets, levels.generators)


def centres(fit: Fit, drawn: Array) -> Array:
    """Return the mean of each draw's surface in place of the draw, (D, ...)."""
    ends = np.cumsum([len(member.draws) for member in fit.averaged.members])[:-1]
    return np.concatenate(
        [np.broadcast_to(part.mean(axis=0), part.shape) for part in np.split(drawn, ends) if len(part)]
    )


def _over(effects: Array, level: Array) -> float:
    """Return the variance of a mean over levels, from the effects of rows, (Q, R), on each equivalence."""
    sums = np.stack([effects[:, level == each].sum(axis=1) for each in np.unique(level)], axis=1)
    count = len(np.unique(level))
    return float((sums**2).sum(axis=1).mean()) * count / (count - 1)


def _effects(fit: Fit, asked: Array) -> Array:
    """Return what each row's residual does to each ln(n_syn_plus), (Q, R), by the heaviest surface.

    To first order: a least-squares fit's parameters are linear in the accuracies, and so is the solution of
    A(n, 0, s) = A(n, r, 0) in the parameters.
    """
    rows = fit.data[~fit.data["outlier"]]
    member = fit.averaged.members[0]
    surface, theta = member.surface, member.theta[None]
    points = Points.of(
        *(rows[name].to_numpy(dtype=float) for name in ("n_base", "n_real_plus", "n_syn_plus"))
    )
    root = np.sqrt(rows["weight"].to_numpy(dtype=float))
    slopes = surface.gradient(points, theta)[0] * root
    scale = np.maximum(np.linalg.norm(slopes, axis=1), 1e-300)
    moved = np.linalg.pinv((slopes / scale[:, None]).T, rcond=1e-8) * root / scale[:, None]
    n_base, n_real_plus = asked.T
    found, _ = replace(fit.averaged, members=(member,), extrapolation=None).synthetic_for(n_base, n_real_plus)
    syn = np.where(np.isfinite(found) & (found > 0), found, np.nan)
    reached = np.isfinite(syn)
    n_base, n_real_plus, syn = n_base[reached], n_real_plus[reached], syn[reached]
    both = [Points.of(n_base, n_real_plus), Points.of(n_base, 0.0, syn)]
    of_real, of_synthetic = (surface.gradient(each, theta)[0] for each in both)
    more, less = (surface.accuracy(Points.of(n_base, 0.0, syn * by), theta)[0] for by in (1.01, 1 / 1.01))
    rising = (more - less) / (2 * np.log(1.01))
    steep = rising > _LEAST_SLOPE
    influence = ((of_real - of_synthetic).T @ moved)[steep] / rising[steep, None]
    if not len(influence):
        return np.zeros((1, len(rows)))
    freedom = max(1.0 - len(scale) / len(rows), 0.1)
    return np.asarray(influence * rows["residual"].to_numpy(dtype=float) / np.sqrt(freedom))
