"""`mousterian rerun`: run a trial again and compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mousterian.cli.commands import EXIT_DONE, EXIT_FAILED, STORE
from mousterian.cli.console import console, print_json, table

if TYPE_CHECKING:
    import pandas as pd


def rerun(
    trial: str,
    *,
    store: Path = STORE,
    pools: Path | None = None,
    device: str = "auto",
    data_dir: Path | None = None,
    json: bool = False,
) -> int:
    """Run one trial again from its row alone, and compare the result with the row.

    On a CPU the result is the same bit for bit; on an accelerator, or a CPU of another kind, it is within the
    noise of training seeds. Only missing pools are written to the store. Exit code 3: it differs.

    Parameters
    ----------
    trial
        Its hash (column `trial` of the store), or a prefix of it.
    store
        Folder of the store with the row.
    pools
        Folder of another store to use for pools; missing ones are made there.
    device
        cpu, cuda, cuda:1, or auto.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    json
        Print as JSON.
    """
    from mousterian.trials.rerun import rows_of, run_again
    from mousterian.trials.settings import Settings

    then = rows_of(store, trial)
    now = run_again(then, Settings(pools or store, data_dir, device, grid="rerun"))
    return _show(then, now, json)


def _show(then: pd.DataFrame, now: pd.DataFrame, as_json: bool) -> int:
    """Print the results of both runs and return the exit code."""
    from mousterian.trials.rerun import differences

    found = differences(then, now)
    same = bool(found["same"].all())
    code = EXIT_DONE if same else EXIT_FAILED
    differing = [
        f"{name} {then[name].iloc[0]} then, {now[name].iloc[0]} now"
        for name in ("device", "versions", "revision")
        if then[name].iloc[0] != now[name].iloc[0]
    ]
    if as_json:
        print_json(
            {
                "trial": then["trial"].iloc[0],
                "same": same,
                "values": found.to_dict("records"),
                "made_by": differing,
            }
        )
        return code
    rows = found.drop(columns="evaluation") if found["evaluation"].nunique() == 1 else found
    written = rows.assign(then=rows["then"].map(str), now=rows["now"].map(str))
    written["same"] = rows["same"].map({True: "yes", False: "NO"})
    console().print(
        table(f"trial {then['trial'].iloc[0]}", written.to_dict("records"), keep=list(written.columns))
    )
    verdict = "the same, bit for bit" if same else "not the same"
    if not same and not differing:
        verdict += ": the same device and versions; a processor of another make rounds differently"
    console().out("\n".join([*differing, verdict]), highlight=False)
    return code
