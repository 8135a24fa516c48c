"""The files on the path of one call, as the page on the architecture lists them."""

import importlib.util
from typing import Any

from pages import ROOT


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
