"""`mousterian equivalence`."""

from __future__ import annotations

from pathlib import Path


def equivalence(
    fit: Path,
    *,
    n_base: float,
    n_real_plus: float | None = None,
    n_syn_plus: float | None = None,
    json: bool = False,
) -> int:
    """Say how many synthetic images some real ones are worth, or the other way round.

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
    from mousterian import answers
    from mousterian.console import print_json
    from mousterian.equivalence import equivalence as equivalence_of
    from mousterian.fitting import saved

    loaded = saved.read(fit)
    found = equivalence_of(loaded, n_base=n_base, n_real_plus=n_real_plus, n_syn_plus=n_syn_plus)
    if json:
        return print_json(found.to_json())
    print(answers.sentence(loaded, found))
    return 0
