"""Fits as JSON: rows, surfaces and draws, so that a saved fit answers as the fresh one does."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mousterian.answers.formula import nearest_formula
from mousterian.answers.improvement_ratio import improvement_ratio
from mousterian.answers.improvement_ratio import to_json as ratio_json
from mousterian.errors import InputError
from mousterian.files import write_atomically
from mousterian.fitting import surface as surfaces
from mousterian.fitting.arms import apart
from mousterian.fitting.extrapolation import Extrapolation
from mousterian.fitting.interval import Interval, rounded
from mousterian.fitting.measured_range import MeasuredRange
from mousterian.fitting.model_average import Member, ModelAverage
from mousterian.fitting.result import Fit, SurfaceFit

FORMAT, VERSION = "mousterian fit", 1


def to_json(fit: Fit) -> dict[str, Any]:
    """Return a fit's JSON; the keys before `data` are the stable, documented ones."""
    equation = nearest_formula(fit)
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": fit.name,
        "labels": dict(fit.labels),
        "settings": dict(fit.settings),
        "surface": fit.surface,
        "surfaces": [_surface_json(each) for each in fit.surfaces],
        "outliers": [
            {**{name: rounded(value) for name, value in row.items()}, "z": rounded(z), "reason": reason}
            for row, z, reason in fit.outliers
        ],
        "equivalence": equation.to_json() if equation else None,
        "ratio": ratio_json(improvement_ratio(fit)),
        "components": {name: rounded(value) for name, value in fit.components.items()},
        "warnings": list(fit.warnings),
        "data": {name: [_plain(value) for value in fit.data[name].tolist()] for name in fit.data},
        "reach": {"n_syn_plus": fit.averaged.most_synthetic, "n_real_plus": fit.averaged.most_real},
        "draws": {
            member.surface.name: {
                "weight": member.weight,
                "best": member.theta.tolist(),
                "draws": member.draws.tolist(),
            }
            for member in fit.averaged.members
        },
        "beyond": _beyond_json(fit.averaged.beyond) if fit.averaged.beyond else None,
    }


def _beyond_json(beyond: Extrapolation) -> dict[str, Any]:
    """Return what counts past the measured range; the range itself follows from the rows."""
    return {
        "surfaces": {
            surface.name: {"weight": weight, "best": theta.tolist(), "slopes": slopes}
            for surface, weight, theta, slopes in zip(
                beyond.surfaces, beyond.weights.tolist(), beyond.thetas, beyond.slopes.tolist(), strict=True
            )
        },
        "choice": beyond.choice.tolist(),
        "shocks": beyond.shocks.tolist(),
    }


def _beyond(found: Mapping[str, Any], data: pd.DataFrame) -> Extrapolation:
    listed = found["surfaces"]
    return Extrapolation(
        measured=MeasuredRange.of(data),
        surfaces=tuple(surfaces.load(name) for name in listed),
        thetas=tuple(np.array(each["best"], dtype=float) for each in listed.values()),
        weights=np.array([each["weight"] for each in listed.values()]),
        slopes=np.array([each["slopes"] for each in listed.values()]),
        choice=np.array(found["choice"]),
        shocks=np.array(found["shocks"]),
    )


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _surface_json(found: SurfaceFit) -> dict[str, Any]:
    return {
        "name": found.name,
        "weight": rounded(found.weight),
        "aicc": rounded(found.aicc),
        "cv_rmse": rounded(found.cv_rmse),
        "rmse": rounded(found.rmse),
        "parameters": {name: value.to_json() for name, value in found.parameters.items()},
        "unidentified": list(found.unidentified),
        "foretold": dict(zip(("real", "synthetic"), map(rounded, found.foretold), strict=True)),
        "latex": found.latex,
    }


