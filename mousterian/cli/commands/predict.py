"""`mousterian predict`: the accuracy of a mixture."""

from __future__ import annotations

from pathlib import Path

from mousterian.cli.commands import EXIT_DONE
from mousterian.cli.console import print_json


def predict(
    fit: Path, *, n_base: float, n_real_plus: float = 0, n_syn_plus: float = 0, json: bool = False
) -> int:
    """Predict the accuracy of a mixture, with its interval.

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
    from mousterian.answers import fit_file, numbers, wording
    from mousterian.cli.commands._leaks import show_leaks

    loaded = fit_file.read(fit)
    found = loaded.predict(n_base, n_real_plus, n_syn_plus)
    trust = loaded.measured.trust(n_base, n_real_plus, n_syn_plus)
    if json:
        shown = {**found.to_json(), "trust": trust, "conditional": loaded.conditional}
        return print_json({**shown, "leaks": list(loaded.leaks)})
    print(f"{numbers.percents(found, 2)} {wording.standing(trust, loaded.conditional)}")
    show_leaks(loaded)
    return EXIT_DONE
