"""What a report takes from the store: device time, failures, provenance of the trials."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mousterian.answers.numbers import duration, number
from mousterian.errors import InputError
from mousterian.reporting.arm_trials import arm_rows, every_row
from mousterian.store.schema import DONE

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


DEVICE_TIME = "Device time"
# Most errors shown individually.
_ERRORS = 5


def stored_facts(fit: Fit, store: str) -> list[tuple[str, str]]:
    """Return an arm's device time and pools, as terms and texts; empty without a store."""
    if not store:
        return []
    try:
        rows = arm_rows(fit, store).drop_duplicates("trial")
    except InputError:  # the figures of the store's trials say why they are missing
        return []
    devices = ", ".join(sorted(set(rows["device"].dropna())))
    facts = [(DEVICE_TIME, f"{duration(float(rows['seconds'].sum()))} on {devices}")]
    pools = set(rows["pool"].dropna()) - {""}
    seeds = rows.loc[rows["n_syn_plus"] > 0, "generator_seed"].nunique()
    if pools:
        facts.append(
            ("Pools", f"{number(len(pools))}, of {number(seeds)} generator seed{'s' if seeds > 1 else ''}")
        )
    return facts


def provenance_of(store: str) -> dict[str, str]:
    """Return the provenance of a store's trials: grids, code, versions, failures; empty without a store."""
    if not store:
        return {}
    rows = every_row(store).drop_duplicates("trial")
    statuses = Counter(rows["status"])
    found = {
        "Grids": _listed(rows["grid"]),
        "Code of the trials": _listed(rows["revision"]),
        "Versions of the trials": _listed(_versions(text) for text in rows["versions"].dropna().unique()),
        "Finished": f"{rows['finished_at'].min()} to {rows['finished_at'].max()}",
        "Trials": ", ".join(f"{number(count)} {status}" for status, count in sorted(statuses.items())),
    }
    lost = rows[rows["status"] != DONE]
    for row in lost.head(_ERRORS).itertuples():
        found[f"{str(row.status).capitalize()}: trial {str(row.trial)[:8]}"] = str(row.error)
    if len(lost) > _ERRORS:
        found["More of these"] = number(len(lost) - _ERRORS)
    return {term: text for term, text in found.items() if text}


def _listed(texts: Iterable[object]) -> str:
    return "; ".join(sorted({str(text) for text in texts if text}))


def _versions(text: str) -> str:
    try:
        return ", ".join(f"{name} {version}" for name, version in json.loads(text).items())
    except (ValueError, AttributeError):
        return text
