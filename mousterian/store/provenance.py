"""Provenance of a row: package versions, revision of the source, time."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mousterian.seeds import canonical


def columns(grid: str) -> dict[str, str]:
    """Return the store's provenance columns for a row that is written now."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"grid": grid, "versions": _versions(), "revision": _revision(), "finished_at": now}


@cache
def _versions() -> str:
    found = {"python": platform.python_version()}
    for package in ("mousterian", "torch", "torchvision", "diffusers", "timm", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    return canonical(found)


@cache
def _revision() -> str:
    """Return the git revision of this source, with '+' if modified; empty for an installed copy."""
    source = Path(__file__).parents[1]
    if not (source.parent / ".git").exists():
        return ""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        described = subprocess.run(
            command, cwd=source, env=environment, capture_output=True, text=True, check=False
        )
    except OSError:  # no git on this machine
        return ""
    return described.stdout.strip()
