"""`mousterian plan`: the cheapest mixture for a target accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mousterian.cli.commands import EXIT_DONE
from mousterian.cli.console import print_json

if TYPE_CHECKING:
    from mousterian.answers.plan import Plan


def plan(
    fit: Path,
    *,
    n_base: float,
    target_accuracy: float,
    real_cost: float,
    syn_cost: float,
    max_real: float | None = None,
    max_syn: float | None = None,
    json: bool = False,
) -> int:
    """Find the cheapest mix of real and synthetic images for a target accuracy.

    Parameters
    ----------
    fit
        A saved fit.
    n_base
        Real images in the base set.
    target_accuracy
        As a fraction, or in percent if above 1.
    real_cost
        Price of one real image.
    syn_cost
        Price of one synthetic image, in the same unit.
    max_real
        Largest number of real images available.
    max_syn
        Largest number of synthetic images available.
    json
        Print as JSON, with all mixtures that exactly reach the target.
    """
    from mousterian.answers import fit_file
    from mousterian.answers.plan import cheapest_mix
    from mousterian.cli.commands._leaks import show_leaks

    loaded = fit_file.read(fit)
    made = cheapest_mix(
        loaded,
        n_base=n_base,
        target_accuracy=target_accuracy,
        real_cost=real_cost,
        syn_cost=syn_cost,
        max_real=max_real,
        max_syn=max_syn,
    )
    if json:
        return print_json({**made.to_json(), "leaks": list(loaded.leaks)})
    _show(made)
    show_leaks(loaded)
    return EXIT_DONE


def _show(made: Plan) -> None:
    """Print the cheapest mixture that reaches a target, and the cost of each kind of image alone."""
    from mousterian.answers.numbers import counts, number, percent, percents
    from mousterian.answers.wording import standing

    goal = percent(made.target_accuracy, 2)
    if made.n_real_plus is None or made.n_syn_plus is None or made.cost is None:
        best = f"the best is {percents(made.accuracy, 2)}"
        chance = f"some mixture reaches it in {percent(made.probability, 0)} of the draws"
        short = made.accuracy.estimate < made.target_accuracy
        said = f"{goal} is not reachable within the limits; {best if short else chance}"
        print(f"{said} {standing(None, made.conditional)}".rstrip())
        return
    alone = (("real", made.cost_of_real_alone), ("synthetic", made.cost_of_synthetic_alone))
    lines = [
        f"for {goal}, add {counts(made.n_real_plus)} real and {counts(made.n_syn_plus)} synthetic images:"
        f" cost {counts(made.cost)} {standing(made.trust, made.conditional)}",
        *(
            f"  {kind} images alone: " + ("not enough" if c is None else f"cost {number(c)}")
            for kind, c in alone
        ),
        f"  this mixture reaches it in {percent(made.probability, 0)} of the draws",
    ]
    print("\n".join(lines))
