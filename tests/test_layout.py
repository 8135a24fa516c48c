"""The layout of the package and of the tests; types in public signatures are exported and documented."""

import importlib
import inspect
import pkgutil
import re
import typing
from collections import defaultdict
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from types import GenericAlias, UnionType
from typing import Any

import wonder_customers

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "wonder_customers"
TESTS = ROOT / "tests"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *TESTS.rglob("*.py")])

TOP_MODULES = 10
LONGEST_FILE = 400
WITHOUT_PACKAGE = {"docs", "fault_injection", "security", "typing"}
"""Folders of tests that concern the whole project: pages, networks with faults, secrets, type checkers."""

WITHOUT_EXTRA = frozenset({"wonder_customers.bulk.ray"} if find_spec("ray") is None else ())
"""Modules whose extra is not installed."""
PUBLIC_MODULES = tuple(
    it
    for it in (
        "wonder_customers",
        "wonder_customers.bulk",
        "wonder_customers.bulk.ray",
        "wonder_customers.contrib.logs",
        "wonder_customers.contrib.otel",
        "wonder_customers.contrib.starlette",
        "wonder_customers.dialects",
        "wonder_customers.dialects.accounts",
        "wonder_customers.dialects.base",
        "wonder_customers.dialects.capabilities",
        "wonder_customers.dialects.monri",
        "wonder_customers.dialects.paydock",
        "wonder_customers.dialects.wonder",
        "wonder_customers.errors",
        "wonder_customers.events",
        "wonder_customers.records",
        "wonder_customers.simulator",
        "wonder_customers.testing",
        "wonder_customers.transports.asyncio",
        "wonder_customers.transports.httpx",
        "wonder_customers.wire",
    )
    if it not in WITHOUT_EXTRA
)
CREATED_BY_THE_LIBRARY = {"DistributedJob", "Journal", "RawOperations"}
"""Public classes that are created by another function or attribute, such as `Journal.open` and `session.raw`."""
CALLED_BY_CONNECTIONS = {"AsyncioTransport.connect", "AsyncioTransport.discard"}


def test_top_of_the_package_has_at_most_ten_modules() -> None:
    modules = [module.name for module in pkgutil.iter_modules([str(PACKAGE)]) if not module.ispkg]
    assert len(modules) <= TOP_MODULES, modules


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_class_names_of_the_package_are_unique() -> None:
    assert _repeated(PACKAGE, r"^ *class (\w+)") == {}


def _repeated(folder: Path, pattern: str) -> dict[str, list[str]]:
    """Return the files of each name that `pattern` finds more than once in a folder, except in strings."""
    found = defaultdict(list)
    for path in sorted(folder.rglob("*.py")):
        code = re.sub(r'""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for name in re.findall(pattern, code, re.MULTILINE):
            found[name].append(str(path.relative_to(folder)))
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def test_folders_of_tests_mirror_the_package() -> None:
    def folders(top: Path) -> set[str]:
        return {
            str(path.parent.relative_to(top)).replace("_core", "core")
            for path in top.rglob("*.py")
            if path.parent != top
        }

    unknown = {name for name in folders(TESTS) - folders(PACKAGE) if name.split("/")[0] not in WITHOUT_PACKAGE}
    assert unknown == set()
    untested = {name.split("/")[0] for name in folders(PACKAGE)} - folders(TESTS) - {"_support"}
    assert untested == set()


def test_no_fixture_is_defined_twice() -> None:
    assert _repeated(TESTS, r"^ *@pytest\.fixture(?:\([^)]*\))?\n(?: *@.*\n)* *(?:async )?def (\w+)") == {}


def _signatures(module: Any) -> list[tuple[str, Any]]:
    """Return the exported functions of a module and the public methods of its exported classes."""
    found = []
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value):
            found.append((name, value))
        elif inspect.isclass(value) and value.__module__.startswith("wonder_customers"):
            shown = "__init__" if name not in CREATED_BY_THE_LIBRARY else ""
            for key, member in vars(value).items():
                function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                if inspect.isfunction(function) and (key == shown or not key.startswith("_")):
                    found.append((f"{name}.{key}", function))
    return [(name, function) for name, function in found if name not in CALLED_BY_CONNECTIONS]


def _named_types(hint: Any) -> set[str]:
    """Return the names of the package's types in a type hint."""
    if isinstance(hint, list):
        return set().union(*map(_named_types, hint))
    found = set().union(*map(_named_types, typing.get_args(hint)))
    origin = typing.get_origin(hint) or hint
    if inspect.isclass(origin) and not isinstance(hint, (UnionType, GenericAlias)):
        found |= {origin.__name__} if origin.__module__.startswith("wonder_customers") else set()
    return found


def _classes() -> dict[str, Any]:
    """Return the package's classes by name, which are unique: some are imported for type checkers only."""
    found: dict[str, Any] = {}
    for module in pkgutil.walk_packages(wonder_customers.__path__, "wonder_customers."):
        if not module.name.endswith("__main__") and module.name not in WITHOUT_EXTRA:
            names = vars(importlib.import_module(module.name)).items()
            found |= {name: it for name, it in names if inspect.isclass(it) and it.__module__ == module.name}
    return found


EXPORTED = {name for module in PUBLIC_MODULES for name in importlib.import_module(module).__all__}
PAGES = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "reference").glob("*.md")))


def _is_documented(name: str) -> bool:
    """Return whether a page of the reference contains the name itself, or the module that defines it."""
    if re.search(rf"^::: [\w.]+\.{name}$", PAGES, re.MULTILINE):
        return True
    defined = {getattr(importlib.import_module(module), name, None) for module in PUBLIC_MODULES}
    return any(f"::: {value.__module__}\n" in f"{PAGES}\n" for value in defined if hasattr(value, "__module__"))


def test_types_in_public_signatures_are_exported_and_documented() -> None:
    hidden, names = set(), _classes() | vars(importlib.import_module("wonder_customers.dialects.base"))
    for name, function in chain.from_iterable(_signatures(importlib.import_module(it)) for it in PUBLIC_MODULES):
        hints = typing.get_type_hints(function, localns=names)
        for used in set().union(*map(_named_types, hints.values())):
            if used not in EXPORTED:
                hidden.add(f"{name}: {used} is not exported")
            elif not _is_documented(used):
                hidden.add(f"{name}: {used} is not documented")
    assert hidden == set()
