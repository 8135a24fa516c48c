"""Extract the code blocks of the Markdown pages and run them.

The Python blocks of a page run in order, in one namespace, against simulated gateways; top-level ``await`` works as in
``python -m asyncio``. A ``text`` block after one is its expected output. The commands of ``sh`` and ``console`` blocks
run in a new folder that contains the blocks with a file name as title. ``…`` in expected output matches any text.
"""

import ast
import inspect
import re
import shlex
import tomllib
from collections.abc import Callable, Coroutine, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any

import anyio
import pytest
from attrs import define, field, frozen

from wonder_customers.cli.app import app, run

ROOT = Path(__file__).parent.parent

_FENCED = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```[ \t]*$", re.DOTALL | re.MULTILINE)
_TITLE = re.compile(r'title="([^"]+)"')
_NOT_RUN = re.compile(r"<!-- not run: [^\n]+ -->\n\s*$")
_CODE = re.compile(r"\s+# exits with (\d+)$")
_UNENDING = frozenset({"simulator", "demo"})
"""Commands that do not end or take seconds. They are parsed but not run."""


@frozen
class Block:
    """A fenced block of a page.

    Attributes:
        page: The path of the page, relative to the project.
        language: The language of the fence.
        code: The content.
        line: The number of its first line.
        section: The nearest heading of the second level above it.
        title: The title of the fence, such as a file name.
        runs: False if a comment above the block states why it cannot run.
    """

    page: str
    language: str
    code: str
    line: int
    section: str = ""
    title: str | None = None
    runs: bool = True

    @property
    def place(self) -> str:
        """The location: page and line."""
        return f"{self.page}:{self.line}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """Return the blocks of a page in these languages, or all blocks."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCED.finditer(text):
        before = text[: match.start()]
        sections = re.findall(r"^## ([^\n]*)", before, re.MULTILINE)
        title = _TITLE.search(match[3])
        block = Block(
            page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name,
            match[2],
            re.sub(rf"^{match[1]}", "", match[4], flags=re.MULTILINE),
            before.count("\n") + 2,
            sections[-1] if sections else "",
            title[1] if title else None,
            _NOT_RUN.search(before) is None,
        )
        if not languages or block.language in languages:
            found.append(block)
    return found


def files(page: Path) -> dict[str, str]:
    """Return the files of a page: its blocks with a path as title, joined per file."""
    found: dict[str, str] = {}
    for block in blocks(page):
        if block.title is not None:
            before = found.get(block.title)
            between = "" if before is None else "\n" if block.code.startswith(" ") else "\n\n"
            found[block.title] = (before or "") + between + block.code
    return found


@define
class Page:
    """The state of a page whose blocks are being run.

    Attributes:
        folder: The working directory of its commands.
        variables: The environment of its code and commands.
        printed: Returns the output since the last call.
    """

    folder: Path
    variables: Mapping[str, str]
    printed: Callable[[], str]
    names: dict[str, Any] = field(factory=lambda: {"__name__": "__main__"})

    def try_all(self, found: list[Block], patch: pytest.MonkeyPatch) -> None:
        """Run the blocks of a page in order."""
        patch.chdir(self.folder)
        for name, value in {**self.variables, "COLUMNS": "100", "NO_COLOR": "1"}.items():
            patch.setenv(name, value)
        output = ""
        for before, block in zip([None, *found], found, strict=False):
            if not block.runs:
                continue
            if block.language == "python":
                output = self.python(block)
            elif block.language == "text" and before is not None and before.language == "python":
                assert_printed(block.code, output, block.place)
            elif block.language in {"sh", "console"}:
                self.shell(block)
            elif block.title is not None:
                (self.folder / block.title).write_text(block.code, encoding="utf-8")

    def python(self, block: Block) -> str:
        """Run Python code and return its output."""
        # Tracebacks show the line numbers of the page.
        source = "\n" * (block.line - 1) + block.code
        code = compile(source, block.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:

            async def awaited() -> None:
                made: Coroutine[Any, Any, None] = eval(code, self.names)
                await made

            anyio.run(awaited)
        else:
            exec(code, self.names)
        return self.printed()

    def shell(self, block: Block) -> None:
        """Run the commands, and compare their output where the block shows it."""
        for line, shown in commands(block):
            wanted = int(code[1]) if (code := _CODE.search(line)) else 0
            words = shlex.split(line, comments=True)
            if not words:
                continue
            if words[0] == "wonder-customers" and words[1] not in _UNENDING:
                assert run(words[1:]) == wanted, f"{block.place}: {line}\n{self.printed()}"
            else:
                check_command(words, f"{block.place}: {line}")
            output = self.printed()
            if shown is not None:
                assert_printed(shown, output, f"{block.place}: {line}")


def commands(block: Block) -> Iterator[tuple[str, str | None]]:
    """Yield the commands of a block, with their expected output in a ``console`` block."""
    if block.language == "sh":
        for line in block.code.replace("\\\n", " ").splitlines():
            yield line, None
        return
    for part in re.split(r"^\$ ", block.code.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        yield line, output


def check_command(words: list[str], where: str) -> None:
    """Check that the command, extra, module or file named by a command exists, without running it."""
    match words:
        case _ if "&&" in words:
            middle = words.index("&&")
            check_command(words[:middle], where)
            check_command(words[middle + 1 :], where)
        case ["wonder-customers", *arguments]:
            app.parse_args(arguments, exit_on_error=False)
        case ["pip", "install", *what]:
            wanted = {name for extras in re.findall(r"\[(.*?)\]", " ".join(what)) for name in extras.split(",")}
            assert wanted <= extras_offered(), f"{where}: unknown extra"
        case ["export", assignment]:
            assert assignment.partition("=")[0] in variables_read(), f"{where}: unknown variable"
        case ["python", "-m", module, *_]:
            assert find_spec(module) is not None, f"{where}: unknown module"
        case ["python" | "bash", file, *_]:
            assert (ROOT / file).exists(), f"{where}: unknown file"
        case ["nox", *rest]:
            named = rest[rest.index("-s") + 1 :] if "-s" in rest else []
            source = (ROOT / "noxfile.py").read_text(encoding="utf-8")
            for name in named:
                assert re.search(rf"def {name}\(|name=\"{name}\"", source), f"{where}: nox has no session {name}"
        case [("pytest" | "mkdocs" | "mutmut" | "git" | "cd" | "uvicorn" | "ray" | "pre-commit"), *_]:
            pass
        case _:
            pytest.fail(f"{where}: unknown command")


def extras_offered() -> set[str]:
    """Return the extras of the package."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return set(settings["project"]["optional-dependencies"])


def variables_read() -> set[str]:
    """Return the names in the package that look like environment variables."""
    sources = (ROOT / "wonder_customers").rglob("*.py")
    return {name for file in sources for name in re.findall(r"\b[A-Z]+_[A-Z_]+\b", file.read_text(encoding="utf-8"))}


def assert_printed(shown: str, output: str, where: str) -> None:
    """Compare output with a block in which ``…`` matches any text."""
    wanted, found = (
        "\n".join(line.rstrip() for line in text.strip().splitlines()) for text in (dedent(shown), dedent(output))
    )
    pattern = re.escape(wanted).replace("…", ".*?")
    assert re.fullmatch(pattern, found, re.DOTALL), f"{where}: it prints\n{found}"
