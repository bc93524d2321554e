"""The papers' formula, Eq. 1: exact for the loglinear surfaces, for any other a projection with its error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from mousterian.answers.answerable import refusal
from mousterian.answers.measured import thinned, with_synthetic
from mousterian.fitting.interval import Interval, rounded
from mousterian.fitting.least_squares import Model, minimise
from mousterian.fitting.model_average import ModelAverage
from mousterian.fitting.result import Fit
from mousterian.fitting.surface import Array

# Units of Eq. 1 as printed; arbitrary, as only ln(g)/τ and ln(h)/k are identifiable.
TAU, K = 15571.2, 0.2
_RATIOS = 6
# Where n_syn_plus is proportional to n_real_plus, or grows slower, the nearest formula is the limit h → 1,
# c → ∞, which would print as c·(1 − 1). This lower bound of ln(h)/k keeps it linear within 1 % up to
# r_real = 4, and h prints as 1.001.
LEAST_LOG_H = 0.005
_DIGITS = {"c": 3, "g": 3, "tau": 6, "h": 4, "k": 3}


@dataclass(frozen=True)
class Formula:
    """n_syn_plus/n_base ≃ c·g^(n_base/τ)·(h^(n_real_plus/(k·n_base)) − 1).

    Attributes:
        c: synthetic images per base image, at vanishing base size.
        log_g_per_image: ln(g)/τ, per base image.
        log_h_per_r_real: ln(h)/k, per unit of r_real.
        printed: c, g, tau, h and k as in the papers.
        latex: the formula.
        mathml: the formula, for a page.
        text: the formula in one line.
        rms_log_error: root mean square of ln(formula / equivalence) over the domain; 0 where it is exact.
        domain: smallest and largest n_base, r_real and n_syn_plus that it was fitted over.
    """

    c: Interval
    log_g_per_image: Interval
    log_h_per_r_real: Interval
    printed: dict[str, float]
    latex: str
    mathml: str
    text: str
    rms_log_error: float
    domain: dict[str, tuple[float, float]]

    def __call__(self, n_base: Array, n_real_plus: Array) -> Array:
        """Return n_syn_plus by the formula."""
        gain = np.expm1(self.log_h_per_r_real.estimate * np.asarray(n_real_plus) / n_base)
        return np.asarray(
            n_base * self.c.estimate * np.exp(self.log_g_per_image.estimate * np.asarray(n_base)) * gain
        )

    def to_json(self) -> dict[str, object]:
        """Return the formula as it stands in the fit's JSON."""
        return {
            "c": self.c.to_json(),
            "log_g_per_image": self.log_g_per_image.to_json(),
            "log_h_per_r_real": self.log_h_per_r_real.to_json(),
            "printed": {name: rounded(value) for name, value in self.printed.items()},
            "latex": self.latex,
            "rms_log_error": rounded(self.rms_log_error),
            "domain": {name: [rounded(end) for end in ends] for name, ends in self.domain.items()},
        }


# Cached: a projection takes a second, and fits are immutable.
_projected: WeakKeyDictionary[Fit, Formula | None] = WeakKeyDictionary()


def nearest_formula(fit: Fit) -> Formula | None:
    """Return the papers' formula nearest to a fit; None where synthetic images reach too little.

    None, too, where the rows can tell no equivalence.
    """
    if fit not in _projected:
        _projected[fit] = _of_rows(fit)
    return _projected[fit]


def _of_rows(fit: Fit) -> Formula | None:
    rows = fit.data[~fit.data["outlier"]]
    with_syn = with_synthetic(rows)
    if refusal(fit):
        return None
    largest_real = float((rows["n_base"] + rows["n_real_plus"]).max())
    bases = thinned(with_syn["n_base"])
    return project(fit.averaged, bases, largest_real, float(with_syn["n_syn_plus"].max()))


def project(averaged: ModelAverage, bases: Array, largest_real: float, largest_syn: float) -> Formula | None:
    """Return the formula nearest to an averaged surface's equivalences; None where there are too few.

    Args:
        averaged: the surfaces.
        bases: base sizes with synthetic data, (N,).
        largest_real: most real images (base and added) measured.
        largest_syn: most synthetic images measured; equivalences beyond twice that are left out.
    """
    n_base, r_real = _domain(bases, largest_real)
    estimate, draws = averaged.synthetic_for(n_base, r_real * n_base)
    used = (estimate >= 1.0) & (estimate <= 2 * largest_syn)
    if used.sum() < 3:
        return None
    n_base, r_real, estimate, draws = n_base[used], r_real[used], estimate[used], draws[:, used]
    several = len(np.unique(n_base)) > 1
    best = _nearest(n_base, r_real, estimate[None], _first(n_base, r_real, estimate), several)
    drawn = _nearest(n_base, r_real, draws, np.repeat(best, len(draws), axis=0), several)
    miss = np.log(estimate / n_base) - _model(n_base, r_real, several)(best)[0][0]
    c, log_h = (averaged.interval(np.exp(best[0, i]), np.exp(drawn[:, i])) for i in (0, 2))
    scale = float(n_base.max())
    log_g = (
        averaged.interval(best[0, 1] / scale, drawn[:, 1] / scale)
        if several
        else Interval(0.0, -math.inf, math.inf)
    )
    printed = _printed(c.estimate, log_g.estimate, log_h.estimate, scale)
    domain = {
        "n_base": (float(n_base.min()), float(n_base.max())),
        "r_real": (float(r_real.min()), float(r_real.max())),
        "n_syn_plus": (float(estimate.min()), float(estimate.max())),
    }
    error = float(np.sqrt(np.mean(miss**2)))
    return Formula(c, log_g, log_h, printed, *_written(printed), error, domain)


