"""What files of TOML, INI and plain Python assign to names."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from gitexp.formats import params
from gitexp.formats.errors import FormatError

if TYPE_CHECKING:
    import ast

Result = TypeVar("Result")


def by_toml(text: str) -> dict[str, Any]:
    """Return what a TOML file says."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


def by_ini(text: str) -> dict[str, Any]:
    """Return the sections of an INI file."""
    import configparser

    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(error) from None
    return {
        name: {key: params.value_or_text(value) for key, value in parser[name].items()}
        for name in parser.sections()
    }


def by_python(text: str) -> dict[str, Any]:
    """Return what a Python file assigns; raise FormatError where it does anything else."""
    import ast

    found: dict[str, Any] = {}
    for node in quietly(ast.parse, text).body:
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text or isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        if not isinstance(node, (ast.Assign, ast.AnnAssign)):
            raise FormatError("does more than assign values to names")
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if not isinstance(target, ast.Name):
            raise FormatError("does more than assign values to names")
        with contextlib.suppress(ValueError, TypeError):
            found[target.id] = ast.literal_eval(_plain_dicts(node.value)) if node.value else None
    return found


def quietly(read: Callable[[str], Result], text: str) -> Result:
    """Return what a parser of Python's makes of somebody's text; what it warns of is not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read(text)


def _plain_dicts(node: ast.expr) -> ast.expr:
    """Return an expression with ``{"lr": 0.1}`` for each ``dict(lr=0.1)``, as OpenMMLab writes."""
    import ast

    class Plain(ast.NodeTransformer):
        """Replaces the calls, inner ones first."""

        def visit_Call(self, node: ast.Call) -> ast.AST:
            self.generic_visit(node)
            names = [ast.Constant(one.arg) for one in node.keywords if one.arg]
            named = isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args
            if not named or len(names) < len(node.keywords):
                return node
            return ast.Dict([*names], [one.value for one in node.keywords])

    plain: ast.expr = Plain().visit(node)
    return plain
