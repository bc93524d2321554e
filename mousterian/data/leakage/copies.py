"""Counts of copies: of test images in a training set or pool, and of training images in a pool."""

from __future__ import annotations

from dataclasses import dataclass

MOST_EXACT, MOST_COPIES, FEWEST = 0.01, 0.25, 5  # shares, and the fewest copies that matter


@dataclass(frozen=True)
class Copies:
    """Copies between images and others, counted on both sides.

    Attributes:
        images, others: how many there are.
        exact: images with an identical copy among the others.
        near: images with a near copy and no identical one.
        others_exact, others_near: the same of the others.
        examples: index pairs (image, other), identical ones first.
    """

    images: int
    others: int
    exact: int
    near: int
    others_exact: int
    others_near: int
    examples: tuple[tuple[int, int], ...] = ()

    @property
    def found(self) -> int:
        """How many of the images have copies, identical or near."""
        return self.exact + self.near

    def sentence(self, image: str, other: str) -> str:
        """Say what was found.

        Args:
            image: what one of the images is called, such as "pool image".
            other: what one of the others is called, such as "test image".
        """
        if not self.found:
            return f"None of {self.images:,} {image}s has a copy among {self.others:,} {other}s."
        first, second = self.examples[0]
        verb = "has" if self.found == 1 else "have"
        return (
            f"{self.found:,} of {self.images:,} {image}s {verb} a copy among {self.others:,} {other}s:"
            f" {self.exact:,} identical, {self.near:,} near"
            f" (for example {image} {first} and {other} {second})."
        )


@dataclass(frozen=True)
class TrainingCopies:
    """Pool images that are copies of training images.

    Attributes:
        images: images of the pool.
        seen: of these, images identical to one that the generator was trained on.
        unseen: images identical to another training image.
        near: further images that are near copies of one of `searched` other training images.
        searched: among how many.
    """

    images: int
    seen: int = 0
    unseen: int = 0
    near: int = 0
    searched: int = 0

    @property
    def alarm(self) -> bool:
        """Whether the pool holds real images that its generator is said not to have seen."""
        others = self.unseen + self.near
        return others >= FEWEST and (
            self.unseen > MOST_EXACT * self.images or others > MOST_COPIES * self.images
        )

    def sentences(self) -> list[str]:
        """Say what was found; nothing where there are no copies."""
        found = []
        if self.seen:
            found.append(
                f"{self.seen:,} of {self.images:,} pool images are identical to images that the generator was"
                " trained on."
            )
        if self.unseen or self.near:
            found.append(
                f"{self.unseen + self.near:,} of {self.images:,} pool images are copies of training images"
                f" that the generator was not trained on: {self.unseen:,} identical, {self.near:,} near (near"
                f" copies are looked for among {self.searched:,} of them)."
            )
        return found


def percent(share: float) -> str:
    """Return a share in per cent, with a decimal where it is small.

    >>> percent(0.5), percent(0.034), percent(0.01)
    ('50 %', '3.4 %', '1 %')
    """
    return f"{100 * share:.2g} %" if share < 0.095 else f"{100 * share:.0f} %"
