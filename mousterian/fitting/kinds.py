"""What a surface plug-in's module has; ours are the files of `surfaces/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from mousterian.plugins.kinds import plugin_kind

# A float, or an array that broadcasts (complex where derivatives are taken by complex step).
Values = float | NDArray[Any]
Array = NDArray[Any]


class SurfaceWithGradient(Protocol):
    """A surface with its derivatives; without them they are taken by complex step."""

    def gradient(
        self, n_base: Values, n_real_plus: Values, n_syn_plus: Values, /, *args: Any, **parameters: Any
    ) -> Sequence[Values]:
        """Return the derivative of the accuracy by each parameter, in their order; called like `accuracy`."""
        ...


class SurfaceWithEquivalent(Protocol):
    """A surface whose equivalence has a closed form; without it the equivalence is found by bracketing."""

    def equivalent(
        self, n_base: Values, n_real_plus: Values, /, *args: Any, **parameters: Any
    ) -> NDArray[Any]:
        """Return the n_syn_plus of the same accuracy as n_real_plus; inf where no amount reaches it."""
        ...


class NonparametricBaseline(Protocol):
    """A flexible surface that the others are compared with and that has no weight in answers."""

    @property
    def NONPARAMETRIC(self) -> bool:
        """True: where it predicts held-out cells better than the others, these are misspecified."""


@plugin_kind("surfaces", optional=(SurfaceWithGradient, SurfaceWithEquivalent, NonparametricBaseline))
class SurfacePlugin(Protocol):
    """A formula for accuracy over (n_base, n_real_plus, n_syn_plus).

    Counts and parameters are floats or arrays that broadcast; zero counts are ordinary.
    """

    def accuracy(
        self, n_base: Values, n_real_plus: Values, n_syn_plus: Values, /, *args: Any, **parameters: Any
    ) -> NDArray[Any]:
        """Return the accuracy, a fraction; the keyword-only arguments are the parameters.

        Without `gradient` it must accept complex parameters.
        """
        ...

    def starts(
        self, n_base: Array, n_real_plus: Array, n_syn_plus: Array, /
    ) -> Sequence[Mapping[str, float]]:
        """Return guesses to start the fit from, for measured counts (M,), each with the same parameters.

        They are the parameters that enter nonlinearly; those left out enter linearly and are solved for.
        """
        ...

    @property
    def BOUNDS(self) -> Mapping[str, tuple[float, float]]:
        """The least and largest value of each parameter; -math.inf and math.inf where open."""

    @property
    def LATEX(self) -> str:
        """The formula, for reports."""
