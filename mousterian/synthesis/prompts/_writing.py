"""Shared by the prompt makers: class names as words, articles, parsing of replies."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mousterian.seeds import seed_for


def plain(name: str) -> str:
    """Return a class name as words: "night_snake" becomes "night snake"."""
    return re.sub(r"[\s_]+", " ", name).strip()


def bare(name: str) -> str:
    """Return a class name without its explanation: "crane, a long-legged bird" is "crane"."""
    return plain(name).partition(",")[0].strip()


def mentions(text: str, name: str) -> bool:
    """Return whether a text contains a class's bare name, ignoring case and hyphens."""
    return _normalised(bare(name)) in _normalised(text)


def _normalised(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).casefold().strip()


def with_article(words: str) -> str:
    """Prepend "a" or "an", depending on the first letter."""
    return f"{'an' if words[:1].lower() in set('aeiou') else 'a'} {words}"


def shuffled(items: Sequence[str], seed: int, *purpose: object) -> list[str]:
    """Return the items in an order determined by the seed and the purpose."""
    order = np.random.default_rng(seed_for("prompts", seed, *purpose)).permutation(len(items))
    return [items[index] for index in order]


def in_turn(items: Sequence[str], count: int) -> list[str]:
    """Return `count` items, cycling through the list."""
    return [items[index % len(items)] for index in range(count)]


def distinct(texts: Sequence[str]) -> list[str]:
    """Return the texts without repetitions, in order."""
    return list(dict.fromkeys(texts))


def stripped(line: str) -> str:
    """Return a line without list markers and quotes."""
    return re.sub(r"^\s*(?:\d+[.):]|[-*•])\s+", "", line).strip().strip("\"'“”").strip()


def sentence_about(reply: str, name: str) -> str:
    """Return a reply's first line without quotes and list markers; it must contain the class's name.

    Raises:
        ValueError: it is empty or does not contain the class's name.
    """
    line = next(filter(None, map(stripped, reply.splitlines())), "")
    if not line:
        raise ValueError("it is empty")
    if not mentions(line, name):
        raise ValueError(f"it does not contain {bare(name)!r}")
    return line.rstrip(".")
