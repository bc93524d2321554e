"""What prompt makers share: plain class names, articles, whether a text speaks of a class."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mousterian.seeds import seed_for


def plain(name: str) -> str:
    """Return a class name as words: "night_snake" becomes "night snake"."""
    return re.sub(r"[\s_]+", " ", name).strip()


def bare(name: str) -> str:
    """Return a class name without what is said to explain it: "crane, a long-legged bird" is "crane"."""
    return plain(name).partition(",")[0].strip()


def mentions(text: str, name: str) -> bool:
    """Tell whether a text contains a class's bare name, whatever its case and hyphens."""
    return _letters(bare(name)) in _letters(text)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).casefold().strip()


def with_article(words: str) -> str:
    """Return words after "a" or "an", by their first letter."""
    return f"{'an' if words[:1].lower() in set('aeiou') else 'a'} {words}"


def shuffled(items: Sequence[str], seed: int, *purpose: object) -> list[str]:
    """Return the items in an order that follows from the seed and the purpose."""
    order = np.random.default_rng(seed_for("prompts", seed, *purpose)).permutation(len(items))
    return [items[place] for place in order]


def in_turn(items: Sequence[str], count: int) -> list[str]:
    """Return `count` items, beginning anew after the last."""
    return [items[place % len(items)] for place in range(count)]


def distinct(texts: Sequence[str]) -> list[str]:
    """Return the texts without those that came before, in order."""
    return list(dict.fromkeys(texts))


def first_line(reply: str) -> str:
    """Return the first line of a reply that says something, without quotes and list marks.

    Raises:
        ValueError: there is none.
    """
    lines = [unmarked(line) for line in reply.splitlines()]
    found = next((line for line in lines if line), None)
    if found is None:
        raise ValueError("it is empty")
    return found


def unmarked(line: str) -> str:
    """Return a line without the number or mark of a list before it and quotes around it."""
    return re.sub(r"^\s*(?:\d+[.):]|[-*•])\s+", "", line).strip().strip("\"'“”").strip()


def sentence_about(reply: str, name: str) -> str:
    """Return the first line of a reply, which must speak of the class.

    Raises:
        ValueError: it is empty or does not contain the class's name.
    """
    line = first_line(reply)
    if not mentions(line, name):
        raise ValueError(f"it does not contain {bare(name)!r}")
    return line.rstrip(".")
