"""Reading a grid file: TOML to validated values, all errors at once, each with its file and line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mousterian.errors import InputError, InputErrors, nearest_or_all

T = TypeVar("T")

Count = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Positive = Annotated[int, Field(gt=0, lt=2**63, strict=True)]
Ratio = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# A plug-in by name, or a table with its name and options.
Entry = str | dict[str, Any]


class Cell(BaseModel):
    """One mixture by its sizes, for grids that are not a product of lists."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_base: Positive
    n_real_plus: Count = 0
    n_syn_plus: Count = 0
    training_seeds: list[Count] = Field([], description="instead of the grid's")


class GridFile(BaseModel):
    """The keys of a grid file. Lists multiply; a single value stands for a list of one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field("", description="the question of the study, in one sentence")
    dataset: list[Entry] = Field(description="dataset plug-in")
    imbalance: list[Annotated[float, Field(ge=1, allow_inf_nan=False)]] = Field(
        [1.0], description="size of the largest class of S_base over the smallest"
    )
    n_base: list[Positive] = Field([], description="sizes of the base training set S_base")
    n_real_plus: list[Count] = Field([], description="real images added, as counts")
    r_real: list[Ratio] = Field([], description="real images added, as ratios to n_base")
    n_syn_plus: list[Count] = Field([], description="synthetic images added, as counts")
    r_syn: list[Ratio] = Field([], description="synthetic images added, as ratios to n_base")
    design: Literal["axes", "full"] = Field(
        "axes", description="axes: base alone, real alone, synthetic alone; full: every pair of both"
    )
    cell: list[Cell] = Field([], description="mixtures by their sizes, instead of n_base and the additions")
    generator: list[Entry] = Field(
        [], description="generator plug-in, with trained_on, n_upstream, filter and its options"
    )
    model: list[Entry] = Field(description="classifier plug-in")
    strategy: list[Entry] = Field(["joint"], description="strategy plug-in")
    recipe: list[Entry] = Field(description="training recipe, with any of its values overridden")
    evaluation: list[Entry] = Field(
        ["accuracy"], description="evaluation plug-ins, all of them applied to each trained model"
    )
    training_seeds: list[Count] = Field([0, 1, 2], description="seeds of initialisation and data order")
    subset_seeds: list[Count] = Field(
        [0], description="seeds that select the images of S_base and of the additions"
    )
    generator_seeds: list[Count] = Field([0], description="seeds of the generator's training and sampling")
    allow_test_copies: bool = Field(
        False, description="run although the training set or a pool holds test images; every answer says so"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any, info: Any) -> Any:
        wants_list = str(cls.model_fields[info.field_name].annotation).startswith("list")
        return [value] if wants_list and not isinstance(value, list) else value

    @field_validator(
        *("dataset", "imbalance", "model", "strategy", "recipe", "evaluation"),
        *("training_seeds", "subset_seeds", "generator_seeds"),
    )
    @classmethod
    def _not_empty(cls, value: list[Any]) -> list[Any]:
        if not value:
            raise ValueError("the list is empty")
        return value

    @model_validator(mode="after")
    def _sizes_given_once(self) -> GridFile:
        if self.n_real_plus and self.r_real:
            raise ValueError("give n_real_plus or r_real, not both")
        if self.n_syn_plus and self.r_syn:
            raise ValueError("give n_syn_plus or r_syn, not both")
        axes = (self.n_base, self.n_real_plus, self.r_real, self.n_syn_plus, self.r_syn)
        if bool(self.cell) == bool(self.n_base):
            raise ValueError("give either n_base with its additions, or the mixtures as [[cell]]")
        if self.cell and any(axes):
            raise ValueError("[[cell]] gives all sizes: leave out n_real_plus, r_real, n_syn_plus and r_syn")
        synthetic = any(self.n_syn_plus) or any(self.r_syn) or any(each.n_syn_plus for each in self.cell)
        if synthetic and not self.generator:
            raise ValueError("synthetic images are requested, but no generator is given")
        if self.generator and not synthetic:
            raise ValueError(
                "a generator is given, but no synthetic images are requested: set r_syn or n_syn_plus"
            )
        return self


class Lines:
    """The line of each key in a TOML text, which tomllib does not report."""

    _HEADER = re.compile(r"^\s*(\[\[?)\s*([\w.\-\"' ]+?)\s*\]\]?")
    _KEY = re.compile(r"^\s*([\w\-]+)\s*=")

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[str | int, ...], int] = {}
        section: tuple[str | int, ...] = ()
        counts: dict[str, int] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if header := self._HEADER.match(line):
                name = header[2].strip("\"'")
                section = (name,)
                if header[1] == "[[":
                    counts[name] = counts.get(name, -1) + 1
                    section = (name, counts[name])
                self._lines.setdefault(section, number)
            elif key := self._KEY.match(line):
                self._lines.setdefault((*section, key[1]), number)

    def of(self, path: Sequence[str | int]) -> int | None:
        """Return the line of the longest known prefix of a key's path."""
        for end in range(len(path), 0, -1):
            whole = tuple(path[:end])
            # `[generator]` is read as a list of one, so its options have an index that the file lacks.
            flat = tuple(part for part in whole if not isinstance(part, int))
            if line := self._lines.get(whole) or self._lines.get(flat):
                return line
        return None


