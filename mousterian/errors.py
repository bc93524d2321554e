"""Errors that a user can fix: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class InputError(Exception):
    """Something the user gave cannot be used; printed as a message, never as a traceback.

    Args:
        what: what is wrong, one sentence.
        where: file, line, row or option it is about.
        hint: what to do about it.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)  # pickle rebuilds it from this; the other fields travel as attributes
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  {self.hint}" if self.hint else text


class InputErrors(InputError):  # noqa: N818 (several of them)
    """Several input errors, found in one pass and reported together."""

    def __init__(self, errors: Iterable[InputError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what pickle rebuilds it from: the errors themselves."""
        return type(self), (self.errors,), vars(self)


def nearest(name: str, names: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that is most similar to `name`, or None if none reaches the cut-off (0 to 1).

    >>> nearest("digit", ["cifar10", "digits"])
    'digits'
    """
    known = {candidate.lower(): candidate for candidate in names}
    matches = difflib.get_close_matches(name.lower(), known, n=1, cutoff=cutoff)
    return known[matches[0]] if matches else None


def first_of(names: Sequence[str], most: int = 5) -> str:
    """Return the first few of many names for a message, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, truncated; its type if the message is empty."""
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__


def unwritable(path: Path, error: OSError) -> InputError:
    """Build the error for a file that cannot be written."""
    return InputError(
        f"cannot write ({error.strerror})",
        where=str(path),
        hint="free space or fix the permissions, then run the same command again",
    )


def unknown_name(
    what: str, name: str, names: Iterable[str], *, where: str = "", hint: str = ""
) -> InputError:
    """Build the error for a name that is not among `names`, with the closest match."""
    names = sorted(names)
    match = nearest(name, names)
    known = f"did you mean {match!r}?" if match else f"known: {', '.join(names) or 'none'}"
    return InputError(f"unknown {what} {name!r}; {known}", where=where, hint=hint)


@contextmanager
def error_source(source: str) -> Iterator[None]:
    """Set `where` of an error that has none to the file that it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(error.what, where=error.where or source, hint=error.hint) from error
