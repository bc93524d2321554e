"""Surfaces' formulas in JavaScript, translated from their Python, so that a page answers as Python does.

A formula is written once, in its surface's file. What is translated is the part of Python that formulas are
made of: arithmetic, numpy's functions of numbers, assignments, and functions of the same kind.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import math
from collections.abc import Sequence
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from mousterian.plugins import registry

# numpy's functions and the same in JavaScript; {0}, {1}, ... are the arguments.
_NUMPY = {
    **{name: f"Math.{name}({{0}})" for name in ("exp", "log", "log1p", "expm1", "tanh", "sqrt", "abs")},
    "maximum": "Math.max({0}, {1})",
    "minimum": "Math.min({0}, {1})",
    "power": "({0} ** {1})",
    "divide": "({0} / {1})",
    "greater": "({0} > {1})",
    "less": "({0} < {1})",
    "where": "({0} ? {1} : {2})",
    "asarray": "{0}",
    "logaddexp": "logaddexp({0}, {1})",
}
_BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
_COMPARED = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_COUNTS = ("n_base", "n_real_plus", "n_syn_plus")
# Names that Python allows and JavaScript does not.
_RESERVED = """
    arguments case catch const debugger default delete do enum eval export extends function implements
    instanceof interface let logaddexp new null package private protected public static super switch this
    throw typeof undefined var void
"""


class Untranslatable(Exception):  # noqa: N818 - not an error of the user's
    """A formula uses something that is not translated."""


def surfaces(names: Sequence[str]) -> str | None:
    """Return JavaScript that defines `SURFACES`: name -> {accuracy, equivalent}; None if it cannot be done.

    `accuracy(n_base, n_real_plus, n_syn_plus, $)` and `equivalent(n_base, n_real_plus, $)` take numbers and
    an array of the parameters in their order; `equivalent` is null for a surface without a closed form.

    Args:
        names: of the surfaces.
    """
    written: dict[str, str] = {}
    listed = []
    for name in names:
        plugin = registry.find("surfaces", name)
        closed_form = plugin.part("equivalent")
        try:
            accuracy = _entry(plugin.load(), written)
            equivalent = "null" if closed_form is None else _entry(closed_form, written)
        except Untranslatable:
            return None
        listed.append(f'"{name}": {{accuracy: {accuracy}, equivalent: {equivalent}}}')
    body = ",\n".join(listed)
    return "\n".join([*written.values(), f"const SURFACES = {{\n{body}\n}};"])


def _entry(function: Any, written: dict[str, str]) -> str:
    """Write a surface's function with its parameters as one array, and return its name."""
    definition = _definition(function)
    name = _name(function)
    counts = ", ".join(_COUNTS[: len(definition.args.args)])
    named = "".join(
        f"  const {argument.arg} = $[{index}];\n" for index, argument in enumerate(definition.args.kwonlyargs)
    )
    body = _Body(definition, importlib.import_module(function.__module__), written).block(definition.body)
    written[name] = f"function {name}({counts}, $) {{\n{named}{body}}}"
    return name


def _helper(function: FunctionType, written: dict[str, str]) -> str:
    """Write a function that a formula calls, unless it is there, and return its name."""
    name = _name(function)
    if name not in written:
        definition = _definition(function)
        if definition.args.kwonlyargs or definition.args.defaults:
            raise Untranslatable(name)
        arguments = ", ".join(argument.arg for argument in definition.args.args)
        module = importlib.import_module(function.__module__)
        body = _Body(definition, module, written).block(definition.body)
        written[name] = f"function {name}({arguments}) {{\n{body}}}"
    return name


def _name(function: Any) -> str:
    module = function.__module__.removeprefix("mousterian.fitting.surfaces.").replace(".", "_")
    return f"{module}_{function.__name__}"


def _definition(function: Any) -> ast.FunctionDef:
    try:
        found = ast.parse(inspect.getsource(function)).body[0]
    except (OSError, TypeError, SyntaxError) as error:
        raise Untranslatable(str(function)) from error
    if not isinstance(found, ast.FunctionDef):
        raise Untranslatable(str(function))
    if {node.id for node in ast.walk(found) if isinstance(node, ast.Name)} & set(_RESERVED.split()):
        raise Untranslatable(found.name)
    return found


class _Body:
    """A function's body, statement by statement."""

    def __init__(self, definition: ast.FunctionDef, module: ModuleType, written: dict[str, str]) -> None:
        self.module = module
        self.written = written
        arguments = (*definition.args.args, *definition.args.kwonlyargs)
        self.names = {argument.arg for argument in arguments}

    def block(self, statements: Sequence[ast.stmt]) -> str:
        return "".join(self._statement(statement) for statement in statements)

    def _statement(self, node: ast.stmt) -> str:
        match node:
            case ast.Expr(value=ast.Constant(value=str())):  # a docstring
                return ""
            case ast.With(items=[ast.withitem(context_expr=ast.Call(func=ast.Attribute(attr="errstate")))]):
                return self.block(node.body)
            case ast.Return(value=ast.expr() as value):
                return f"  return {self._value(value)};\n"
            case ast.Assign(targets=[ast.Name() | ast.Tuple() as target], value=value):
                return f"  const {self._target(target)} = {self._value(value)};\n"
        raise Untranslatable(ast.unparse(node))

    def _target(self, node: ast.expr) -> str:
        match node:
            case ast.Name(id=name):
                self.names.add(name)
                return name
            case ast.Tuple(elts=elements):
                return f"[{', '.join(self._target(each) for each in elements)}]"
        raise Untranslatable(ast.unparse(node))

    def _value(self, node: ast.expr) -> str:  # noqa: PLR0911 - one for each kind of expression
        match node:
            case ast.Constant(value=int() | float() as value):
                return repr(value)
            case ast.Name(id=name):
                return self._named(name)
            case ast.Attribute(value=ast.Name(id="np" | "math"), attr="inf"):
                return "Infinity"
            case ast.Tuple(elts=elements):
                return f"[{', '.join(map(self._value, elements))}]"
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return f"(-{self._value(operand)})"
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return f"({self._value(left)} {_BINARY[type(op)]} {self._value(right)})"
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARED:
                return f"({self._value(left)} {_COMPARED[type(op)]} {self._value(right)})"
            case ast.Call(func=function, args=arguments, keywords=[]):
                return self._call(function, [self._value(argument) for argument in arguments])
            case ast.GeneratorExp(elt=each, generators=[ast.comprehension(target=ast.Name(id=name), ifs=[])]):
                values = self._value(node.generators[0].iter)
                return f"{values}.map(({name}) => {self._value(each)})"
        raise Untranslatable(ast.unparse(node))

    def _named(self, name: str) -> str:
        """Return a name as it is, or the value of a number that the surface's file defines."""
        value = getattr(self.module, name, None)
        if name in self.names or not isinstance(value, int | float):
            return name
        if not math.isfinite(value):
            raise Untranslatable(name)
        return repr(value)

    def _call(self, function: ast.expr, arguments: list[str]) -> str:
        match function:
            case ast.Attribute(value=ast.Name(id=library), attr=name):
                template = _NUMPY.get(name) if getattr(self.module, library, None) is np else None
                if template is None or template.count("{") != len(arguments):
                    raise Untranslatable(ast.unparse(function))
                return template.format(*arguments)
            case ast.Name(id=name):
                helper = getattr(self.module, name, None)
                if isinstance(helper, FunctionType):
                    return f"{_helper(helper, self.written)}({', '.join(arguments)})"
        raise Untranslatable(ast.unparse(function))
