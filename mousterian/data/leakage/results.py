"""Results of leak checks, and what they say.

A set is refused with more than 1 % of its test images in train, pixel by pixel. A pool is refused if

- more test images than unseen real images of the same classes have copies in it (p < 0.001), or
- more than 1 % of it, or of the test set, are identical copies, or
- more than 25 % of it are copies, identical or near.

The last two hold whatever unseen images show, as these may be in the pool too. Where there are too few unseen
images to compare with, they stand alone, and the check is uncalibrated. Results are made in `checks`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

ALPHA = 0.001
MOST_EXACT, MOST_COPIES, FEWEST = 0.01, 0.25, 5  # shares, and the fewest copies that a pool is refused for
LEAST_SHARE = 0.525  # less nearness does not matter, even where a large pool makes it significant
LEAST_PAIRED, FEWEST_PAIRS = 0.5, 20  # unseen images that are enough: per test image, and in all


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
class SetLeaks:
    """Test images of a set that are in its training set.

    Attributes:
        copies: of test images (images) among training images (others).
    """

    copies: Copies

    @property
    def refused(self) -> bool:
        """Whether too many test images are in train, pixel by pixel."""
        return self.copies.exact > MOST_EXACT * self.copies.images

    def sentences(self) -> list[str]:
        """Say what was found, and why the set is refused if it is."""
        found = [self.copies.sentence("test image", "training image")]
        if self.refused:
            found.append(
                f"{_percent(self.copies.exact / self.copies.images)} of the test images are in the training"
                f" set, pixel by pixel; at most {_percent(MOST_EXACT)} may be."
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-like values, with what follows from them and its sentences."""
        return dataclasses.asdict(self) | {"refused": self.refused, "sentences": self.sentences()}


@dataclass(frozen=True)
class Nearness:
    """Whether pool images lie nearer to test images than to as many unseen real ones.

    Attributes:
        space: where distances are taken, "pixels" or the name of a feature space.
        images: pool images that have one nearest real image; those with a tie are left out.
        nearer: how many of these have a test image as their nearest real image.
        p_value: chance of that many or more, if test and unseen images are exchangeable.
    """

    space: str
    images: int
    nearer: int
    p_value: float

    @property
    def share(self) -> float:
        """Share of the pool images whose nearest real image is a test image; 0.5 without a leak."""
        return self.nearer / self.images if self.images else 0.5

    @property
    def alarm(self) -> bool:
        """Whether the pool lies nearer to the test images than chance allows."""
        return self.p_value < ALPHA and self.share >= LEAST_SHARE

    def sentence(self) -> str:
        """Say what was found."""
        found = (
            f"In {self.space}, {_percent(self.share)} of {self.images:,} pool images lie nearer to a test"
            f" image than to an unseen real image ({_chance(self.p_value)})"
        )
        if self.alarm:
            return f"{found}: the pool lies nearer to the test images than chance allows."
        return f"{found}; about 50 % are expected without a leak."


@dataclass(frozen=True)
class Comparison:
    """Test images that have copies in a pool, beside unseen real images of the same classes.

    Attributes:
        test_exact, test_found: of the paired test images, those with identical copies, and with any.
        unseen_exact, unseen_found: the same of the unseen images that they are paired with.
        p_value: chance of so many more, of either sort, if test and unseen images are exchangeable.
    """

    test_exact: int
    test_found: int
    unseen_exact: int
    unseen_found: int
    p_value: float


@dataclass(frozen=True)
class PoolLeaks:
    """Test images in a pool, image by image and beside real images that its generator has not seen.

    Attributes:
        copies: of pool images (images) among test images (others).
        pairs: test images that were paired with an unseen image of their class.
        comparison: of these; None with too few pairs to compare.
        nearness: in pixels, and in each feature space that was given; none with too few pairs.
    """

    copies: Copies
    pairs: int = 0
    comparison: Comparison | None = None
    nearness: tuple[Nearness, ...] = ()

    @property
    def calibrated(self) -> bool:
        """Whether there are enough unseen images to say what is usual."""
        return self.pairs >= max(FEWEST_PAIRS, LEAST_PAIRED * self.copies.others)

    @property
    def refused(self) -> bool:
        """Whether the pool holds test images."""
        return bool(self.reason)

    @property
    def near(self) -> bool:
        """Whether the pool lies nearer to the test images than chance allows, in any space."""
        return any(each.alarm for each in self.nearness)

    @property
    def reason(self) -> str:
        """Why the pool is refused; empty if it is not."""
        copies = self.copies
        if self.comparison and self.comparison.p_value < ALPHA:
            return "more test images than unseen real images have copies in it"
        of_pool, of_test = copies.exact / max(copies.images, 1), copies.others_exact / max(copies.others, 1)
        if copies.exact >= FEWEST and max(of_pool, of_test) > MOST_EXACT:
            return (
                f"{_percent(of_pool)} of it, and {_percent(of_test)} of the test images, are identical"
                f" copies; at most {_percent(MOST_EXACT)} may be"
            )
        if copies.found >= FEWEST and copies.found > MOST_COPIES * copies.images:
            return f"more than {_percent(MOST_COPIES)} of it are copies of test images"
        return ""

    def sentences(self) -> list[str]:
        """Say what was found, and why the pool is refused if it is."""
        found = [self.copies.sentence("pool image", "test image")]
        if compared := self.comparison:
            found.append(
                f"Of {self.pairs:,} test images {compared.test_found:,} have a copy in the pool, of as many"
                f" real images that its generator has not seen {compared.unseen_found:,}"
                f" ({_chance(compared.p_value)})."
            )
        if not self.calibrated:
            found.append(
                f"Uncalibrated: there are {self.pairs or 'no'} unseen real images of the same classes to"
                f" compare with {self.copies.others:,} test images."
            )
        found += [each.sentence() for each in self.nearness]
        if self.refused:
            found.append(f"The pool holds test images: {self.reason}.")
        return found


def _percent(share: float) -> str:
    """Return a share in per cent, with a decimal where it is small.

    >>> _percent(0.5), _percent(0.034), _percent(0.01)
    ('50 %', '3.4 %', '1 %')
    """
    return f"{100 * share:.2g} %" if share < 0.095 else f"{100 * share:.0f} %"


def _chance(p_value: float) -> str:
    return f"p < {ALPHA:g}" if p_value < ALPHA else f"p = {p_value:.2g}"
