"""Images learn to lie where their classes' texts lie: zero-shot on unseen classes (main paper, 3.3.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mousterian.errors import InputError, unknown_name
from mousterian.training.encoders import sentences
from mousterian.training.feed import Stream
from mousterian.training.loop import Cost, Normalised, Task
from mousterian.training.loop import train as run
from mousterian.training.strategies._heads import head_of
from mousterian.training.strategies._joint_space import aligned, joint
from mousterian.training.strategy_checks import TrainingSetup


def check(
    setup: TrainingSetup,
    *,
    encoder: str,
    prompt: str,
    descriptions: Mapping[str, str] | None,
    dimensions: int,
    centred: bool,
    temperature: float,
) -> None:
    """Refuse classes without texts of their own, an encoder that is not here, and a model without a head."""
    if dimensions < 2 or not 0 < temperature < float("inf"):
        raise InputError(
            f"dimensions is 2 or more and temperature above 0, not {dimensions} and {temperature}"
        )
    texts = _texts(setup.class_names, prompt, descriptions or {})
    twice = [text for place, text in enumerate(texts) if text in texts[:place]]
    if twice:
        raise InputError(
            f"two classes have the same text, {twice[0]!r}: no image could be told to be of one of them",
            hint="give each class its own in `descriptions`",
        )
    head_of(setup.network(), len(setup.class_names))
    sentences.located(encoder)


def train(
    model: Normalised,
    task: Task,
    *,
    encoder: str = "minilm",
    prompt: str = "a photo of a {}",
    descriptions: dict[str, str] | None = None,
    dimensions: int = 512,
    centred: bool = False,
    temperature: float = 0.07,
) -> Cost:
    """Train an image encoder towards frozen vectors of the classes' texts.

    The loss is one minus the cosine of an image's vector and its class's text. An image is of the class whose
    text is nearest, also where the mixture has no image of that class: see the evaluation `unseen_classes`,
    and the key of that name of a dataset. Real and synthetic images are one shuffled set.

    Args:
        encoder: of the texts: minilm, a folder of a sentence-transformers model, or a hub's name.
        prompt: text of a class, {} standing for its name or its description.
        descriptions: what stands for {} in place of the name, by class name.
        dimensions: of the joint space.
        centred: take the mean of the classes' vectors out, so that only what sets them apart is left.
        temperature: that cosines are divided by to be logits; the loss does not depend on it.
    """
    names = task.mixture.class_names
    texts = torch.from_numpy(
        sentences.vectors(encoder, tuple(_texts(names, prompt, descriptions or {}))).copy()
    )
    space = joint(texts, dimensions, centred=centred)
    model.network = aligned(model.network, len(names), space, temperature, task.training_seed)
    stream = Stream(task.mixture, task.recipe.batch_size, loss=_away(temperature))
    return run(model, [stream], task)


def stamp(data_dir: Path, *, encoder: str) -> str:
    """Return what tells the content of the encoder's folder; arguments as for `train`."""
    return sentences.stamp(encoder)


def _texts(names: Sequence[str], prompt: str, descriptions: Mapping[str, str]) -> list[str]:
    """Return one text a class.

    Raises:
        InputError: there is no place for the name, a description of no class, or a class without words.
    """
    for name in descriptions:
        if name not in names:
            raise unknown_name("class", name, names, where="text_alignment: descriptions")
    if "{}" not in prompt:
        raise InputError(f"the prompt {prompt!r} has no place for the class name", hint="write {} there")
    meant = [descriptions.get(name, name.replace("_", " ")) for name in names]
    if wordless := [each for each in meant if not each.strip() or each.strip().isdecimal()]:
        raise InputError(
            f"text_alignment needs words for each class, and {', '.join(map(repr, wordless[:3]))} are none",
            hint="describe each class in the option `descriptions`, or name the classes in the data",
        )
    return [prompt.replace("{}", each) for each in meant]


def _away(temperature: float) -> Callable[[Tensor, Tensor], Tensor]:
    def away(logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of one minus the cosine with the target's text; blended targets blend cosines."""
        if targets.dtype == torch.int64:
            return 1 - temperature * logits.gather(1, targets[:, None]).mean()
        return 1 - temperature * (logits * targets).sum(1).mean()

    return away
