"""The Python blocks of README and documentation pass ``mypy --strict`` and pyright, and can be pasted into a REPL."""

import ast
import codeop
import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent

import pytest
from pages import ROOT, Block, blocks, files

FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROJECTS = {"docs/adding-a-gateway.md"}
"""Pages that build one package step by step; their tests check its types."""


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def scripts(page: Path) -> list[Block]:
    """Return the Python blocks of a page that are not files of a project."""
    return [block for block in blocks(page, "python") if block.title is None]


def is_program(block: Block) -> bool:
    """Return whether a block is a complete file: its first line is its name, or it defines ``main``."""
    return re.match(r"# \w+\.py", block.code) is not None or "async def main(" in block.code


def modules_of(page: Path) -> dict[str, str]:
    """Return the modules that the blocks of a page form, by file name.

    Blocks that share a namespace become the body of one coroutine. Programs and project files stay as they are.
    """
    name = page_name(page)
    stem = re.sub(r"[/-]", "_", name.removesuffix(".md")).lower()
    parts, made = [], {}
    for block in scripts(page):
        if is_program(block):
            made[f"{stem}_line_{block.line}.py"] = block.code
        else:
            parts.append(f"# {block.place}\n{block.code}")
    if parts:
        made[f"{stem}.py"] = f"async def page() -> None:\n{indent(chr(10).join(parts), '    ')}\n"
    if name not in PROJECTS:
        made |= {f"files_{stem}/{title}": code for title, code in files(page).items() if title.endswith(".py")}
    return made


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blocks")
    for page in PAGES:
        for name, code in modules_of(page).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(code, encoding="utf-8")
    return folder


SETTINGS = f"""
[mypy]
strict = true
mypy_path = {ROOT}
cache_dir = {ROOT / ".mypy_cache" / "pages"}
local_partial_types = true
allow_redefinition_new = true
[mypy-wonder_customers.*]
follow_imports = silent
# Django has no types, the others are not installed everywhere.
[mypy-django.*,asgiref.*,temporalio.*,airflow.*,dagster.*,prefect.*]
ignore_missing_imports = true
# Recipes for schedulers are shown without annotations, as the schedulers' own documentation does.
[mypy-airflow_dag,dagster_job,prefect_flow]
disallow_untyped_decorators = false
disallow_untyped_defs = false
disallow_incomplete_defs = false
warn_return_any = false
[mypy-temporal_job]
disallow_untyped_decorators = false
# Tests are shown without annotations of their fixtures, as pytest's own documentation does.
[mypy-docs_testing]
disallow_untyped_defs = false
disallow_incomplete_defs = false
check_untyped_defs = false
"""


@pytest.mark.long
def test_blocks_pass_mypy_strict(modules: Path) -> None:
    settings = modules / "mypy.ini"
    settings.write_text(SETTINGS, encoding="utf-8")
    sources = map(str, sorted(modules.rglob("*.py")))
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(settings), "--scripts-are-modules", *sources],
        cwd=modules,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.long
def test_blocks_pass_pyright(modules: Path) -> None:
    missing = ["files_docs_schedulers", *([] if find_spec("temporalio") else ["files_docs_ray"])]
    (modules / "pyrightconfig.json").write_text(json.dumps({"exclude": missing}), encoding="utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--project", str(modules)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def paste(code: str) -> None:
    """Compile code as an interactive interpreter does, which takes one line at a time.

    Raises:
        SyntaxError: A statement has a blank line inside, or no blank line after an indented block.
    """
    compiler = codeop.CommandCompiler()
    compiler.compiler.flags |= FLAGS
    pending: list[str] = []
    for line in code.splitlines():
        pending.append(line)
        if compiler("\n".join(pending), "<page>", "single") is not None:
            pending = []
    if "".join(pending).strip():
        raise SyntaxError("the last statement is incomplete")


@pytest.mark.parametrize(
    "block",
    [it for page in PAGES for it in scripts(page) if not is_program(it)],
    ids=lambda block: block.place.removeprefix("docs/"),
)
def test_block_can_be_pasted_into_a_repl(block: Block) -> None:
    # Terminals send a final line break after the pasted text, which ends an indented block.
    paste(f"{block.code}\n\n")


@pytest.mark.parametrize(
    "code", ["for x in (1,):\n    y = 2\n\n    z = 3\n", "for x in (1,):\n    y = 2\nprint(x)\n", "print(\n"]
)
def test_code_that_cannot_be_pasted_is_found(code: str) -> None:
    with pytest.raises(SyntaxError):
        paste(code)
