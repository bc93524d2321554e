"""Errors that a user can fix: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Collection, Iterable, Iterator, Sequence
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


def described(error: Exception) -> str:
    """Return an error as a row keeps it: an input error's message, the end of the traceback of any other."""
    if isinstance(error, InputError):
        return str(error)
    return "".join(traceback.format_exception(error, limit=-4)).strip()


def missing_package(what: str, package: str, extra: str) -> InputError:
    """Build the error for a package that one of the project's extras installs."""
    return InputError(f"{what} needs the package {package}", hint=f"pip install 'mousterian[{extra}]'")


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
    return InputError(
        f"unknown {what} {name!r}; {nearest_or_all(name, sorted(names))}", where=where, hint=hint
    )


def nearest_or_all(name: str, names: Collection[str], *, all_are: str = "known") -> str:
    """Return the end of a message about a name that is not among `names`: the closest, or all of them."""
    match = nearest(name, names)
    return f"did you mean {match!r}?" if match else f"{all_are}: {', '.join(names) or 'none'}"


@contextmanager
def error_source(source: str) -> Iterator[None]:
    """Set `where` of an error that has none to the file that it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(error.what, where=error.where or source, hint=error.hint) from error
