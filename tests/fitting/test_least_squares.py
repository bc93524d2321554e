"""The batched optimiser against NIST's certified nonlinear least-squares problems (StRD)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import curve_fit

from mousterian.fitting.least_squares import Model, minimise

PROBLEMS = json.loads((Path(__file__).parent / "nist_strd.json").read_text())


def exponentials(b: Any, x: Any) -> Any:
    return b[0] * np.exp(-b[1] * x) + b[2] * np.exp(-b[3] * x) + b[4] * np.exp(-b[5] * x)


def peaks(b: Any, x: Any) -> Any:
    first = b[2] * np.exp(-((x - b[3]) ** 2) / b[4] ** 2)
    return b[0] * np.exp(-b[1] * x) + first + b[5] * np.exp(-((x - b[6]) ** 2) / b[7] ** 2)


def cubic_ratio(b: Any, x: Any) -> Any:
    return (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)


def cycles(b: Any, x: Any) -> Any:
    total = b[0] + b[1] * np.cos(2 * np.pi * x / 12) + b[2] * np.sin(2 * np.pi * x / 12)
    for i in (3, 6):
        total = total + b[i + 1] * np.cos(2 * np.pi * x / b[i]) + b[i + 2] * np.sin(2 * np.pi * x / b[i])
    return total


MODELS: dict[str, Callable[[Any, Any], Any]] = {
    "Bennett5": lambda b, x: b[0] * (b[1] + x) ** (-1 / b[2]),
    "BoxBOD": lambda b, x: b[0] * (1 - np.exp(-b[1] * x)),
    "Chwirut1": lambda b, x: np.exp(-b[0] * x) / (b[1] + b[2] * x),
    "Chwirut2": lambda b, x: np.exp(-b[0] * x) / (b[1] + b[2] * x),
    "DanWood": lambda b, x: b[0] * x ** b[1],
    "ENSO": cycles,
    "Eckerle4": lambda b, x: (b[0] / b[1]) * np.exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
    "Gauss1": peaks,
    "Gauss2": peaks,
    "Gauss3": peaks,
    "Hahn1": cubic_ratio,
    "Kirby2": lambda b, x: (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2),
    "Lanczos1": exponentials,
    "Lanczos2": exponentials,
    "Lanczos3": exponentials,
    "MGH09": lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "MGH10": lambda b, x: b[0] * np.exp(b[1] / (x + b[2])),
    "MGH17": lambda b, x: b[0] + b[1] * np.exp(-x * b[3]) + b[2] * np.exp(-x * b[4]),
    "Misra1a": lambda b, x: b[0] * (1 - np.exp(-b[1] * x)),
    "Misra1b": lambda b, x: b[0] * (1 - (1 + b[1] * x / 2) ** -2),
    "Misra1c": lambda b, x: b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5),
    "Misra1d": lambda b, x: b[0] * b[1] * x / (1 + b[1] * x),
    "Rat42": lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)),
    "Rat43": lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)) ** (1 / b[3]),
    "Roszman1": lambda b, x: b[0] - b[1] * x - np.arctan(b[2] / (x - b[3])) / np.pi,
    "Thurber": cubic_ratio,
}


def model_of(formula: Callable[[Any, Any], Any], x: Any) -> Model:
    """Differentiate by complex step, as the engine does for a surface without a gradient."""

    def evaluate(unknowns: Any) -> tuple[Any, Any]:
        count, size = unknowns.shape
        jacobian = np.empty((count, size, len(x)))
        for i in range(size):
            moved = unknowns.astype(complex)
            moved[:, i] += 1e-30j
            jacobian[:, i] = np.imag(formula(moved.T[:, :, None], x)) / 1e-30
        return formula(unknowns.T[:, :, None], x), jacobian

    return evaluate


def solve(name: str, starts: list[list[float]]) -> Any:
    problem = PROBLEMS[name]
    x, y = np.array(problem["x"]), np.array(problem["y"])
    return minimise(
        model_of(MODELS[name], x), y, np.ones(len(y)), np.array(starts), iterations=3000, tolerance=1e-15
    )


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_nist_certified_values(name: str) -> None:
    problem = PROBLEMS[name]
    found = solve(name, [problem["start1"], problem["start2"]])
    best = int(np.argmin(found.loss))
    # Lanczos1 is exact data: its certified residuals (1e-25) are rounding.
    if problem["residual_sum_of_squares"] > 1e-20:
        assert found.loss[best] == pytest.approx(problem["residual_sum_of_squares"], rel=1e-8)
    np.testing.assert_allclose(found.unknowns[best], problem["certified"], rtol=1e-6)


def test_problems_in_one_batch_do_not_touch_each_other() -> None:
    problem = PROBLEMS["Misra1a"]
    alone = [solve("Misra1a", [start]).unknowns[0] for start in (problem["start1"], problem["start2"])]
    together = solve("Misra1a", [problem["start1"], problem["start2"]]).unknowns
    np.testing.assert_array_equal(together, np.array(alone))


def test_agrees_with_scipy_on_weighted_problems() -> None:
    problem = PROBLEMS["Chwirut2"]
    x, y = np.array(problem["x"]), np.array(problem["y"])
    weights = 1 / (0.5 + x)
    found = minimise(
        model_of(MODELS["Chwirut2"], x), y, weights, np.array([problem["start2"]]), tolerance=1e-14
    )
    expected, _ = curve_fit(
        lambda x, *b: MODELS["Chwirut2"](b, x),
        x,
        y,
        problem["start2"],
        sigma=weights**-0.5,
        xtol=1e-14,
        ftol=1e-14,
    )
    np.testing.assert_allclose(found.unknowns[0], expected, rtol=1e-6)


def test_convergence_does_not_depend_on_the_number_of_rows() -> None:
    """A mean loss would stop early on a long table; a summed one ends at the same place."""
    problem = PROBLEMS["Misra1b"]
    x, y = np.tile(problem["x"], 200), np.tile(problem["y"], 200)
    found = minimise(model_of(MODELS["Misra1b"], x), y, np.full(len(y), 1e-4), np.array([problem["start1"]]))
    np.testing.assert_allclose(found.unknowns[0], problem["certified"], rtol=1e-5)


def test_cauchy_loss_is_not_bent_by_gross_outliers() -> None:
    x = np.linspace(0, 1, 40)
    y = 2 + 3 * x + 0.01 * np.sin(40 * x)
    y[[5, 20]] += 50
    line = model_of(lambda b, x: b[0] + b[1] * x, x)
    start, weights = np.array([[0.0, 0.0]]), np.ones(40)
    plain = minimise(line, y, weights, start)
    robust = minimise(line, y, weights, plain.unknowns, scale=np.array([0.01]), iterations=200)
    np.testing.assert_allclose(robust.unknowns[0], [2, 3], atol=0.02)
    assert abs(plain.unknowns[0, 0] - 2) > 1
