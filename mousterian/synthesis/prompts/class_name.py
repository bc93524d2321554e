"""One prompt per class: its name in a fixed sentence."""

from __future__ import annotations

from collections.abc import Sequence

from mousterian.errors import InputError
from mousterian.synthesis.prompts._writing import plain


def write(
    class_names: Sequence[str], count: int, seed: int, *, template: str = "a photo of a {}"
) -> list[list[str]]:
    """The class name in one sentence: "a photo of a C" (He et al.).

    Args:
        class_names: the K classes, in label order.
        count: unused: there is one prompt per class.
        seed: unused.
        template: the sentence, with {} for the name; "High-quality photo of a {}" is the main paper's
            for Stable Diffusion 2.

    Returns:
        K lists of one prompt.
    """
    if "{}" not in template:
        raise InputError(
            f"the template {template!r} has no place for the class name",
            where="prompts class_name",
            hint='write {} for the name, e.g. "a photo of a {}"',
        )
    return [[template.replace("{}", plain(name))] for name in class_names]
