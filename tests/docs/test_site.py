"""The site builds without warnings and needs no network."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pages import ROOT

import wonder_customers
from wonder_customers import bulk, events, simulator, testing


class PageParser(HTMLParser):
    """The URLs that a browser fetches to show a page, and the anchors of the page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.anchors.add(named.get("id", ""))
        if tag in {"script", "img", "iframe", "source"}:
            self.urls.append(named.get("src", ""))
        if tag == "link" and {"stylesheet", "icon", "preload"} & set(named.get("rel", "").split()):
            self.urls.append(named.get("href", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="requires the extra docs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.long
def test_pages_fetch_nothing_from_other_hosts(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        external = [url for url in PageParser(page).urls if re.match(r"(https?:)?//", url)]
        assert not external, f"{page.name} fetches {external}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()[\s\"'(]*(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name


@pytest.mark.long
def test_reference_contains_all_public_names(site: Path) -> None:
    anchors = {anchor for page in (site / "reference").glob("*.html") for anchor in PageParser(page).anchors}
    documented = {anchor.rpartition(".")[2] for anchor in anchors if anchor.startswith("wonder_customers.")}
    public = {name for module in (wonder_customers, bulk, events, simulator, testing) for name in module.__all__}
    assert public - {"__version__", "sources", "JsonObject"} <= documented


@pytest.mark.long
def test_docstrings_are_markdown(site: Path) -> None:
    """Other markup would be shown literally."""
    for page in (site / "reference").glob("*.html"):
        strange = re.search(r"<p>[^<]*====|::</p>|:(class|func|meth|mod|attr):", page.read_text(encoding="utf-8"))
        assert strange is None, f"{page.name}: {strange}"


@pytest.mark.long
@pytest.mark.parametrize(
    ("query", "expected"), [("timeout", "outcomes.html"), ("3DS", "gateways/wonder.html"), ("rate limit", "bulk.html")]
)
def test_search_finds_the_page_in_a_heading(site: Path, query: str, expected: str) -> None:
    """Words in headings weigh a thousand times as much as words in the text."""
    sections = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    words = query.lower().split()
    found = [it["location"] for it in sections if all(word in it["title"].lower() for word in words)]
    assert expected in {location.partition("#")[0] for location in found}
