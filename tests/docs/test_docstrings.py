"""Public names have docstrings that name the errors they raise; the reference is generated from them."""

import ast
import asyncio
from collections.abc import Iterator

from pages import ROOT

PACKAGE = ROOT / "wonder_customers"
MODULES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    # The docstring of a command is its help text.
    if not {"cli", "entry"} & set(path.parts) and (path.name == "__init__.py" or not path.name.startswith("_"))
]
CALLBACKS = frozenset({*dir(asyncio.Protocol), *(f"on_{it}" for it in (
    "message_begin", "header", "headers_complete", "body", "message_complete",
))})  # fmt: skip
"""Methods that asyncio and httptools call; their documentation is that of these libraries."""
UNDOCUMENTED = frozenset({"StopAsyncIteration", "NotImplementedError"})


Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public(node: ast.AST, name: str = "") -> Iterator[tuple[str, Named]]:
    """Yield the public definitions inside `node` with their dotted names."""
    for child in getattr(node, "body", ()):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or child.name in CALLBACKS:
            continue
        if not child.name.startswith("_"):
            path = f"{name}.{child.name}".lstrip(".")
            yield path, child
            if isinstance(child, ast.ClassDef):
                yield from public(child, path)


def raised(function: ast.AST) -> set[str]:
    """Return the names of the exceptions in a function's ``raise`` statements."""
    made = (it.exc for it in ast.walk(function) if isinstance(it, ast.Raise))
    names = (it.func if isinstance(it, ast.Call) else it for it in made)
    return {it.id for it in names if isinstance(it, ast.Name) and it.id[0].isupper()} - UNDOCUMENTED


def test_public_names_document_their_errors() -> None:
    findings = []
    for module in MODULES:
        tree = ast.parse(module.read_text(encoding="utf-8"))
        for name, node in [("the module", tree), *public(tree)]:
            docstring = ast.get_docstring(node)
            where = f"{module.relative_to(PACKAGE)}: {name}"
            if not docstring:
                findings.append(f"{where} has no docstring")
            elif not isinstance(node, (ast.ClassDef, ast.Module)):
                missing = sorted(error for error in raised(node) if error not in docstring)
                findings += [f"{where} does not document {error}" for error in missing]
    assert len(MODULES) > 100
    assert findings == []
