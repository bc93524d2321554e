"""`mousterian rerun`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mousterian.cli.commands import STORE
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
    """Run one trial again from its row alone, and compare what it gives now with what the store says.

    The same on a CPU bit for bit; within the noise of training seeds on an accelerator, or on a CPU of
    another kind. Nothing is written into the store but a pool that is not there. Exit code 3: it differs.

    Parameters
    ----------
    trial
        Its hash (column `trial` of the store), or the beginning of it.
    store
        Folder of the store whose row is taken.
    pools
        Folder of another store, in which pools are looked for, and made where missing.
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
    settings = Settings(pools or store, data_dir, device, grid="rerun")
    now = run_again(then, settings)
    return _show(then, now, json)


def _show(then: pd.DataFrame, now: pd.DataFrame, as_json: bool) -> int:
    """Print what a trial gave then and gives now; return the exit code: 0 the same, 3 not."""
    from mousterian.trials.rerun import differences

    found = differences(then, now)
    same = bool(found["same"].all())
    others = [
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
                "made_by": others,
            }
        )
        return 0 if same else 3
    rows = found.drop(columns="evaluation") if found["evaluation"].nunique() == 1 else found
    written = rows.assign(then=rows["then"].map(str), now=rows["now"].map(str))
    written["same"] = rows["same"].map({True: "yes", False: "NO"})
    console().print(
        table(f"trial {then['trial'].iloc[0]}", written.to_dict("records"), keep=list(written.columns))
    )
    verdict = "the same, bit for bit" if same else "not the same"
    console().out("\n".join([*others, verdict]), highlight=False)
    return 0 if same else 3
