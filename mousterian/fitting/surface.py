"""A surface plug-in prepared for the optimiser: unbounded unknowns, derivatives, and starting values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mousterian.errors import InputError
from mousterian.plugins import registry

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Array = NDArray[Any]
Sparse: TypeAlias = "csr_array[Any]"
# Unknowns stay where their parameters are numerically distinct from the bounds.
_FARTHEST_SHARE, _FARTHEST_FACTOR = 10.0, 60.0
_COMPLEX_STEP = 1e-30


@dataclass(frozen=True)
class Points:
    """Points of the surface: three arrays of counts that broadcast."""

    n_base: Array
    n_real_plus: Array
    n_syn_plus: Array

    @staticmethod
    def of(n_base: Any, n_real_plus: Any = 0.0, n_syn_plus: Any = 0.0) -> Points:
        """Return points from floats or arrays."""
        arrays = np.broadcast_arrays(*(np.asarray(n, dtype=float) for n in (n_base, n_real_plus, n_syn_plus)))
        return Points(*arrays)

    def part(self, rows: slice | Array) -> Points:
        """Return some of the points, or of the rows of points given as (D, M)."""
        return Points(self.n_base[rows], self.n_real_plus[rows], self.n_syn_plus[rows])

    @property
    def counts(self) -> tuple[Array, Array, Array]:
        """The three counts, in order."""
        return self.n_base, self.n_real_plus, self.n_syn_plus


@dataclass(frozen=True)
class Surface:
    """One surface: its plug-in's functions and its parameters' bounds (P, 2).

    A `nonparametric` surface is the baseline that the others are compared with; it has no weight beside them.
    """

    name: str
    parameters: tuple[str, ...]
    bounds: Array
    latex: str
    nonparametric: bool
    _accuracy: Callable[..., Any]
    _gradient: Callable[..., Any] | None
    _starts: Callable[..., Any]
    _equivalent: Callable[..., Any] | None

    @property
    def has_closed_form(self) -> bool:
        """Whether the surface's equivalence has a closed form."""
        return self._equivalent is not None

    def _named(self, theta: Array) -> dict[str, Any]:
        return {name: theta[..., index, None] for index, name in enumerate(self.parameters)}

    def accuracy(self, points: Points, theta: Array) -> Array:
        """Return accuracies (..., M) at M points for parameters theta (..., P)."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return np.asarray(self._accuracy(*points.counts, **self._named(theta)), dtype=float)

    def gradient(self, points: Points, theta: Array) -> Array:
        """Return the derivative of accuracy by each parameter, (B, P, M), for theta (B, P)."""
        shape = (theta.shape[0], points.n_base.size)
        found = np.empty((shape[0], theta.shape[1], shape[1]))
        if self._gradient is not None:
            for index, slope in enumerate(self._gradient(*points.counts, **self._named(theta))):
                found[:, index, :] = slope
            return found
        for index in range(theta.shape[1]):
            moved = theta.astype(complex)
            moved[:, index] += 1j * _COMPLEX_STEP
            values = self._accuracy(*points.counts, **self._named(moved))
            found[:, index, :] = np.broadcast_to(np.imag(values) / _COMPLEX_STEP, shape)
        return found

    def equivalent(self, n_base: Array, n_real_plus: Array, theta: Array) -> Array:
        """Return n_syn_plus (..., M) in closed form; inf where no amount is enough."""
        if self._equivalent is None:
            raise TypeError(f"surface {self.name!r} has no closed form")
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return np.asarray(self._equivalent(n_base, n_real_plus, **self._named(theta)), dtype=float)

    def bounded(self, unknowns: Array) -> Array:
        """Return parameters within bounds from unknowns (..., P): logistic, exponential or as they are."""
        low, high = self.bounds.T
        both, lower = np.isfinite(low) & np.isfinite(high), np.isfinite(low)
        safe_low, span = np.where(lower, low, 0.0), np.where(both, high - low, 1.0)
        logistic = 1.0 / (1.0 + np.exp(-np.clip(unknowns, -_FARTHEST_SHARE, _FARTHEST_SHARE)))
        exponential = np.exp(np.clip(unknowns, -_FARTHEST_FACTOR, _FARTHEST_FACTOR))
        return np.where(both, safe_low + span * logistic, np.where(lower, safe_low + exponential, unknowns))

    @cached_property
    def limits(self) -> Array:
        """Least and largest value of each unknown, (2, P), for `least_squares.minimise`."""
        low, high = self.bounds.T
        both, lower = np.isfinite(low) & np.isfinite(high), np.isfinite(low)
        farthest = np.where(both, _FARTHEST_SHARE, np.where(lower, _FARTHEST_FACTOR, np.inf))
        return np.stack([-farthest, farthest])

    def unbounded(self, theta: Array) -> Array:
        """Return the unknowns of parameters (..., P), moved inside their bounds where they are not."""
        low, high = self.bounds.T
        both, lower = np.isfinite(low) & np.isfinite(high), np.isfinite(low)
        share = (theta - np.where(lower, low, 0.0)) / np.where(both, high - low, 1.0)
        share = np.clip(share, 1e-5, np.where(both, 1 - 1e-5, np.inf))
        logit = np.log(share) - np.log1p(-np.where(both, share, 0.5))
        return np.where(both, logit, np.where(lower, np.log(share), theta))

    def stretch(self, theta: Array) -> Array:
        """Return d parameter / d unknown, (..., P)."""
        low, high = self.bounds.T
        both, lower = np.isfinite(low) & np.isfinite(high), np.isfinite(low)
        above = theta - np.where(lower, low, 0.0)
        top, span = np.where(both, high, theta), np.where(both, high - low, 1.0)
        return np.where(both, above * (top - theta) / span, np.where(lower, above, 1.0))

    def model(self, points: Points) -> Callable[[Array], tuple[Array, Array]]:
        """Return the surface over unknowns at fixed points, for `least_squares.minimise`."""

        def evaluate(unknowns: Array) -> tuple[Array, Array]:
            theta = self.bounded(unknowns)
            jacobian = self.gradient(points, theta)
            jacobian *= self.stretch(theta)[:, :, None]
            return self.accuracy(points, theta), jacobian

        return evaluate

    def starts(self, points: Points, target: Array, weights: Array, keep: int) -> Array:
        """Return the best starting unknowns (S, P), with the linear parameters solved for.

        Args:
            points: where accuracies were measured, (M,).
            target: measured accuracies, (M,).
            weights: of each, (M,).
            keep: most starts to return.
        """
        guesses: Sequence[Mapping[str, float]] = self._starts(*points.counts)
        linear = [name not in guesses[0] for name in self.parameters]
        theta = np.array([[guess.get(name, 0.0) for name in self.parameters] for guess in guesses])
        root = np.sqrt(weights)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            fixed = self._fixed_part(points, theta, linear)
            columns = self._linear_part(points, theta, linear, fixed)
        for row, (part, column) in enumerate(zip(fixed, columns, strict=True)):
            if np.isfinite(part).all() and np.isfinite(column).all():
                theta[row, linear] = np.linalg.lstsq((column * root).T, (target - part) * root, rcond=1e-10)[
                    0
                ]
        unknowns = self.unbounded(theta)
        losses = np.einsum("m,bm->b", weights, (self.accuracy(points, self.bounded(unknowns)) - target) ** 2)
        order = np.argsort(np.where(np.isfinite(losses), losses, np.inf), kind="stable")
        best: Array = unknowns[order[:keep]]
        return best

    def _fixed_part(self, points: Points, theta: Array, linear: list[bool]) -> Array:
        shape = (theta.shape[0], points.n_base.size)
        return np.broadcast_to(self.accuracy(points, np.where(linear, 0.0, theta)), shape)

    def _linear_part(self, points: Points, theta: Array, linear: list[bool], fixed: Array) -> Array:
        """Return what each linear parameter adds per unit, (S, L, M)."""
        columns = []
        for index in np.flatnonzero(linear):
            unit = np.where(linear, 0.0, theta)
            unit[:, index] = 1.0
            columns.append(self.accuracy(points, unit) - fixed)
        return np.stack(columns, axis=1) if columns else np.empty((theta.shape[0], 0, points.n_base.size))


@cache
def load(name: str) -> Surface:
    """Return the surface of that name.

    Raises:
        InputError: there is none, it is broken, or its bounds are not those of its parameters.
    """
    plugin = registry.find("surfaces", name)
    parameters, bounds = tuple(plugin.options), plugin.part("BOUNDS")
    if set(bounds) != set(parameters):
        raise InputError(f"{plugin.label} needs BOUNDS for exactly {', '.join(parameters)}")
    return Surface(
        name=name,
        parameters=parameters,
        bounds=np.array([bounds[parameter] for parameter in parameters], dtype=float),
        latex=plugin.part("LATEX"),
        nonparametric=bool(plugin.part("NONPARAMETRIC")),
        _accuracy=plugin.load(),
        _gradient=plugin.part("gradient"),
        _starts=plugin.part("starts"),
        _equivalent=plugin.part("equivalent"),
    )


def names() -> tuple[str, ...]:
    """Return the names of all surfaces, ours and third parties'."""
    return tuple(sorted(registry.working("surfaces")))
