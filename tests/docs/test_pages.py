"""Every block of the documentation runs, and the files and tests that pages name exist."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT, Page, blocks, extras_offered

from wonder_customers.simulator import SimulatorServer

DOCS = ROOT / "docs"
ELSEWHERE = {
    "docs/testing.md": "tests/testing/test_testing_page.py",
    "docs/web-apps.md": "tests/contrib/test_recipes.py",
    "docs/schedulers.md": "tests/docs/test_schedulers_page.py",
    "docs/adding-a-gateway.md": "tests/testing/test_fourth_gateway.py",
}
"""Pages whose blocks are files of a project, with the tests that build it."""

PAGES = [
    path for path in sorted(DOCS.rglob("*.md")) if path.relative_to(ROOT).as_posix() not in ELSEWHERE and blocks(path)
]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_blocks_of_the_page_run(
    page: Path,
    server: SimulatorServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:

    def printed() -> str:
        output = capsys.readouterr()
        return output.out + output.err

    Page(tmp_path, server.environment(), printed).try_all(blocks(page), monkeypatch)


@pytest.mark.parametrize(("page", "test"), ELSEWHERE.items())
def test_project_pages_are_covered_by_another_test(page: str, test: str) -> None:
    assert Path(page).name in (ROOT / test).read_text(encoding="utf-8") + (ROOT / "tests/projects.py").read_text()


def test_quick_start_lists_all_extras() -> None:
    page = (DOCS / "quick-start.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([\w-]+)` \| ", page, re.MULTILINE))
    assert listed == extras_offered() - {"dev", "docs", "fuzz"}


def _figures() -> Any:
    spec = importlib.util.spec_from_file_location("figures", ROOT / "docs" / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_path_of_a_traced_upsert_has_at_most_twelve_files_and_is_listed() -> None:
    figures = _figures()
    traced = figures.path_of_a_call()
    assert len(traced) <= 12, traced
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.partition("## The path of a call")[2].partition("<!-- end -->")[0]
    assert [line.split("`")[1] for line in section.splitlines() if line[:1].isdecimal()] == traced


PROMISES = "".join((ROOT / "docs" / it).read_text(encoding="utf-8") for it in ("security.md", "retention.md"))


TESTS = sorted(set(re.findall(r"`([\w/]+\.py(?:::\w+)?)`", PROMISES)))


def test_security_page_names_tests() -> None:
    assert len(TESTS) > 50


def test_each_promise_has_tests() -> None:
    tables = re.findall(r"(?m)^\| promise \| test \|\n\|---\|---\|\n((?:\|.*\n)+)", PROMISES)
    rows = [line for table in tables for line in table.splitlines()]
    assert [line for line in rows if not re.search(r"`[\w/]+\.py(?:::\w+)?` \|$", line)] == []
    sections = [it for it in re.split(r"(?m)^## ", PROMISES)[1:] if "**You must protect**" in it]
    assert [it.partition("\n")[0] for it in sections if "| promise | test |" not in it] == []


def test_named_tests_exist() -> None:
    missing = []
    for name in TESTS:
        path, _, function = name.partition("::")
        file = ROOT / "tests" / path
        if not file.is_file() or (function and f"def {function}(" not in file.read_text(encoding="utf-8")):
            missing.append(name)
    assert missing == []
