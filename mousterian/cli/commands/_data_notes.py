"""Notes of data, as the terminal shows them: what is left out of a dataset or pool, or converted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def show_notes(notes: Iterable[str], out: Console) -> None:
    """Print notes, one a line."""
    for note in notes:
        out.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
