"""Language enhancement (LE) of He et al. (2023): a word-to-sentence model writes about each class name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mousterian.seeds import seed_for
from mousterian.synthesis import language_models
from mousterian.synthesis.prompts._writing import bare, distinct, plain, sentence_about


def write(
    class_names: Sequence[str],
    count: int,
    seed: int,
    *,
    language: str | dict[str, Any],
    request: str = "{}",
    prefix: str = "a photo of a ",
) -> list[list[str]]:
    """Sentences from a word-to-sentence model for each class name, after "a photo of a" (He et al.).

    The paper uses a T5 fine-tuned on CommonGen, with the class name alone as input, and samples 200 sentences
    per class (count = 200).

    Args:
        class_names: the K classes, in label order.
        count: sentences requested; duplicates are removed.
        seed: of the model's sampling.
        language: the model: a name or a table (see `language_models`).
        request: the model's input, with {} for the class name; instruction-tuned models need an instruction
            here.
        prefix: text before every sentence.

    Returns:
        K lists of prompts.

    Raises:
        InputError: the model cannot be loaded, or writes no sentence with the class's name.
    """
    model = language_models.load(language)

    def sentences(label: int, name: str) -> list[str]:
        return [
            language_models.parsed_reply(
                model,
                request.replace("{}", plain(name)),
                lambda reply: sentence_about(reply, name),
                seed=seed_for("language-enhancement", seed, label, number),
                what=f"a sentence about {bare(name)!r}",
            )
            for number in range(count)
        ]

    return [
        distinct([prefix + sentence for sentence in sentences(label, name)])
        for label, name in enumerate(class_names)
    ]
