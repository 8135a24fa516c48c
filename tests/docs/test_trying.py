"""Trying a page is worth something: a block that is not true fails."""

from pathlib import Path

import pytest
from cyclopts import CycloptsError
from pages import Page, blocks

UNTRUE = {
    "code that raises": ("```python\n1 / 0\n```\n", ZeroDivisionError),
    "a name that is not there": ("```python\nfrom wonder_customers import Nobody\n```\n", ImportError),
    "another output": ("```python\nprint(1)\n```\n\n```text\n2\n```\n", AssertionError),
    "more output": ("```python\nprint(1, 2)\n```\n\n```text\n1\n```\n", AssertionError),
    "a command that fails": ("```sh\nwonder-customers get monri\n```\n", AssertionError),
    "a command that does not fail": ("```sh\nwonder-customers --version # exits with 2\n```\n", AssertionError),
    "another command's output": ("```console\n$ wonder-customers --version\nnever\n```\n", AssertionError),
    "an option that is not there": ("```sh\nwonder-customers simulator --nowhere\n```\n", CycloptsError),
    "an extra that is not there": ("```sh\npip install 'wonder-customers[nothing]'\n```\n", AssertionError),
    "a variable that nothing reads": ("```sh\nexport MONRI_PASSWORD=x\n```\n", AssertionError),
    "a program that nobody knows": ("```sh\nfrobnicate\n```\n", pytest.fail.Exception),
}


@pytest.mark.parametrize(("text", "error"), UNTRUE.values(), ids=UNTRUE)
def test_what_is_not_true_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    error: type[BaseException],
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(error):
        Page(tmp_path, {}, lambda: capsys.readouterr().out).try_all(blocks(page), monkeypatch)


def test_what_is_true_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '## One\n```csv title="a.csv"\nx\n```\n'
        "  ```python\n  import anyio, pathlib\n  await anyio.sleep(0)\n"
        "  print(pathlib.Path('a.csv').read_text(), 'and more')\n  ```\n"
        "```text\nx\n… more\n```\n"
        "<!-- not run: it would not end -->\n```python\nraise SystemExit\n```\n",
        encoding="utf-8",
    )
    found = blocks(page)
    assert [(block.language, block.section, block.runs) for block in found] == [
        ("csv", "One", True),
        ("python", "One", True),
        ("text", "One", True),
        ("python", "One", False),
    ]
    Page(tmp_path, {}, lambda: capsys.readouterr().out).try_all(found, monkeypatch)
