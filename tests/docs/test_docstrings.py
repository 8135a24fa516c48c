"""The reference is made from docstrings, so they must say what a caller needs."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import ROOT

PACKAGE = ROOT / "wonder_customers"
MODULES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    # A command's docstring is its help text.
    if not {"cli", "entry"} & set(path.parts) and (path.name == "__init__.py" or not path.name.startswith("_"))
]
NOT_TOLD = frozenset({"StopAsyncIteration", "NotImplementedError"})


Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public(node: ast.AST, name: str = "") -> Iterator[tuple[str, Named]]:
    """Everything public inside `node`, with its dotted name."""
    for child in getattr(node, "body", ()):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not child.name.startswith("_"):
            path = f"{name}.{child.name}".lstrip(".")
            yield path, child
            if isinstance(child, ast.ClassDef):
                yield from public(child, path)


def raised(function: ast.AST) -> set[str]:
    """The names of the exceptions that a function raises by itself."""
    made = (it.exc for it in ast.walk(function) if isinstance(it, ast.Raise))
    names = (it.func if isinstance(it, ast.Call) else it for it in made)
    return {it.id for it in names if isinstance(it, ast.Name) and it.id[0].isupper()} - NOT_TOLD


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_what_is_public_says_what_it_is_and_what_it_raises(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "the module has no docstring"
    for name, node in public(tree):
        told = ast.get_docstring(node)
        assert told, f"{name} has no docstring"
        if not isinstance(node, ast.ClassDef):
            silent = sorted(error for error in raised(node) if error not in told)
            assert not silent, f"{name} does not say that it raises {', '.join(silent)}"
