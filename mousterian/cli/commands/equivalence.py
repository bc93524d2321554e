"""`mousterian equivalence`: how many synthetic images real ones are worth."""

from __future__ import annotations

from pathlib import Path

from mousterian.cli.commands import EXIT_DONE
from mousterian.cli.console import print_json


def equivalence(
    fit: Path,
    *,
    n_base: float,
    n_real_plus: float | None = None,
    n_syn_plus: float | None = None,
    json: bool = False,
) -> int:
    """Print how many synthetic images a number of real ones is worth, or vice versa.

    Parameters
    ----------
    fit
        A saved fit.
    n_base
        Real images in the base set.
    n_real_plus
        Real images added.
    n_syn_plus
        Synthetic images added.
    json
        Print as JSON.
    """
    from mousterian.answers import fit_file
    from mousterian.answers.equivalence import equivalence as equivalence_of
    from mousterian.answers.wording import sentence
    from mousterian.cli.commands._leaks import show_leaks

    loaded = fit_file.read(fit)
    found = equivalence_of(loaded, n_base=n_base, n_real_plus=n_real_plus, n_syn_plus=n_syn_plus)
    if json:
        return print_json({**found.to_json(), "leaks": list(loaded.leaks)})
    print(sentence(loaded, found))
    show_leaks(loaded)
    return EXIT_DONE
