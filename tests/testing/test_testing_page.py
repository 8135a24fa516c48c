"""The examples of the page on testing are tests that pass."""

import re
from pathlib import Path

import pytest
from pages import ROOT, blocks
from projects import ENTRY, run_project

FILE = ROOT / "docs" / "testing.md"
PAGE = FILE.read_text(encoding="utf-8")
BLOCKS = [block.code for block in blocks(FILE, "python")]
SLOW_MACHINE = """
from hypothesis import HealthCheck, settings

settings.register_profile("slow", deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slow")
"""


def test_page_examples_pass(tmp_path: Path) -> None:
    assert len(BLOCKS) == 8
    for number, code in enumerate(BLOCKS[1:], 2):
        (tmp_path / f"test_block_{number}.py").write_text(code, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(SLOW_MACHINE, encoding="utf-8")
    plugins = ("anyio.pytest_plugin", "_hypothesis_pytestplugin", "respx.plugin", "pytest_httpx2")
    outcome = run_project(tmp_path, BLOCKS[0], plugins=plugins)
    assert outcome.code == 0, outcome.text
    assert outcome.count("passed") > 40


def fixtures() -> set[str]:
    source = (ENTRY / "pytest_wonder_customers.py").read_text(encoding="utf-8")
    return set(re.findall(r"^@pytest\.fixture[^\n]*\n(?:async )?def ([a-z]\w*)", source, re.MULTILINE))


@pytest.mark.parametrize("name", sorted(fixtures()))
def test_page_documents_every_fixture(name: str) -> None:
    assert f"`{name}`" in PAGE
