"""Captions of SynCLR's three kinds, as used by Geng et al. (2024, Appendix A.1) and the main paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mousterian.errors import InputError
from mousterian.seeds import seed_for
from mousterian.synthesis import language_models
from mousterian.synthesis.prompts._writing import bare, distinct, plain, sentence_about, shuffled, stripped

# Three in-context examples of each kind, for models without instruction tuning such as the papers' LLaMA-2
# 7B. The examples are ours.
_ALONE = (
    ("lighthouse", "a white lighthouse on a rocky cape under heavy clouds"),
    ("espresso", "a small cup of espresso with a golden crema, seen from above"),
    ("tabby cat", "a tabby cat stretching on a sunlit windowsill"),
)
_BACKGROUND = (
    ("lighthouse, harbour", "a lighthouse at the mouth of a busy harbour at dusk"),
    ("espresso, wooden table", "a steaming espresso on a scratched wooden table"),
    ("tabby cat, garden", "a tabby cat creeping through a garden full of tulips"),
)
_RELATION = (
    ("lighthouse, behind", "a lighthouse behind a row of fishing boats"),
    ("espresso, next to", "an espresso next to a folded newspaper"),
    ("tabby cat, below", "a tabby cat below a kitchen chair"),
)
# "next to", "below" and "besides" are the paper's; the others are ours.
RELATIONS = ("next to", "below", "besides", "above", "behind", "in front of", "inside", "on top of")
BACKGROUNDS_WANTED = 10


@dataclass(frozen=True)
class _Kind:
    """One of the three kinds: its examples, and the attributes of a class, by its label."""

    examples: Sequence[tuple[str, str]]
    attributes: Callable[[int], Sequence[str]]

    def request(self, name: str, label: int, number: int) -> str:
        """Return the request for the `number`-th caption of this kind."""
        attributes = self.attributes(label)
        words = f"{name}, {attributes[number % len(attributes)]}" if attributes else name
        lines = [f"{given} => {caption}" for given, caption in self.examples]
        return "\n".join(["Write a caption of a photo that shows the words.", *lines, f"{words} =>"])


def write(
    class_names: Sequence[str],
    count: int,
    seed: int,
    *,
    language: str | dict[str, Any],
    backgrounds: list[str] | None = None,
    relations: list[str] | None = None,
) -> list[list[str]]:
    """Captions of SynCLR's three kinds in turn: of the class, with a background, with a spatial relation.

    Args:
        class_names: the K classes, in label order.
        count: captions requested for each class; duplicates are removed.
        seed: of the model's sampling, and of the order of backgrounds and relations.
        language: the model: a name or a table (see `language_models`); the papers' is LLaMA-2 7B.
        backgrounds: places where the classes are found; by default the model suggests them.
        relations: spatial relations; by default eight.

    Returns:
        K lists of captions.

    Raises:
        InputError: the model cannot be loaded, or writes no caption with the class's name.
    """
    model = language_models.load(language)
    places = backgrounds or _backgrounds(model, class_names, seed)
    relations = list(relations or RELATIONS)
    kinds = (
        _Kind(_ALONE, lambda label: ()),
        _Kind(_BACKGROUND, lambda label: shuffled(places, seed, "background", label)),
        _Kind(_RELATION, lambda label: shuffled(relations, seed, "relation", label)),
    )

    def captions(label: int, name: str) -> Iterator[str]:
        for number in range(count):
            kind = kinds[number % len(kinds)]
            yield language_models.parsed_reply(
                model,
                kind.request(plain(name), label, number // len(kinds)),
                lambda reply: sentence_about(reply.split("=>")[-1], name),
                seed=seed_for("captions", seed, label, number),
                what=f"a caption of {bare(name)!r}",
            )

    return [distinct(list(captions(label, name))) for label, name in enumerate(class_names)]


def _backgrounds(model: language_models.LanguageModel, class_names: Sequence[str], seed: int) -> list[str]:
    """Ask the model where objects of these classes are found (the paper asks GPT-4)."""
    names = ", ".join(bare(name) for name in class_names)
    request = (
        f"In photos, what backgrounds may these be found in: {names}? Give {BACKGROUNDS_WANTED} short names"
        " of places, one on each line, and nothing else."
    )

    def parse(reply: str) -> list[str]:
        places = [stripped(line).rstrip(".").lower() for line in reply.splitlines()]
        short = distinct([place for place in places if 0 < len(place.split()) <= 5])
        if len(short) < 2:
            raise ValueError("it has fewer than two short lines")
        return short

    try:
        return language_models.parsed_reply(
            model, request, parse, seed=seed_for("backgrounds", seed), what="backgrounds"
        )
    except InputError as error:
        raise InputError(
            error.what, where=error.where, hint=f'{error.hint}; or give backgrounds = ["garden", …] yourself'
        ) from None
