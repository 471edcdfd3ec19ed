"""A digest of what a function's code says, whatever its layout, comments and docstrings."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any

import polars as pl

from include.lifecycle.deferred import Deferred


def source_digest(function: Callable[..., Any]) -> str:
    """SHA-256 of the function's module and of all modules of the same project that it imports, directly or not.

    Two modules of one project have the first part of their names in common, e.g. `include`. The arguments of a
    `partial` count, as they stand in a module that the function does not import.

    Raises
    ------
    ValueError
        If the source of one of these cannot be read.
    """
    given: list[Any] = []
    while isinstance(function, partial | Deferred):
        if isinstance(function, partial):
            given += [function.args, function.keywords]
        function = function.func if isinstance(function, partial) else function.resolve()
    code = _digest_of(function.__module__)
    if not given:
        return code
    return hashlib.sha256(json.dumps([code, given], sort_keys=True, default=_argument).encode()).hexdigest()


def _argument(value: Any) -> str:
    """What an argument says, where JSON has no word for it."""
    if isinstance(value, pl.Expr):
        return value.meta.serialize(format="json")  # the text of an expression is cut short
    return source_digest(value) if isinstance(value, FunctionType | partial | Deferred) else repr(value)


@cache
def _digest_of(module: str) -> str:
    sources: dict[str, str] = {}
    pending = [module]
    while pending:
        name = pending.pop()
        if name not in sources:
            tree = ast.parse(_path(name).read_text())
            pending += _imported(tree, name)
            sources[name] = _without_docstrings(tree)
    # Not by their names: a module that moves makes the same features.
    return hashlib.sha256("\0".join(sorted(sources.values())).encode()).hexdigest()


def _path(module: str) -> Path:
    loaded = sys.modules.get(module)
    spec = None if loaded else find_spec(module)
    origin = getattr(loaded, "__file__", None) or (spec and spec.origin)
    if not origin or not origin.endswith(".py"):
        raise ValueError(f"The source of the module {module!r} cannot be read; keep features in a file.")
    return Path(origin)


def _imported(tree: ast.AST, module: str) -> Iterator[str]:
    """The modules of the same project that are imported anywhere in a module."""
    project = module.partition(".")[0]
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in inner if name.partition(".")[0] == project and _is_module(name)]
            names = modules or [node.module]
        yield from (name for name in names if name.partition(".")[0] == project and _is_module(name))


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # what it is looked for in is no package
        return False


def _without_docstrings(tree: ast.AST) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [each for each in node.body if not _is_text(each)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(node: ast.stmt) -> bool:
    """Whether a statement is a text alone, which does nothing."""
    return (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    )
