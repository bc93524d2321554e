"""Named seeds: every random choice has a name, and its seed follows from that name alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

# One encoder for all calls: json.dumps with options builds a new one each time.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode


def canonical(value: object) -> str:
    """Return the canonical JSON text of a value built from dicts, lists, strings, numbers and None."""
    return _encode(value)


def digest(value: object) -> str:
    """Return 16 hexadecimal digits that identify a JSON-like value."""
    return text_digest(canonical(value))


def text_digest(text: str) -> str:
    """Return 16 hexadecimal digits that identify a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_stamp(path: Path) -> str:
    """Return 16 hexadecimal digits that identify a file's content, or a folder's file names and sizes."""
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file())
        return digest([[str(each.relative_to(path)), each.stat().st_size] for each in files])
    if not path.is_file():
        return ""  # reading it reports that it is missing
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def weights_stamp(model: str, weights: str) -> str:
    """Return the stamp of a CLIP model's weights: of the folder in "local-dir:FOLDER", else of their file."""
    folder = model.removeprefix("local-dir:")
    path = folder if folder != model else weights
    return file_stamp(Path(path).expanduser()) if path else ""


def seed_for(purpose: str, *identity: object) -> int:
    """Return the seed (0 to 2**63 - 1) of one named purpose, e.g. `seed_for("initialisation", 0)`.

    It depends on its arguments only, never on the order in which trials run.
    """
    raw = hashlib.sha256(canonical([purpose, *identity]).encode()).digest()
    return int.from_bytes(raw[:8], "big") >> 1
