"""`mousterian rate`: the marginal rate of substitution."""

from __future__ import annotations

import math
from pathlib import Path

from mousterian.cli.commands import EXIT_DONE
from mousterian.cli.console import print_json

_BEYOND_SYNTHETIC = "worth more than any number of synthetic ones"


def rate(
    fit: Path, *, n_base: float, n_real_plus: float = 0, n_syn_plus: float = 0, json: bool = False
) -> int:
    """Print how many synthetic images one more real image is worth: the marginal rate of substitution.

    Parameters
    ----------
    fit
        A saved fit.
    n_base
        Real images in the base set.
    n_real_plus
        Real images added already.
    n_syn_plus
        Synthetic images added already.
    json
        Print as JSON.
    """
    from mousterian.answers import fit_file
    from mousterian.answers.equivalence import marginal_rate
    from mousterian.answers.numbers import number, rates
    from mousterian.answers.wording import standing
    from mousterian.cli.commands._leaks import show_leaks

    made = fit_file.read(fit)
    mixture = {"n_base": n_base, "n_real_plus": n_real_plus, "n_syn_plus": n_syn_plus}
    rate, trust = marginal_rate(made, **mixture), made.measured.trust(**mixture)
    if json:
        found = {"marginal_rate": rate.to_json(), "trust": trust, "conditional": made.conditional}
        return print_json({**mixture, **found, "leaks": list(made.leaks)})
    at = f"At {number(n_base)} base, {number(n_real_plus)} more real and {number(n_syn_plus)} synthetic"
    worth = f"worth {rates(rate)} synthetic ones" if math.isfinite(rate.estimate) else _BEYOND_SYNTHETIC
    print(f"{at} images, one more real image is {worth}. {standing(trust, made.conditional)}")
    show_leaks(made)
    return EXIT_DONE
