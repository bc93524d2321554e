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
from mousterian.fitting.arms import distinct_names
from mousterian.fitting.extrapolation import Extrapolation
from mousterian.fitting.interval import Interval, rounded
from mousterian.fitting.measured_range import MeasuredRange
from mousterian.fitting.model_average import Member, ModelAverage
from mousterian.fitting.noise import noise_is_known
from mousterian.fitting.population import Levels
from mousterian.fitting.result import Fit, SurfaceFit
from mousterian.fitting.table import TRAINED_ON_SUBSET

FORMAT, VERSION = "mousterian fit", 2


def to_json(fit: Fit) -> dict[str, Any]:
    """Return a fit's JSON; the keys before `data` are stable and documented."""
    formula, extrapolation = nearest_formula(fit), fit.averaged.extrapolation
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
        "formula": formula.to_json() if formula else None,
        "ratio": ratio_json(improvement_ratio(fit)),
        "components": {name: rounded(value) for name, value in fit.components.items()},
        "test_set_share": rounded(fit.test_set_share),
        "conditional": fit.conditional,
        "warnings": list(fit.warnings),
        "leaks": list(fit.leaks),
        "data": {name: [_plain(value) for value in fit.data[name].tolist()] for name in fit.data},
        "search_limits": {"n_syn_plus": fit.averaged.most_synthetic, "n_real_plus": fit.averaged.most_real},
        "draws": {
            member.surface.name: {
                "weight": member.weight,
                "best": member.theta.tolist(),
                "draws": member.draws.tolist(),
            }
            for member in fit.averaged.members
        },
        "extrapolation": _extrapolation_json(extrapolation) if extrapolation else None,
    }


def _extrapolation_json(extrapolation: Extrapolation) -> dict[str, Any]:
    """Return the extrapolation's parameters; the measured range itself follows from the rows."""
    return {
        "surfaces": {
            surface.name: {"weight": weight, "best": theta.tolist(), "slopes": slopes}
            for surface, weight, theta, slopes in zip(
                extrapolation.surfaces,
                extrapolation.weights.tolist(),
                extrapolation.thetas,
                extrapolation.slopes.tolist(),
                strict=True,
            )
        },
        "choice": extrapolation.choice.tolist(),
        "shocks": extrapolation.shocks.tolist(),
    }


def _extrapolation(found: Mapping[str, Any], data: pd.DataFrame) -> Extrapolation:
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
        "extrapolation_error": dict(
            zip(("real", "synthetic"), map(rounded, found.extrapolation_error), strict=True)
        ),
        "latex": found.latex,
    }


def from_json(found: Mapping[str, Any]) -> Fit:
    """Return the fit that `to_json` wrote.

    Raises:
        InputError: it is not a fit, or a newer mousterian has written it.
    """
    if not isinstance(found, Mapping) or found.get("format") != FORMAT:
        raise InputError("this is not a saved fit", hint="`mousterian fit TABLE --out FILE` writes one")
    if found["version"] > VERSION:
        raise InputError(
            f"written by a newer mousterian (fit version {found['version']}, this one reads up to {VERSION})",
            hint="update mousterian",
        )
    found = _upgraded(found)
    _refuse_other_formulas(found)
    members = tuple(
        Member(
            surface := surfaces.load(name),
            saved["weight"],
            np.array(saved["best"], dtype=float),
            np.array(saved["draws"], dtype=float).reshape(-1, len(surface.parameters)),
        )
        for name, saved in found["draws"].items()
    )
    types = {name: float for name in found["data"] if name != "reason"} | {"outlier": bool}
    data = pd.DataFrame(found["data"]).astype(types)
    limits = found["search_limits"]
    extrapolation = _extrapolation(found["extrapolation"], data) if found["extrapolation"] else None
    conditional = found.get("conditional")
    if conditional is None:
        nested = found["labels"].get("trained_on") in TRAINED_ON_SUBSET
        conditional = Levels.of(data, nested=nested).conditional
    return Fit(
        name=found["name"],
        labels=found["labels"],
        data=data,
        surfaces=tuple(_surface_fit(each) for each in found["surfaces"]),
        components={name: _number(value) for name, value in found["components"].items()},
        warnings=tuple(found["warnings"]),
        leaks=tuple(found.get("leaks", ())),
        settings=found["settings"],
        averaged=ModelAverage(
            members,
            limits["n_syn_plus"],
            limits["n_real_plus"],
            extrapolation,
            noise_is_known(data, len(found["surfaces"][0]["parameters"])),
        ),
        conditional=conditional,
        test_set_share=_number(found.get("test_set_share")),
    )


def _upgraded(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a saved fit under the keys of this version."""
    if found["version"] == VERSION:
        return found
    fitted = [{**each, "extrapolation_error": each["foretold"]} for each in found["surfaces"]]
    return {
        **found,
        "surfaces": fitted,
        "search_limits": found["reach"],
        "extrapolation": found["beyond"],
    }


def _refuse_other_formulas(found: Mapping[str, Any]) -> None:
    """Refuse a fit whose surfaces have other parameters than the installed ones of the same names."""
    known = {each["name"]: tuple(each["parameters"]) for each in found["surfaces"]}
    for name in found["draws"]:
        if known[name] != surfaces.load(name).parameters:
            raise InputError(
                f"its surface {name!r} has the parameters {', '.join(known[name])}, the installed one"
                f" {', '.join(surfaces.load(name).parameters)}",
                hint="fit the table again",
            )


def _surface_fit(found: Mapping[str, Any]) -> SurfaceFit:
    error = found["extrapolation_error"]
    return SurfaceFit(
        name=found["name"],
        weight=found["weight"],
        aicc=math.inf if found["aicc"] is None else found["aicc"],
        cv_rmse=_number(found["cv_rmse"]),
        rmse=found["rmse"],
        parameters={name: Interval.from_json(value) for name, value in found["parameters"].items()},
        latex=found["latex"],
        unidentified=tuple(found["unidentified"]),
        extrapolation_error=(_number(error["real"]), _number(error["synthetic"])),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def write(fit: Fit, path: Path) -> None:
    """Write a fit to a file, whole or not at all."""
    # One line per top-level key: compact, but still readable.
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
        # str() of a KeyError is the bare key; repr() of a UnicodeDecodeError holds the whole file.
        reason = f"{error!r}" if isinstance(error, KeyError) else f"{error}"
        raise InputError(f"not a readable fit ({reason})", where=str(path)) from error


def fit_paths(given: Sequence[Path], folder: Path) -> list[Path]:
    """Return the files of the fits given, or of all fits in the folder.

    Raises:
        InputError: there is none.
    """
    paths = list(given) or sorted(folder.glob("*.json"))
    if not paths:
        raise InputError(
            "no fits here", where=str(folder), hint="run `mousterian fit` first, or name a fit's file"
        )
    return paths


def read_fits(paths: Sequence[Path]) -> list[Fit]:
    """Return saved fits; those of one name get the options in which they differ added to it.

    Raises:
        InputError: a file is missing, or is not a fit.
    """
    fits = [read(path) for path in paths]
    names = distinct_names([each.name for each in fits], [each.labels for each in fits], whole=True)
    return [replace(each, name=name) for each, name in zip(fits, names, strict=True)]
