"""Every example of the page on testing is a test that passes."""

import re
from pathlib import Path

import pytest
from projects import ENTRY, ROOT, run_project

PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^## ([^\n]*)\n(?:(?!^## ).)*?^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_examples_pass(tmp_path: Path) -> None:
    assert len(BLOCKS) == PAGE.count("```python") == 5
    for number, (_, block) in enumerate(BLOCKS[1:], 2):
        (tmp_path / f"test_block_{number}.py").write_text(block, encoding="utf-8")
    plugins = ("anyio.pytest_plugin", "_hypothesis_pytestplugin")
    outcome = run_project(tmp_path, BLOCKS[0][1], plugins=plugins)
    assert outcome.code == 0, outcome.text
    assert outcome.count("passed") > 40


def fixtures() -> set[str]:
    source = (ENTRY / "pytest_wonder_customers.py").read_text(encoding="utf-8")
    return set(re.findall(r"^@pytest\.fixture[^\n]*\n(?:async )?def ([a-z]\w*)", source, re.MULTILINE))


@pytest.mark.parametrize("name", sorted(fixtures()))
def test_every_fixture_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE
