"""Small changes of a module's code, each of which some test should notice.

Left alone are texts, annotations, what is only for the type checker, log lines, and what a `raise` says.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any

_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_NAMES = {
    "all": "any",
    "any": "all",
    "argmax": "argmin",
    "argmin": "argmax",
    "ceil": "floor",
    "first": "last",
    "floor": "ceil",
    "head": "tail",
    "last": "first",
    "max": "min",
    "maximum": "minimum",
    "mean": "sum",
    "min": "max",
    "minimum": "maximum",
    "std": "var",
    "sum": "mean",
    "tail": "head",
}
# The order of their arguments is none, or that of columns.
_SYMMETRIC = {
    "agg",
    "col",
    "drop",
    "filter",
    "max",
    "maximum",
    "mean_absolute_error",
    "min",
    "minimum",
    "root_mean_squared_error",
    "select",
    "with_columns",
}
_LEFT_ALONE = {"annotation", "returns", "decorator_list", "type_comment"}

Place = tuple[ast.AST, Callable[[ast.AST], None], str]


@dataclass(frozen=True)
class Mutation:
    """A change of one place: the function it is in, the line of source, and what was put for what."""

    function: str
    line: str
    change: str

    @property
    def name(self) -> str:
        """What the list of survivors calls it; it outlives other changes of the module."""
        return f"{self.function}: {self.line}  [{self.change}]"


@dataclass(frozen=True)
class Mutant(Mutation):
    """A mutation, and the module's code with it."""

    code: CodeType


def mutants(path: Path) -> Iterator[Mutant]:
    """Each mutant of the module at `path`, from top to bottom."""
    source = path.read_text()
    tree = ast.parse(source)
    for mutation in _mutated(tree, source.splitlines()):
        code = compile(ast.fix_missing_locations(tree), str(path), "exec")
        yield Mutant(mutation.function, mutation.line, mutation.change, code)


def names(path: Path) -> list[str]:
    """The names of the mutants of the module at `path`, without their code, which takes longer."""
    source = path.read_text()
    return [mutation.name for mutation in _mutated(ast.parse(source), source.splitlines())]


def _mutated(tree: ast.Module, lines: Sequence[str]) -> Iterator[Mutation]:
    """Each mutation of `tree`, which has it until the next one is asked for."""
    seen: Counter[str] = Counter()
    for node, replace, function in _places(tree, "module"):
        for changed in _changes(node):
            line = lines[getattr(node, "lineno", 1) - 1].strip()
            change = _difference(node, changed)
            seen[f"{function}{line}{change}"] += 1
            number = seen[f"{function}{line}{change}"]
            replace(ast.copy_location(changed, node))
            yield Mutation(function, line, change if number == 1 else f"{change}, number {number}")
            replace(node)


def _places(parent: ast.AST, function: str) -> Iterator[Place]:
    """All nodes below `parent` that may be changed, with what puts another in their place."""
    for field, value in ast.iter_fields(parent):
        if field in _LEFT_ALONE:
            continue
        if isinstance(value, ast.AST):
            yield from _place(value, partial(setattr, parent, field), function)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, ast.AST):
                    yield from _place(item, partial(value.__setitem__, number), function)


def _place(node: ast.AST, replace: Callable[[Any], None], function: str) -> Iterator[Place]:
    if _is_left_alone(node):
        return
    inner = function
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        inner = node.name if function == "module" else f"{function}.{node.name}"
    yield node, replace, function
    if not isinstance(node, ast.Raise):
        yield from _places(node, inner)


def _is_left_alone(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.Expr):
        text = ast.unparse(node)
        return isinstance(node.value, ast.Constant) or text.startswith(("log.", "self.log."))
    # `zip(…, strict=True)` asserts what no test can break.
    return isinstance(node, ast.Import | ast.ImportFrom) or (
        isinstance(node, ast.keyword) and node.arg == "strict"
    )


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand for a node."""
    match node:
        case ast.BinOp(left, operator, right) | ast.AugAssign(left, operator, right) if (
            type(operator) in _OPERATORS and not _is_text(left) and not _is_text(right)
        ):
            changed = copy(node)
            changed.op = _OPERATORS[type(operator)]()
            yield changed
        case ast.Compare(left, [operator], right):
            for other in _COMPARISONS[type(operator)]:
                yield ast.Compare(left, [other()], right)
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
        case ast.UnaryOp(_, operand):
            yield operand
        case ast.Constant(value):
            yield from _other_constants(value)
        case ast.Attribute(value, name, context) if name in _NAMES:
            yield ast.Attribute(value, _NAMES[name], context)
        case ast.Call(function, [first, second, *others], keywords) if not _is_symmetric(function):
            if not any(isinstance(argument, ast.Starred) or _is_text(argument) for argument in (first, second)):
                yield ast.Call(function, [second, first, *others], keywords)
        case ast.Call(ast.Name(name), arguments, keywords) if name in _NAMES:
            yield ast.Call(ast.Name(_NAMES[name], ast.Load()), arguments, keywords)
        case ast.IfExp(test, body, otherwise):
            yield ast.IfExp(test, otherwise, body)
        case ast.If(test, body, otherwise) | ast.While(test, body, otherwise):
            yield type(node)(ast.UnaryOp(ast.Not(), test), body, otherwise)
        case ast.Return(value) if value is not None and not (
            isinstance(value, ast.Constant) and value.value is None
        ):
            yield ast.Return(ast.Constant(None))
        case ast.Raise() | ast.Expr(ast.Call()):
            yield ast.Pass()


def _other_constants(value: object) -> Iterator[ast.Constant]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_symmetric(function: ast.AST) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in _SYMMETRIC


def _difference(node: ast.AST, changed: ast.AST) -> str:
    """What was put for what, in one line; of a long expression only what differs."""
    match node, changed:
        case ast.Attribute(_, name), ast.Attribute(_, other):
            return f".{name} → .{other}"
        case ast.Call(function, [first, second, *_]), ast.Call(_, [new_first, *_]) if new_first is second:
            name = ast.unparse(function).rsplit(".")[-1]
            return f"{name}: {ast.unparse(first)} and {ast.unparse(second)} change places"
        case ((ast.If() | ast.While() | ast.IfExp()), _):
            return f"not {ast.unparse(node.test)}"
        case ((ast.Return() | ast.Raise() | ast.Expr()), _):
            return ast.unparse(changed)
    return f"{ast.unparse(node)} → {ast.unparse(changed)}"
