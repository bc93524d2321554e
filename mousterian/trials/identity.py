"""A trial and its identity: the hash of all that decides its result. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from mousterian.plugins.choice import Choice
from mousterian.seeds import canonical, digest, text_digest
from mousterian.synthesis.filter_scores import FilterSpec
from mousterian.synthesis.pool_identity import BASE, ELSEWHERE, PoolIdentity

TRIAL_VERSION = 1  # raised whenever the same identity would give another result


@dataclass(frozen=True)
class DatasetChoice(Choice):
    """A dataset and its unseen classes, of which a mixture has no real images, sorted by name."""

    unseen: tuple[str, ...] = ()

    def _with_unseen(self, values: Mapping[str, Any]) -> str:
        return canonical({**values, "unseen_classes": list(self.unseen)} if self.unseen else dict(values))

    @cached_property
    def text(self) -> str:
        """The dataset and its unseen classes as JSON text; `describe`, and so pools, leave the split out."""
        return self._with_unseen(self.describe())

    @cached_property
    def json(self) -> str:
        """The options, with the unseen classes where there are any, as JSON text."""
        return self._with_unseen(self.options)


@dataclass(frozen=True)
class GeneratorChoice(Choice):
    """A generator, what it is trained on, its seed, and the filters that its images must pass."""

    trained_on: str = BASE
    n_upstream: int = 0
    seed: int = 0
    filters: tuple[Choice, ...] = ()

    @cached_property
    def text(self) -> str:
        """The generator, what it is trained on and its filters, without its seed, as JSON text."""
        filters = [[each.describe() for each in self.filters]] if self.filters else []
        return canonical([self.describe(), self.trained_on, self.n_upstream, *filters])

    @cached_property
    def json(self) -> str:
        """The options, with the filters under `filter` as in a grid file, as JSON text."""
        filters = {"filter": [{"name": f.name, **f.options} for f in self.filters]} if self.filters else {}
        return canonical({**self.options, **filters})


class _ByIdentity:
    """A mapping as a key of a cache, compared by object identity, not by value."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def __hash__(self) -> int:
        return id(self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.values is other.values


@lru_cache(maxsize=256)
def _shared_text(values: _ByIdentity) -> str:
    """Return the JSON text of a recipe, which many trials share, without what does not affect the result."""
    return canonical({name: value for name, value in values.values.items() if name != "devices"})


@dataclass(frozen=True)
class Trial:
    """One training run of one cell with one seed: all that decides its result."""

    dataset: DatasetChoice
    imbalance: float
    n_base: int
    n_real_plus: int
    n_syn_plus: int
    generator: GeneratorChoice | None
    model: Choice
    strategy: Choice
    recipe: Mapping[str, Any]
    evaluations: tuple[Choice, ...]
    subset_seed: int
    training_seed: int
    allow_test_copies: bool = False  # whether it runs at all; it is no part of the identity

    def pool(self) -> PoolIdentity | None:
        """Return the identity of the pool that the synthetic images come from."""
        return self._pool

    @cached_property
    def _pool(self) -> PoolIdentity | None:
        generator = self.generator
        if generator is None:
            return None
        return PoolIdentity(
            generator=generator.name,
            options=generator.options,
            stamp=generator.stamp,
            seed=generator.seed,
            trained_on=generator.trained_on,
            dataset=self.dataset.describe(),
            subset_seed=0 if generator.trained_on == ELSEWHERE else self.subset_seed,
            imbalance=self.imbalance if generator.trained_on == BASE else 1.0,
            n_base=self.n_base if generator.trained_on == BASE else 0,
            n_upstream=generator.n_upstream,
            revision=generator.revision,
        )

    @cached_property
    def filter_specs(self) -> tuple[FilterSpec, ...]:
        """The filters of the pool, with the real images that they see: S_base."""
        base = {
            "dataset": self.dataset.describe(),
            "subset_seed": self.subset_seed,
            "imbalance": self.imbalance,
            "n_base": self.n_base,
        }
        if self.dataset.unseen:
            base["unseen_classes"] = list(self.dataset.unseen)
        filters = self.generator.filters if self.generator else ()
        return tuple(FilterSpec(each.name, each.options, each.stamp, base, each.revision) for each in filters)

    @cached_property
    def source_key(self) -> str:
        """The source of the synthetic images: the pool's hash, or that of the filtered pool."""
        pool = self.pool()
        if pool is None or not self.filter_specs:
            return pool.key if pool else ""
        return digest([pool.key, *(spec.key for spec in self.filter_specs)])

    @property
    def recipe_text(self) -> str:
        """Every value of the recipe that affects the result, as JSON text."""
        return _shared_text(_ByIdentity(self.recipe))

    # A grid may have a hundred thousand trials made of a few choices. So a choice's text is made once, and a
    # cell's text is shared by its trials; together they are the text that `canonical` gives for the whole
    # trial, with its keys in order.
    @cached_property
    def _around_seeds(self) -> tuple[str, str]:
        """All that defines the trial but its seeds, as JSON text: the parts before and after the seeds."""
        generator = self.generator.text if self.generator else "null"
        before = (
            f'{{"dataset":{self.dataset.text},"evaluations":[{",".join([e.text for e in self.evaluations])}],'
            f'"generator":{generator},"imbalance":{self.imbalance!r},"model":{self.model.text},'
            f'"n_base":{self.n_base},"n_real_plus":{self.n_real_plus},"n_syn_plus":{self.n_syn_plus},'
            f'"recipe":{self.recipe_text},'
        )
        return before, f'"strategy":{self.strategy.text},"version":{TRIAL_VERSION}}}'

    def with_seed(self, training_seed: int) -> Trial:
        """Return the trial of the same cell with another training seed."""
        other = replace(self, training_seed=training_seed)
        vars(other)["_around_seeds"] = self._around_seeds  # the trials of a cell share one text
        return other

    @property
    def cell_text(self) -> str:
        """All that defines the trial but its seeds, as JSON text."""
        return "".join(self._around_seeds)

    @cached_property
    def cell_key(self) -> str:
        """The cell's hash: 16 hexadecimal digits of all that defines the trial but its seeds."""
        return text_digest(self.cell_text)

    @cached_property
    def key(self) -> str:
        """The trial's hash: 16 hexadecimal digits of all that decides its result."""
        generator_seed = self.generator.seed if self.generator else 0
        before, after = self._around_seeds
        seeds = f'"seeds":[{self.subset_seed},{self.training_seed},{generator_seed}],'
        return text_digest(f"{before}{seeds}{after}")

    @property
    def label(self) -> str:
        """The trial in a few words, for messages."""
        source = f" of {self.generator.name}/{self.generator.trained_on}" if self.generator else ""
        return (
            f"{self.dataset.name} {self.model.name} base {self.n_base} + real {self.n_real_plus}"
            f" + synthetic {self.n_syn_plus}{source}, seed {self.training_seed}"
        )
