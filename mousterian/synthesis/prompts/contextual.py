"""Contextual diversification (CD) of Diversify: foreground, background, lighting and camera angle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mousterian.seeds import seed_for
from mousterian.synthesis import language_models
from mousterian.synthesis.prompts._writing import bare, distinct, mentions, plain, stripped

ASPECTS = ("Foreground", "Background", "Lighting Condition", "Camera Angle")
DESCRIPTIONS_A_REPLY = 20  # the paper's
# The question is the paper's; the format of the answer is ours, so that it can be parsed.
_REQUEST = """Imagine there is a photo of {name}.
What foreground and background objects can show up together with it?
Describe the photo in the following four aspects:
{aspects}

Give {count} descriptions. Be creative and avoid repetition. Write one description on each line,
its four aspects in this order with | between them, and name the {name} in the first. Write nothing else."""


def write(
    class_names: Sequence[str], count: int, seed: int, *, language: str | dict[str, Any]
) -> list[list[str]]:
    """Photographs of each class in many contexts, described by a language model (Diversify, CD).

    The paper requests 20 descriptions at a time at temperature 0.75, uses 600 per class (count = 600), and
    generates with a guidance scale of 2.

    Args:
        class_names: the K classes, in label order.
        count: prompts wanted for each class; duplicates are removed.
        seed: of the model's sampling.
        language: the model: a name or a table (see `language_models`); the paper's is gpt-3.5-turbo.

    Returns:
        K lists of prompts "a photograph of …".

    Raises:
        InputError: the model cannot be loaded, or its replies cannot be parsed.
    """
    described = descriptions(class_names, count, seed, language)
    return [[f"a photograph of {text}" for text in texts] for texts in described]


def descriptions(
    class_names: Sequence[str], count: int, seed: int, language: str | dict[str, Any]
) -> list[list[str]]:
    """Return up to `count` distinct descriptions for each class, their four aspects joined by commas."""
    model = language_models.load(language)
    return [_of_class(model, name, label, count, seed) for label, name in enumerate(class_names)]


def _of_class(
    model: language_models.LanguageModel, name: str, label: int, count: int, seed: int
) -> list[str]:
    found: list[str] = []
    # At most twice the replies needed if nothing is repeated; then there are fewer descriptions.
    for number in range(2 * -(-count // DESCRIPTIONS_A_REPLY)):
        if len(found) >= count:
            break
        found += language_models.parsed_reply(
            model,
            _REQUEST.format(
                name=plain(name),
                aspects="\n".join(f"- {aspect}" for aspect in ASPECTS),
                count=DESCRIPTIONS_A_REPLY,
            ),
            lambda reply: parse(reply, name),
            seed=seed_for("contextual", seed, label, number),
            what=f"descriptions of photos of {bare(name)!r}",
        )
        found = distinct(found)
    return found[:count]


def parse(reply: str, name: str) -> list[str]:
    """Return the descriptions in a reply; the class name is prepended to those that do not contain it.

    Raises:
        ValueError: no line has the four aspects.
    """
    lines = [[part.strip(" .,") for part in stripped(line).split("|")] for line in reply.splitlines()]
    complete = [parts for parts in lines if len(parts) == len(ASPECTS) and all(parts)]
    # A model may write a table with the aspects as its header.
    texts = [
        ", ".join(parts) for parts in complete if parts[1].lower() != "background" and set(parts[0]) != {"-"}
    ]
    if not texts:
        raise ValueError("no line has four aspects with | between them")
    return [text if mentions(text, name) else f"{bare(name)}, {text}" for text in texts]
