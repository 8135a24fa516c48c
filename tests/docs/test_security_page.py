"""Each promise of the security page names tests that exist."""

import re

from pages import ROOT

TEXT = "".join((ROOT / "docs" / it).read_text(encoding="utf-8") for it in ("security.md", "retention.md"))
TESTS = sorted(set(re.findall(r"`([\w/]+\.py(?:::\w+)?)`", TEXT)))


def test_security_page_names_tests() -> None:
    assert len(TESTS) > 50


def test_each_promise_has_tests() -> None:
    tables = re.findall(r"(?m)^\| promise \| test \|\n\|---\|---\|\n((?:\|.*\n)+)", TEXT)
    rows = [line for table in tables for line in table.splitlines()]
    assert [line for line in rows if not re.search(r"`[\w/]+\.py(?:::\w+)?` \|$", line)] == []
    sections = [it for it in re.split(r"(?m)^## ", TEXT)[1:] if "**You must protect**" in it]
    assert [it.partition("\n")[0] for it in sections if "| promise | test |" not in it] == []


def test_named_tests_exist() -> None:
    missing = []
    for name in TESTS:
        path, _, function = name.partition("::")
        file = ROOT / "tests" / path
        if not file.is_file() or (function and f"def {function}(" not in file.read_text(encoding="utf-8")):
            missing.append(name)
    assert missing == []
