"""Named seeds: every random choice has a name, and its seed follows from that name alone."""

from __future__ import annotations

import hashlib
import json

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


def seed_for(purpose: str, *identity: object) -> int:
    """Return the seed (0 to 2**63 - 1) of one named purpose, e.g. `seed_for("initialisation", 0)`.

    It depends on its arguments only, never on the order in which trials run.
    """
    raw = hashlib.sha256(canonical([purpose, *identity]).encode()).digest()
    return int.from_bytes(raw[:8], "big") >> 1
