"""Each promise of the security page names tests that exist."""

import re

import pytest
from pages import ROOT

TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
TESTS = sorted(set(re.findall(r"`([\w/]+\.py(?:::\w+)?)`", TEXT)))


def test_security_page_names_tests() -> None:
    assert len(TESTS) > 25


@pytest.mark.parametrize("name", TESTS)
def test_named_test_exists(name: str) -> None:
    path, _, function = name.partition("::")
    source = (ROOT / "tests" / path).read_text(encoding="utf-8")
    assert not function or f"def {function}(" in source
