"""Equivalence of synthetic and real images, in both directions, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mousterian.answers.answerable import require_answer
from mousterian.errors import InputError
from mousterian.fitting.interval import Interval, rounded
from mousterian.fitting.measured_range import Trust, refuse_impossible
from mousterian.fitting.result import Fit
from mousterian.fitting.surface import Points


@dataclass(frozen=True)
class Equivalence:
    """The synthetic images equivalent to some real ones (or the reverse) at one base size.

    Attributes:
        n_base: size of the base set.
        n_real_plus: real images added: as given, or the answer.
        n_syn_plus: synthetic images added: as given, or the answer; None where no amount is enough.
        reachable: whether there is an answer.
        accuracy: accuracy with either.
        saturation_accuracy: best accuracy from synthetic images alone at this base, within the search limit.
        trust: whether the answer lies inside the measured range, near it, or beyond.
        share_reachable: share of bootstrap draws in which there is an answer.
        conditional: "conditional on one subset and one generator", where the rows hold too few; else "".
    """

    n_base: float
    n_real_plus: float | Interval | None
    n_syn_plus: float | Interval | None
    reachable: bool
    accuracy: Interval
    saturation_accuracy: float
    trust: Trust
    share_reachable: float
    conditional: str

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
            "conditional": self.conditional,
        }


def equivalence(
    fit: Fit, *, n_base: float, n_real_plus: float | None = None, n_syn_plus: float | None = None
) -> Equivalence:
    """Return the synthetic images equivalent to `n_real_plus`, or the real ones equivalent to `n_syn_plus`.

    Raises:
        InputError: no equivalence can be had from the fit's rows, a count is negative, or not exactly one of
            the two is given.
    """
    require_answer(fit)
    given = n_real_plus if n_real_plus is not None else n_syn_plus
    if given is None or (n_real_plus is not None and n_syn_plus is not None):
        raise InputError("an equivalence needs either n_real_plus or n_syn_plus")
    refuse_impossible(n_base=n_base, **{"n_real_plus" if n_syn_plus is None else "n_syn_plus": given})
    return _solved(fit, float(n_base), [float(given)], forward=n_real_plus is not None)[0]


def equivalences(
    fit: Fit, *, n_base: float, n_real_plus: Iterable[float] = (), n_syn_plus: Iterable[float] = ()
) -> list[Equivalence]:
    """Return the equivalence of each number of real images, or else of each number of synthetic ones.

    Many take little longer than one.

    Raises:
        InputError: no equivalence can be had from the fit's rows.
    """
    require_answer(fit)
    real, syn = ([float(count) for count in counts] for counts in (n_real_plus, n_syn_plus))
    return _solved(fit, float(n_base), real or syn, forward=bool(real))


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
        answer = fit.averaged.interval(estimate[i], draws[:, i]) if reachable else None
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
                # "Not reachable" is a statement about amounts beyond the measured ones.
                trust="near" if not reachable and trust == "inside" else trust,
                share_reachable=share,
                conditional=fit.conditional,
            )
        )
    return found


def marginal_rate(fit: Fit, *, n_base: float, n_real_plus: float = 0, n_syn_plus: float = 0) -> Interval:
    """Return the synthetic images worth one more real image at this mixture; inf where none are.

    Raises:
        InputError: no equivalence can be had from the fit's rows, or a count is negative.
    """
    require_answer(fit)
    refuse_impossible(n_base=n_base, n_real_plus=n_real_plus, n_syn_plus=n_syn_plus)
    base, real, syn = float(n_base), float(n_real_plus), float(n_syn_plus)
    estimate, draws = fit.averaged.reaching(
        Points.of([base], real + 1.0, syn),
        lambda count: Points.of(base, real, syn + count),
        fit.averaged.most_synthetic,
    )
    return fit.averaged.interval(estimate[0], draws[:, 0])
