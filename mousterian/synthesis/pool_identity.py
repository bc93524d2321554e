"""What a pool is: everything that determines its images, and the hash of it that is its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from mousterian.errors import InputError
from mousterian.seeds import digest

POOL_VERSION = 1  # incremented whenever the same identity would give different images
BASE, UPSTREAM, ELSEWHERE = "base", "upstream", "elsewhere"
DESCRIPTION = "pool.json"


@dataclass(frozen=True)
class PoolIdentity:
    """Everything that determines a pool's images.

    Attributes:
        generator: generator plug-in.
        options: all its options.
        stamp: digest of the files that they name.
        seed: seed of its training and sampling.
        trained_on: base (internal), upstream (external, trained here) or elsewhere (external, pre-trained).
        dataset: dataset plug-in and options, `{"name": ..., "options": ...}`.
        subset_seed: of the subset that it was trained on; 0 for elsewhere.
        imbalance: imbalance factor of S_base; 1 unless trained on base.
        n_base: size of S_base; 0 unless trained on base.
        n_upstream: size of the upstream set; 0 unless trained on upstream.
        revision: of the generator's code.
    """

    generator: str
    options: Mapping[str, Any]
    stamp: str
    seed: int
    trained_on: str
    dataset: Mapping[str, Any]
    subset_seed: int
    imbalance: float
    n_base: int
    n_upstream: int
    revision: int = 1

    def describe(self) -> dict[str, Any]:
        """Return the identity as JSON-like values, the revision from 2 on."""
        names = [each.name for each in fields(self) if each.name != "revision" or self.revision > 1]
        values = {name: getattr(self, name) for name in names}
        values |= {"options": dict(self.options), "dataset": dict(self.dataset)}
        return {"version": POOL_VERSION, **values}

    @classmethod
    def at(cls, folder: Path) -> PoolIdentity:
        """Return the identity of the pool in a folder.

        Raises:
            InputError: its description is missing or damaged.
        """
        try:
            values = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            return cls(**{each.name: values[each.name] for each in fields(cls) if each.name in values})
        except (OSError, ValueError, KeyError, TypeError) as error:
            what, hint = (
                f"cannot read this pool's identity ({error})",
                "run its grid again: the file is rewritten",
            )
            raise InputError(what, where=str(folder / DESCRIPTION), hint=hint) from None

    @cached_property
    def key(self) -> str:
        """The pool's name: 16 hexadecimal digits."""
        return digest(self.describe())

    @property
    def label(self) -> str:
        """Human-readable name, e.g. "edm trained on base of 300"."""
        sources = {
            BASE: f"on base of {self.n_base}",
            UPSTREAM: f"on upstream of {self.n_upstream}",
            ELSEWHERE: "elsewhere",
        }
        return f"{self.generator} trained {sources[self.trained_on]}"
