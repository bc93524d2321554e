"""The 27 ImageNet templates of Li et al. (2024), Appendix B, after Radford et al. (2021)."""

from __future__ import annotations

from collections.abc import Sequence

from mousterian.synthesis.prompts._writing import plain, shuffled

TEMPLATES = (
    "a photo of a {}",
    "a rendering of a {}",
    "a cropped photo of the {}",
    "the photo of a {}",
    "a photo of a clean {}",
    "a photo of a dirty {}",
    "a dark photo of the {}",
    "a photo of my {}",
    "a photo of the cool {}",
    "a close-up photo of a {}",
    "a bright photo of the {}",
    "a cropped photo of a {}",
    "a photo of the {}",
    "a good photo of the {}",
    "a photo of one {}",
    "a close-up photo of the {}",
    "a rendition of the {}",
    "a photo of the clean {}",
    "a rendition of a {}",
    "a photo of a nice {}",
    "a good photo of a {}",
    "a photo of the nice {}",
    "a photo of the small {}",
    "a photo of the weird {}",
    "a photo of the large {}",
    "a photo of a cool {}",
    "a photo of a small {}",
)


def write(class_names: Sequence[str], count: int, seed: int) -> list[list[str]]:
    """The 27 ImageNet templates of Li et al., in a random order for each class.

    Args:
        class_names: the K classes, in label order.
        count: prompts wanted for each class; at most 27.
        seed: of the order.

    Returns:
        K lists of prompts.
    """
    return [
        [template.replace("{}", plain(name)) for template in shuffled(TEMPLATES, seed, label)][:count]
        for label, name in enumerate(class_names)
    ]
