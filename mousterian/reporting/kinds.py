"""What a figure plug-in's module has; ours are the files of `figures/`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from mousterian.fitting.result import Fit
from mousterian.plugins.kinds import plugin_kind
from mousterian.reporting.drawing import Figure


class FigureOfSeveralArms(Protocol):
    """A figure that can show several arms in one drawing, for `mousterian figure --beside`."""

    def beside(self, arms: Sequence[tuple[str, Fit]], /) -> Figure:
        """Draw the arms, each given by its name and its fit, in one figure."""
        ...


class FigureWithPlace(Protocol):
    """A figure that says where in a report it stands; one that does not comes last, by its name."""

    @property
    def PLACE(self) -> float:
        """Figures are sorted by this number: 2.5 stands between the second and the third."""


@plugin_kind("figures", optional=(FigureWithPlace, FigureOfSeveralArms))
class FigurePlugin(Protocol):
    """A figure of a fit, for reports and for `mousterian figure`."""

    def draw(self, fit: Fit, /, *args: Any, **options: Any) -> Figure:
        """Draw the figure.

        Args:
            fit: one arm's.
            options: the plug-in's own; those named `store` (folder of the store) and `against` (a published
                equation) get their values from the report's, if it has them.

        Returns:
            The drawing as SVG, with title, caption, alternative text and the numbers drawn.

        Raises:
            InputError: this fit has nothing to draw; the report says so in place of the figure.
        """
        ...
