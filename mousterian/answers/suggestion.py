"""The most informative trials for a fit: new subsets and generators, or new trials of the present ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mousterian.answers.greedy_choice import Choice, choose
from mousterian.answers.level_variance import Variance, centres, variance
from mousterian.answers.measured import thinned, with_synthetic
from mousterian.answers.suggested_design import Design, core, measured
from mousterian.errors import InputError
from mousterian.fitting.columns import COUNTS
from mousterian.fitting.population import FEWEST_LEVELS, Levels
from mousterian.fitting.result import Fit
from mousterian.fitting.surface import Array, Points
from mousterian.fitting.table import TRAINED_ON_SUBSET

# Values of r_real whose equivalences a suggestion is to narrow.
_TARGET_RATIOS = (0.25, 0.5, 1.0)
_NORMAL = 1.96


@dataclass(frozen=True)
class _Aim:
    """What a suggestion is to narrow.

    Attributes:
        fit: the fit.
        rows: its rows without outliers.
        levels: their subsets and generators.
        bases: with synthetic images, some of many, (B,).
        asked: (n_base, n_real_plus) of each equivalence, (Q, 2); the last of a base doubles it.
        equivalents: their n_syn_plus, (Q,); inf where unreachable.
        wanted: draws of ln(n_syn_plus), (D, Q).
    """

    fit: Fit
    rows: pd.DataFrame
    levels: Levels
    bases: Array
    asked: Array
    equivalents: Array
    wanted: Array

    @staticmethod
    def of(fit: Fit) -> _Aim:
        rows = fit.data[~fit.data["outlier"]]
        if "generator_seed" not in rows:  # fits of earlier versions
            rows = rows.assign(generator_seed=np.nan)
        bases = thinned(with_synthetic(rows)["n_base"])
        if not len(bases):
            raise InputError(
                "no synthetic data with a base set in this fit, so there is no equivalence to narrow"
            )
        asked = np.array([(base, ratio * base) for base in bases for ratio in _TARGET_RATIOS])
        found, draws = fit.averaged.synthetic_for(asked[:, 0], asked[:, 1])
        wanted = np.log(np.clip(draws, 1.0, fit.averaged.most_synthetic))
        # A fit without labels knew more of its generators than is left in its rows, if they disagree.
        crossed = Levels.of(fit.data, nested=False).conditional == fit.conditional
        nested = fit.labels.get("trained_on") in TRAINED_ON_SUBSET or not crossed
        levels = Levels.of(rows, nested=nested)
        return _Aim(fit, rows, levels, bases, asked, found, wanted)

    @property
    def half_width(self) -> float:
        """Of the 95 % interval of ln(n_syn_plus), root mean square, were the draws normal."""
        return _NORMAL * float(np.sqrt(self.wanted.var(axis=0).mean()))


def suggest(fit: Fit, *, trials: int) -> pd.DataFrame:
    """Return the trials that would narrow the fit's equivalences most.

    An answer that is conditional on too few subsets or generators first needs more of these, if the trials
    are enough for it. An answer about the population is narrowed by new subsets or generators, or by other
    trials of the present ones, whichever is expected to narrow it more.

    Among the present ones it is an I-optimal design on the averaged surface: the draws are the prior, and a
    trial's value is the reduction in the variance of the log equivalences given its result. Mixtures are
    chosen greedily, each given those before it; one chosen twice gets two training seeds.

    Args:
        fit: of the arm.
        trials: how many at most, at least 1.

    Returns:
        One row per mixture, most informative first: n_base, n_real_plus, n_syn_plus, trials, and the
        subset_seeds, generator_seeds and training_seeds to run it with (lists). `attrs["reason"]` is a
        sentence; `attrs["half_width"]` and `attrs["half_width_after"]` are half the 95 % interval of
        ln(n_syn_plus) before and after, root mean square over equivalences at the measured bases; NaN after
        where a conditional answer becomes one about the population.

    Raises:
        InputError: too few trials, or the fit has no synthetic data with a base set.
    """
    if trials < 1:
        raise InputError(f"{trials} trials asked for; at least 1")
    aim = _Aim.of(fit)
    present = Design.of(aim.rows)
    least = int(present.cost(_candidates(aim.rows, aim.bases)).max())
    if trials < least:
        raise InputError(
            f"{trials} trials asked for; each mixture is run on all {least} pairs of subset and generator",
            hint=f"ask for {least} or more",
        )
    return _conditional(aim, present, trials) if fit.conditional else _population(aim, present, trials)


def _conditional(aim: _Aim, present: Design, trials: int) -> pd.DataFrame:
    """Return the subsets and generators that an answer about the population lacks, or else other trials."""
    levels = aim.levels
    subsets = max(FEWEST_LEVELS - levels.subsets, 0)
    generators = 0 if levels.nested else max(FEWEST_LEVELS - levels.generators, 0)
    design = Design.of(aim.rows, subsets=subsets, generators=generators)
    first = core(aim.rows, aim.bases, aim.equivalents[len(_TARGET_RATIOS) - 1 :: len(_TARGET_RATIOS)])
    least = int(design.cost(first).sum())
    needs = f"The fit is {aim.fit.conditional}: an interval about the population needs {design.added}"
    if least > trials:
        cells = _candidates(aim.rows, aim.bases)
        found = _greedy(aim, cells, present, trials)
        reason = f"{needs}, {least} trials at least. These {{}} narrow the conditional interval alone."
        return _listed(aim, cells, found, present, reason, _NORMAL * found.spread)
    cells = np.unique(np.vstack([measured(aim.rows, aim.bases), first]), axis=0)
    chosen = [int(np.flatnonzero((cells == each).all(axis=1))[0]) for each in first]
    found = _greedy(aim, cells, design, trials, first=chosen, once=True)
    return _listed(aim, cells, found, design, f"{needs}, which these {{}} trials add.", float("nan"))


def _population(aim: _Aim, present: Design, trials: int) -> pd.DataFrame:
    """Return whole new subsets or generators, or trials of the present ones, whichever narrows more."""
    now = variance(aim.fit, aim.levels, aim.asked, aim.wanted)
    cells, whole = _candidates(aim.rows, aim.bases), measured(aim.rows, aim.bases)
    found = _greedy(aim, cells, present, trials, reducible=now)
    options = [(now.with_trials(found.left), present)]
    for kind in ("subsets", "generators") if aim.levels.over_generators else ("subsets",):
        each = int(Design.of(aim.rows, **{kind: 1}).cost(whole).sum())
        if count := trials // each:
            more = (len(aim.rows) + count * each) / len(aim.rows)
            after = now.with_subsets(count, more) if kind == "subsets" else now.with_generators(count, more)
            options.append((after, Design.of(aim.rows, **{kind: count})))
    after, design = min(options, key=lambda option: option[0].half_width)
    reason = _reason(now, options, design, int(Design.of(aim.rows, subsets=1).cost(whole).sum()))
    before = now.half_width
    if design is present:
        return _listed(aim, cells, found, present, reason, after.half_width, before)
    found = _greedy(aim, whole, design, trials, once=True)
    return _listed(aim, whole, found, design, reason, after.half_width, before)


def _reason(now: Variance, options: list[tuple[Variance, Design]], chosen: Design, each: int) -> str:
    """Return what is proposed, what else would do, and why."""
    widths = [
        f"{design.added or 'trials of the present subsets and generators'} to {np.exp(after.half_width):.2f}"
        for after, design in sorted(options, key=lambda option: option[1] is not chosen)
    ]
    total = now.subset + now.generator + now.noise + now.form
    parts = [
        f"{value / total:.0%} luck of {word}"
        for value, word in ((now.subset, "subsets"), (now.generator, "generators"))
        if value
    ]
    parts.append(f"{(now.noise + now.form) / total:.0%} noise and form")
    unaffordable = "" if len(options) > 1 else f" (one more subset seed takes {each} trials)"
    return (
        f"The 95 % interval spans a factor of {np.exp(now.half_width):.2f} either way, and its variance is"
        f" {', '.join(parts)}. {{}} trials are expected to narrow it with {', with '.join(widths)}"
        f"{unaffordable}."
    )


def _listed(  # noqa: PLR0917 (one call a proposal)
    aim: _Aim,
    cells: Array,
    found: Choice,
    design: Design,
    reason: str,
    after: float,
    before: float | None = None,
) -> pd.DataFrame:
    """Return the chosen mixtures without repeats, in order of first choice, with the seeds to run them."""
    unique, first, counts = np.unique(found.cells, return_index=True, return_counts=True)
    order = np.argsort(first)
    chosen, counts = cells[unique[order]], counts[order]
    listed = pd.DataFrame(chosen.astype(int), columns=list(COUNTS)).assign(
        trials=design.cost(chosen) * counts,
        subset_seeds=pd.Series([design.subset_seeds] * len(chosen)),
        generator_seeds=pd.Series([design.generator_seeds] * len(chosen)),
        training_seeds=pd.Series([design.training_seeds(aim.rows, int(count)) for count in counts]),
    )
    listed.attrs = {
        "reason": reason.format(int(listed["trials"].sum())),
        "half_width": aim.half_width if before is None else before,
        "half_width_after": after,
    }
    return listed


def _candidates(rows: pd.DataFrame, bases: Array) -> Array:
    """Return candidate cells, (C, 3): at and between the measured bases, up to the measured ratios."""
    between = np.round(np.sqrt(bases[1:] * bases[:-1]))
    most_real = float((rows["n_base"] + rows["n_real_plus"]).max())
    most_syn = float((rows["n_syn_plus"] / rows["n_base"].where(rows["n_base"] > 0)).max())
    ratios = [0.25, 0.5, *(2.0**k for k in range(int(np.log2(max(most_syn, 2.0))) + 1))]
    found = set()
    for base in (*bases, *between):
        mixtures = [(0.0, 0.0), *((0.0, round(ratio * base)) for ratio in ratios)]
        mixtures += [(round(r * base), 0.0) for r in (0.25, 0.5, 1, 2) if base * (1 + r) <= most_real]
        found |= {(float(base), float(real), float(syn)) for real, syn in mixtures}
    return np.array(sorted(found))


def _greedy(
    aim: _Aim,
    cells: Array,
    design: Design,
    trials: int,
    *,
    first: Sequence[int] = (),
    once: bool = False,
    reducible: Variance | None = None,
) -> Choice:
    """Choose mixtures (C, 3) by how much their results reduce the variance of the targets.

    Args:
        aim: what to narrow.
        cells: to choose from.
        design: what each costs.
        trials: how many at most.
        first: mixtures to choose before the others.
        once: choose none twice.
        reducible: of an answer about the population, in whose draws luck and noise are one: trials of the
            present levels reduce noise and form alone.
    """
    wanted, results = aim.wanted, aim.fit.averaged.drawn(Points.of(*cells.T))
    if reducible is not None:
        middle, center = centres(aim.fit, wanted), centres(aim.fit, results)
        size = np.sqrt(reducible.noise / max(float((wanted - middle).var(axis=0).mean()), 1e-12))
        wanted, results = middle + size * (wanted - middle), center + size * (results - center)
    names = ("trial", "seed", "subset") if design.subsets else ("trial", "seed")
    cost, one = design.cost(cells), max(sum(aim.fit.components[name] ** 2 for name in names), 1e-8)
    return choose(wanted, results, one / np.maximum(cost, 1), cost, trials, first=first, once=once)
