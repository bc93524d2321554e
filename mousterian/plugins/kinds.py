"""How a room declares its kinds of plug-ins, and what a plug-in of many kinds may have.

A room's `kinds.py` has a Protocol for the module of a plug-in of each of its kinds, marked by `plugin_kind`.
Its first function is the one that is called; the plug-in's options are that function's keyword-only
arguments, which a Protocol writes as `*args: Any, **options: Any`. What else the Protocol has the module must
have, too. A kind with several such Protocols has plug-ins of several forms: a module fulfils one of them.
`contract.py` reads these files as text, so that listing plug-ins imports nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mousterian.plugins.options import Positive

T = TypeVar("T")


def plugin_kind(
    name: str, *, singular: str = "", folder: str = "", optional: tuple[object, ...] = ()
) -> Callable[[T], T]:
    """Mark a Protocol as that of the modules of one kind's plug-ins; all arguments are literals.

    Args:
        name: of the kind; third parties' entry points are in the group `mousterian.NAME`.
        singular: what messages call one plug-in; default: `name` without its last s.
        folder: where the room has its own plug-ins; default: `name`.
        optional: further Protocols, each of which a module may fulfil; of the same file or of this one.
    """
    return lambda protocol: protocol


class WithStamp(Protocol):
    """A plug-in some of whose options name files of the user's."""

    def stamp(self, data_dir: Path, /, *args: Any, **options: Any) -> str:
        """Return a text that changes with the content of these files; empty if the options name none.

        It is part of the identity of trials and pools, so that other files under the same path are another
        trial. `mousterian.data.content.content_stamp` makes the stamp of a file or folder.

        Args:
            data_dir: folder of the datasets.
            options: those of the plug-in's options that the function names.
        """
        ...


class WithAddedOptions(Protocol):
    """A plug-in that has got options since rows were made with it."""

    @property
    def ADDED_OPTIONS(self) -> tuple[str, ...]:
        """Names of these options, each with a default that gives what the plug-in gave without it.

        With its default such an option is left out of identities, rows and calls, so that trials and pools
        made before it keep their names. Another default later is another result for the same identity: raise
        `REVISION` with it.
        """


class WithRevision(Protocol):
    """A plug-in that has changed what it gives for the same options."""

    @property
    def REVISION(self) -> Positive:
        """The revision of its code: 1 without this constant, and one more with every such change.

        It is part of the identity of trials, pools and measurements from 2 on, so that those of the plug-in,
        and no others, run anew; `fit` takes rows of one revision, never a mixture.
        """


class WithNestedPlugins(Protocol):
    """A plug-in some of whose options name other plug-ins, whose code is then part of what it does."""

    def nested_revisions(self, *args: Any, **options: Any) -> Iterable[int]:
        """Return the revisions of these; the plug-in's own rises with them.

        Args:
            options: those of the plug-in's options that the function names.
        """
        ...


class WithMembers(Protocol):
    """A file that stands for many plug-ins, e.g. all models of a library."""

    def members(self) -> Iterable[str]:
        """Return their names; the name that was chosen is passed as the option `name`.

        Called whenever a name is looked up that no file has: it must not import anything slow.
        """
        ...