def from_json(found: Mapping[str, Any]) -> Fit:
    """Return the fit that `to_json` wrote.

    Raises:
        InputError: it is not a fit, or one of a newer kind.
    """
    if not isinstance(found, Mapping) or found.get("format") != FORMAT:
        raise InputError("this is not a saved fit", hint="`mousterian fit TABLE --out FILE` writes one")
    if found["version"] > VERSION:
        raise InputError(f"this fit is of a newer kind ({found['version']}; this mousterian knows {VERSION})")
    _refuse_other_formulas(found)
    members = tuple(
        Member(
            surface := surfaces.load(name),
            kept["weight"],
            np.array(kept["best"], dtype=float),
            np.array(kept["draws"], dtype=float).reshape(-1, len(surface.parameters)),
        )
        for name, kept in found["draws"].items()
    )
    types = {name: float for name in found["data"] if name != "reason"} | {"outlier": bool}
    data = pd.DataFrame(found["data"]).astype(types)
    reach = found["reach"]
    beyond = _beyond(found["beyond"], data) if found["beyond"] else None
    return Fit(
        name=found["name"],
        labels=found["labels"],
        data=data,
        surfaces=tuple(_surface_fit(each) for each in found["surfaces"]),
        components={name: _number(value) for name, value in found["components"].items()},
        warnings=tuple(found["warnings"]),
        settings=found["settings"],
        averaged=ModelAverage(members, reach["n_syn_plus"], reach["n_real_plus"], beyond),
    )


def _refuse_other_formulas(found: Mapping[str, Any]) -> None:
    """Refuse a fit whose draws are of parameters that a surface of that name has no longer."""
    known = {each["name"]: tuple(each["parameters"]) for each in found["surfaces"]}
    for name in found["draws"]:
        if known[name] != surfaces.load(name).parameters:
            raise InputError(
                f"this fit holds {name} with the parameters {', '.join(known[name])}, and that surface now"
                f" has {', '.join(surfaces.load(name).parameters)}",
                hint="fit the table again",
            )


def _surface_fit(found: Mapping[str, Any]) -> SurfaceFit:
    return SurfaceFit(
        name=found["name"],
        weight=found["weight"],
        aicc=math.inf if found["aicc"] is None else found["aicc"],
        cv_rmse=_number(found["cv_rmse"]),
        rmse=found["rmse"],
        parameters={name: Interval.from_json(value) for name, value in found["parameters"].items()},
        latex=found["latex"],
        unidentified=tuple(found["unidentified"]),
        foretold=(_number(found["foretold"]["real"]), _number(found["foretold"]["synthetic"])),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def write(fit: Fit, path: Path) -> None:
    """Write a fit to a file, whole or not at all."""
    # A line for each top-level key: short, and yet a person can look into the file.
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(',', ':'))}"
        for key, value in to_json(fit).items()
    ]
    write_atomically(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def read(path: Path) -> Fit:
    """Read a fit from a JSON file.

    Raises:
        InputError: there is no such file, or it is not a fit.
    """
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(
            "no such fit", where=str(path), hint="`mousterian fit TABLE --out FILE` writes one"
        ) from None
    except InputError as error:
        raise InputError(error.what, where=error.where or str(path), hint=error.hint) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        # A key that is missing says only its name; a file that is no text would be told byte by byte.
        told = f"{error!r}" if isinstance(error, KeyError) else f"{error}"
        raise InputError(f"not a readable fit ({told})", where=str(path)) from error


def found(given: Sequence[Path], folder: Path) -> list[Path]:
    """Return the fits given, or all those in the folder.

    Raises:
        InputError: there is none.
    """
    paths = list(given) or sorted(folder.glob("*.json"))
    if not paths:
        raise InputError(
            "no fits here", where=str(folder), hint="run `mousterian fit` first, or name a fit's file"
        )
    return paths


def read_all(paths: Sequence[Path]) -> list[Fit]:
    """Return saved fits, with the options in which they differ in their names where several have one.

    Raises:
        InputError: one is not there, or no fit.
    """
    fits = [read(path) for path in paths]
    names = apart([each.name for each in fits], [each.labels for each in fits], whole=True)
    return [replace(each, name=name) for each, name in zip(fits, names, strict=True)]
