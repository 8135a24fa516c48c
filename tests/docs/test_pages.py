"""Every block of the documentation runs; each page has its own simulator."""

import re
from pathlib import Path

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
