"""`mousterian published`."""

from __future__ import annotations


def published(*, json: bool = False) -> int:
    """List the papers' tables that ship as data; `mousterian fit published:NAME` fits one.

    Parameters
    ----------
    json
        Print as JSON, with sources, misprints and notes.
    """
    from mousterian import answers

    return answers.list_published(json)
