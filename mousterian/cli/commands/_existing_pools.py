"""The pools that a store has: listed, verified and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mousterian.cli.console import console, print_json, table
from mousterian.data.loading import load_images
from mousterian.errors import InputError
from mousterian.synthesis import pools
from mousterian.synthesis.filter_scores import kept_by_filters
from mousterian.synthesis.pools import Pool, PoolIdentity
from mousterian.synthesis.samples import SHEET, draw, save_sheets
from mousterian.synthesis.stored_pools import dataset_of

EXIT_DONE, EXIT_FAULTS = 0, 2


@dataclass(frozen=True)
class ExistingPoolsArguments:
    """What is wanted of the pools that are there: the arguments of `mousterian generate`."""

    file: Path | None
    store: Path
    data_dir: Path | None
    listed: bool
    verified: bool
    drawn: bool
    samples: Path | None = None


def run(wanted: ExistingPoolsArguments, as_json: bool) -> int:
    """List, verify or draw the pools of a store and return the exit code."""
    if wanted.file is not None:
        raise InputError(
            "--list, --verify, --sheet and --samples take no grid file", hint=f"leave out {wanted.file}"
        )
    store, data_dir = wanted.store, wanted.data_dir
    folders = sorted(path.parent for path in (store / "pools").glob(f"*/{pools.DESCRIPTION}"))
    answer: dict[str, Any] = {}
    if wanted.listed:
        answer["pools"] = [_row(folder) for folder in folders]
    if wanted.verified:
        answer["faults"] = [{"file": str(p), "fault": f} for p, f in pools.verify(store / "pools")]
    if wanted.drawn:
        answer["sheets"] = [str(folder / SHEET) for folder in folders if _drawn(folder, data_dir)]
    if wanted.samples:
        answer["sheets"] = answer.get("sheets", []) + [
            str(path) for path in save_sheets(store, wanted.samples, data_dir)
        ]
    if as_json:
        print_json(answer)
    else:
        _tell(answer, store)
    return EXIT_FAULTS if answer.get("faults") else EXIT_DONE


def _drawn(folder: Path, data_dir: Path | None) -> bool:
    identity = PoolIdentity.at(folder)
    classes = load_images(dataset_of(identity), "train", data_dir).class_names
    draw(Pool(folder.parent, identity, classes))
    return (folder / SHEET).exists()


def _row(folder: Path) -> dict[str, Any]:
    identity = PoolIdentity.at(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        "pool": identity.key,
        "made by": identity.label,
        "seed": identity.seed,
        "images": pools.images_in(folder),
        "training": _trained(folder),
        "filters keep": kept_by_filters(folder),
        "MiB": round(sum(path.stat().st_size for path in files) / 2**20, 1),
    }


def _trained(folder: Path) -> str:
    """Return how far a generator's training is, e.g. "400 steps, loss 0.21"; empty if there was none."""
    try:
        step, loss = (folder / "training.csv").read_text(encoding="utf-8").splitlines()[-1].split(",")
    except (OSError, ValueError):
        return ""
    going = " (not over)" if (folder / "training.checkpoint").exists() else ""
    return f"{step} steps, loss {loss}{going}"


def _tell(answer: dict[str, Any], store: Path) -> None:
    out = console()
    if rows := answer.get("pools"):
        shown = [{**row, "filters keep": ", ".join(row["filters keep"])} for row in rows]
        out.print(table("", shown, keep=tuple(shown[0])))
    elif "pools" in answer:
        out.print(f"no pools in {store}", highlight=False)
    if "faults" in answer:
        for fault in answer["faults"]:
            out.print(f"{fault['file']}: {fault['fault']}", highlight=False, soft_wrap=True)
        more = "; `mousterian generate` with their grid file makes these anew" if answer["faults"] else ""
        out.print(f"{len(answer['faults'])} faults in {store}{more}", highlight=False)
    for path in answer.get("sheets", ()):
        out.print(path, highlight=False, soft_wrap=True)
