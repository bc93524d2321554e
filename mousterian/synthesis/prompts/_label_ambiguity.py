"""Label ambiguity resolution of Diversify (Section 3.1): what a class name means in a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian.seeds import seed_for
from mousterian.synthesis import language_models
from mousterian.synthesis.prompts._writing import bare, distinct, plain, stripped

MEANINGS = 5


def resolved(
    class_names: Sequence[str],
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    clip: Any,
    language: language_models.LanguageModel,
    *,
    seed: int,
) -> list[str]:
    """Return each class name with its meaning, e.g. "crane, a large long-legged bird" (Diversify, Eq. 1).

    The language model lists the meanings of the name; the one closest to the class's real images in CLIP
    space is chosen.

    Args:
        class_names: the K classes, in label order.
        images: (N, H, W, C) uint8, real training images.
        labels: (N,) their classes.
        clip: `mousterian.training.encoders.clip.Clip`.
        language: the model.
        seed: of its sampling.

    Raises:
        InputError: the model lists no meanings.
    """
    names = []
    for label, name in enumerate(class_names):
        meanings = _meanings(language, name, seed_for("meanings", seed, label))
        of_class = images[labels == label]
        if len(meanings) > 1 and len(of_class):
            # A meaning's mean cosine with the images is proportional to its product with their sum.
            meanings = [meanings[int(np.argmax(clip.texts(meanings) @ clip.images(of_class).sum(0)))]]
        names.append(f"{plain(name)}, {meanings[0]}")
    return names


def _meanings(language: language_models.LanguageModel, name: str, seed: int) -> list[str]:
    request = (
        f'What can "{bare(name)}" mean? Give up to {MEANINGS} different meanings that a photo could'
        " show, each as a short phrase that describes the thing, one on each line, and nothing else."
    )

    def parse(reply: str) -> list[str]:
        lines = [stripped(line).rstrip(".") for line in reply.splitlines()]
        phrases = distinct([line for line in lines if 0 < len(line.split()) <= 15])
        if not phrases:
            raise ValueError("it has no short line")
        return phrases[:MEANINGS]

    return language_models.parsed_reply(
        language, request, parse, seed=seed, what=f"the meanings of {bare(name)!r}"
    )
