"""The checks of code blocks fail for blocks that are wrong."""

from pathlib import Path

import pytest
from cyclopts import CycloptsError
from pages import Page, blocks

WRONG = {
    "code that raises": ("```python\n1 / 0\n```\n", ZeroDivisionError),
    "a missing name": ("```python\nfrom wonder_customers import Missing\n```\n", ImportError),
    "another output": ("```python\nprint(1)\n```\n\n```text\n2\n```\n", AssertionError),
    "more output": ("```python\nprint(1, 2)\n```\n\n```text\n1\n```\n", AssertionError),
    "a command that fails": ("```sh\nwonder-customers get monri\n```\n", AssertionError),
    "a command that does not fail": ("```sh\nwonder-customers --version # exits with 2\n```\n", AssertionError),
    "another command's output": ("```console\n$ wonder-customers --version\nnever\n```\n", AssertionError),
    "an unknown option": ("```sh\nwonder-customers simulator --nowhere\n```\n", CycloptsError),
    "an unknown extra": ("```sh\npip install 'wonder-customers[nothing]'\n```\n", AssertionError),
    "an unknown variable": ("```sh\nexport MONRI_PASSWORD=x\n```\n", AssertionError),
    "an unknown program": ("```sh\nfrobnicate\n```\n", pytest.fail.Exception),
}


@pytest.mark.parametrize(("text", "error"), WRONG.values(), ids=WRONG)
def test_wrong_block_fails(
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


def test_correct_blocks_pass(
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