class Source:
    """A grid file's path and lines, which errors refer to."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._lines = Lines(text)

    def where(self, key: Sequence[str | int]) -> str:
        """Return `FILE:LINE` of a key."""
        line = self._lines.of(key)
        return f"{self.path}:{line}" if line else str(self.path)


def read(path: Path) -> tuple[GridFile, Source]:
    """Read and check a grid file.

    Raises:
        InputErrors: everything that is wrong in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise InputError(f"cannot read the grid file ({error.strerror})", where=str(path)) from None
    except UnicodeDecodeError:
        raise InputError("a grid file is UTF-8 text; this is not", where=str(path)) from None
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        place = f"{path}:{line[1]}" if line else str(path)
        raise InputError(f"not TOML: {error}", where=place) from None
    source = Source(path, text)
    try:
        return GridFile.model_validate(values), source
    except ValidationError as error:
        raise InputErrors(_explain(error.errors(), source)) from None


def _explain(errors: Sequence[Any], source: Source) -> Iterator[InputError]:
    reported = set()
    for error in errors:
        # pydantic appends the branch of a union that it tried, which no file has.
        path = [part for i, part in enumerate(error["loc"]) if not i or part not in {"str", "dict[str,any]"}]
        key = str(path[0]) if path else ""
        where = source.where(path) if path else str(source.path)
        if error["type"] == "extra_forbidden":
            known = GridFile.model_fields if len(path) == 1 else Cell.model_fields
            message = f"unknown key {path[-1]!r}; {nearest_or_all(str(path[-1]), known)}"
        elif error["type"] == "missing":
            about = GridFile.model_fields[key].description if len(path) == 1 else f"in [[{key}]]"
            message = f"the key {path[-1]!r} is missing ({about})"
        else:
            reason = error["msg"].removeprefix("Value error, ")
            given = f", not {error['input']!r}" if path and not isinstance(error["input"], Mapping) else ""
            message = f"{key}: {reason}{given}" if key else reason
        if (where, message) not in reported:
            reported.add((where, message))
            yield InputError(message, where=where)


class ErrorCollector:
    """Collects input errors, to report them all at once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: dict[str, InputError] = {}

    def attempt(self, key: Sequence[str | int], make: Callable[[], T]) -> T | None:
        """Call `make`; collect its input errors, located at a key of the file, and return None instead."""
        try:
            return make()
        except InputErrors as errors:
            for error in errors.errors:
                self._add(key, error)
        except InputError as error:
            self._add(key, error)
        return None

    def _add(self, key: Sequence[str | int], error: InputError) -> None:
        located = InputError(error.what, where=error.where or self._source.where(key), hint=error.hint)
        self._found[str(located)] = located

    def raise_all(self) -> None:
        """Raise the collected errors, if there are any."""
        if self._found:
            raise InputErrors(self._found.values())
