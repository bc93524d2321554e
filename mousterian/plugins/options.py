"""An option of a plug-in, and the types that it may have beside Python's own."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

# Types of options with a range, so that a value outside it is refused before anything runs.
Positive = typing.Annotated[int, Field(ge=1)]
AboveZero = typing.Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = typing.Annotated[float, Field(ge=0, allow_inf_nan=False)]
# Names that an option's annotation may use, beside Python's own.
_RANGES = {"Positive": Positive, "AboveZero": AboveZero, "NotNegative": NotNegative}
_TYPES = {**vars(typing), "Path": Path, **_RANGES}


@dataclass(frozen=True)
class Option:
    """One keyword-only argument of a plug-in: an option in the grid file."""

    name: str
    annotation: str
    default: Any
    required: bool

    def check(self, value: Any) -> Any:
        """Return `value` as the option's type (an int may stand for a float), or raise ValueError."""
        try:
            adapter = TypeAdapter(eval(self.annotation, dict(_TYPES)), config=ConfigDict(strict=False))  # noqa: S307
        except NameError:
            return value
        if isinstance(value, bool) and "bool" not in self.annotation:
            raise ValueError(f"{value} is not {self.annotation}")
        if isinstance(value, str) and not any(part in self.annotation for part in ("str", "Literal", "Path")):
            raise ValueError(f"{value!r} is not {self.annotation}")
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(f"{value!r} is not {self.annotation} ({error.errors()[0]['msg']})") from None
