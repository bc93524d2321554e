"""Existing pools of a store: listed, verified and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mousterian.cli.commands import EXIT_BAD_INPUT, EXIT_DONE
from mousterian.cli.console import console, plural, print_json, table
from mousterian.data.loading import load_images
from mousterian.synthesis import pools
from mousterian.synthesis.filter_scores import kept_by_filters
from mousterian.synthesis.pool_identity import DESCRIPTION, PoolIdentity
from mousterian.synthesis.pools import Pool
from mousterian.synthesis.samples import SHEET, draw, save_sheets
from mousterian.synthesis.shards import images_in
from mousterian.synthesis.stored_pools import dataset_of


def show(
    store: Path,
    data_dir: Path | None,
    *,
    listed: bool,
    verified: bool,
    drawn: bool,
    samples: Path | None,
    as_json: bool,
) -> int:
    """List, verify or draw the pools of a store and return the exit code."""
    folders = sorted(path.parent for path in (store / "pools").glob(f"*/{DESCRIPTION}"))
    found: dict[str, Any] = {}
    if listed:
        found["pools"] = [_row(folder) for folder in folders]
    if verified:
        found["faults"] = [{"file": str(p), "fault": f} for p, f in pools.verify(store / "pools")]
    if drawn:
        found["sheets"] = [str(folder / SHEET) for folder in folders if _drawn(folder, data_dir)]
    if samples:
        sheets = [str(path) for path in save_sheets(store, samples, data_dir)]
        found["sheets"] = found.get("sheets", []) + sheets
    if as_json:
        print_json(found)
    else:
        _show(found, store)
    return EXIT_BAD_INPUT if found.get("faults") else EXIT_DONE


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
        "images": images_in(folder),
        "training": _trained(folder),
        "filters keep": kept_by_filters(folder),
        "MiB": round(sum(path.stat().st_size for path in files) / 2**20, 1),
    }


def _trained(folder: Path) -> str:
    """Return the state of a generator's training, e.g. "400 steps, loss 0.21"; empty if there was none."""
    try:
        step, loss = (folder / "training.csv").read_text(encoding="utf-8").splitlines()[-1].split(",")
    except (OSError, ValueError):
        return ""
    unfinished = " (unfinished)" if (folder / "training.checkpoint").exists() else ""
    return f"{step} steps, loss {loss}{unfinished}"


def _show(found: dict[str, Any], store: Path) -> None:
    out = console()
    if rows := found.get("pools"):
        shown = [{**row, "filters keep": ", ".join(row["filters keep"])} for row in rows]
        out.print(table("", shown, keep=tuple(shown[0])))
    elif "pools" in found:
        out.print(f"no pools in {store}", highlight=False)
    if "faults" in found:
        for fault in found["faults"]:
            out.print(f"{fault['file']}: {fault['fault']}", highlight=False, soft_wrap=True)
        more = "; `mousterian generate` with their grid file remakes them" if found["faults"] else ""
        out.print(f"{plural(len(found['faults']), 'fault')} in {store}{more}", highlight=False)
    for path in found.get("sheets", ()):
        out.print(path, highlight=False, soft_wrap=True)