def _domain(bases: Array, largest_real: float) -> tuple[Array, Array]:
    """Return base sizes and r_real over what was measured: up to doubling, or as far as real data goes."""
    found = [
        (base, ratio)
        for base in bases
        for ratio in np.linspace(0.0, min(max(largest_real / base - 1.0, 0.25), 2.0), _RATIOS + 1)[1:]
    ]
    n_base, r_real = np.array(found).T
    return n_base, r_real


def _model(n_base: Array, r_real: Array, several: bool) -> Model:
    """Return ln(n_syn_plus/n_base) over (ln c, log_g at the largest base, ln log_h) and its derivatives."""
    size = n_base / n_base.max()

    def evaluate(unknowns: Array) -> tuple[Array, Array]:
        log_c, log_g, log_h = (unknowns[:, i, None] for i in range(3))
        x = np.exp(np.clip(log_h, math.log(LEAST_LOG_H), 6.0)) * r_real
        values = log_c + log_g * size * several + np.log(np.expm1(x))
        by_h = x / -np.expm1(-x)
        jacobian = np.stack(np.broadcast_arrays(np.ones_like(values), size * several, by_h), axis=1)
        return values, jacobian

    return evaluate


def _first(n_base: Array, r_real: Array, estimate: Array) -> Array:
    """Return unknowns (1, 3) to start from: the best of a few values of log_h."""
    target = np.log(estimate / n_base)
    tried = np.log([0.03, 0.1, 0.3, 1.0, 3.0])
    shapes = [np.log(np.expm1(np.exp(log_h) * r_real)) for log_h in tried]
    best = int(np.argmin([np.var(target - shape) for shape in shapes]))
    return np.array([[float(np.mean(target - shapes[best])), 0.0, tried[best]]])


def _nearest(n_base: Array, r_real: Array, equivalents: Array, start: Array, several: bool) -> Array:
    usable = np.isfinite(equivalents) & (equivalents > 1e-6)
    target = np.log(np.where(usable, equivalents, n_base) / n_base)
    found = minimise(_model(n_base, r_real, several), target, usable.astype(float), start, iterations=60)
    return np.column_stack([found.unknowns[:, :2], np.clip(found.unknowns[:, 2], math.log(LEAST_LOG_H), 6.0)])


def _printed(c: float, log_g: float, log_h: float, largest_base: float) -> dict[str, float]:
    # The papers' τ suits bases of thousands; for a base of hundreds g would be a number of many digits.
    tau = TAU if largest_base > TAU / 10 else largest_base
    return {
        "c": c,
        "g": math.exp(min(log_g * tau, 700.0)),
        "tau": tau,
        "h": math.exp(min(log_h * K, 700.0)),
        "k": K,
    }


def _written(printed: dict[str, float]) -> tuple[str, str, str]:
    """Return the formula in LaTeX, MathML and plain text."""
    c, g, tau, h, k = (f"{printed[name]:.{digits}g}" for name, digits in _DIGITS.items())
    latex = (
        r"\frac{n_{\mathrm{syn+}}}{n_{\mathrm{base}}} \simeq "
        rf"{c} \times {g}^{{n_{{\mathrm{{base}}}}/{tau}}} \times "
        rf"\left({h}^{{n_{{\mathrm{{real+}}}}/({k}\, n_{{\mathrm{{base}}}})}} - 1\right)"
    )
    base, real, syn = (f"<msub><mi>n</mi><mtext>{name}</mtext></msub>" for name in ("base", "real+", "syn+"))
    mathml = (
        '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"><mrow>'
        f"<mfrac>{syn}{base}</mfrac><mo>≃</mo><mn>{c}</mn><mo>×</mo>"
        f"<msup><mn>{g}</mn><mrow>{base}<mo>/</mo><mn>{tau}</mn></mrow></msup><mo>×</mo>"
        f"<mrow><mo>(</mo><msup><mn>{h}</mn><mrow>{real}<mo>/</mo><mo>(</mo><mn>{k}</mn>{base}<mo>)</mo></mrow></msup>"
        "<mo>−</mo><mn>1</mn><mo>)</mo></mrow></mrow></math>"
    )
    text = f"n_syn_plus/n_base ≃ {c} · {g}^(n_base/{tau}) · ({h}^(n_real_plus/({k}·n_base)) − 1)"
    return latex, mathml, text
