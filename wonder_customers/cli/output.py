"""Output of the commands."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

import orjson
from attrs import asdict
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wonder_customers._support.printable import UNSAFE, printable

__all__ = ["cell", "console", "discard", "ignoring_closed", "json_line", "plain_table", "print_line", "print_message"]

_PIPE_WIDTH: Final = 200
"""The width, in columns, of output to pipes and files."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # By default, rich would exit the process.
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def console(*, stderr: bool = False, wide: bool = True) -> Console:
    """Return a console on standard output or standard error."""
    made = _Console(stderr=stderr, highlight=False)
    if made.width < 1 or (wide and not made.is_terminal and "COLUMNS" not in os.environ):
        made.width = _PIPE_WIDTH
    return made


def cell(value: object, style: str = "") -> Text:
    """Return `value` as text for a table or a line."""
    return Text("" if value is None else printable(value), style)


def plain_table(*columns: str) -> Table:
    """Return an empty table."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_line(text: str, style: str = "") -> None:
    """Print a line of the result on standard output."""
    screen = console()
    screen.print(cell(text, style), soft_wrap=not screen.is_terminal)


def print_message(text: str, style: str = "") -> None:
    """Print a message on standard error."""
    screen = console(stderr=True)
    with ignoring_closed(sys.stderr):
        # A command is not folded, so that it can be copied.
        screen.print(Text(printable(text), style), soft_wrap=not screen.is_terminal or "wonder-customers " in text)


@contextmanager
def ignoring_closed(stream: TextIO) -> Iterator[None]:
    """Ignore the error of a closed stream, and discard its further output."""
    # Messages that cannot be written because the disk is full must not change the exit code.
    ignored = {errno.EPIPE, errno.EIO, *([errno.ENOSPC] if stream is sys.stderr else [])}
    try:
        yield
    except OSError as error:
        if error.errno not in ignored:
            raise
        discard(stream)


def discard(stream: TextIO) -> None:
    """Redirect a stream to the null device."""
    target = os.open(os.devnull, os.O_WRONLY)
    os.dup2(target, stream.fileno())
    os.close(target)


def json_line(record: Any) -> None:
    """Print an attrs object or a dictionary as one line of JSON."""
    fields = record if isinstance(record, dict) else asdict(record)
    sys.stdout.flush()
    # JSON does not require that C1 and bidirectional characters are escaped, but a terminal would interpret them.
    text = UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(fields, default=str).decode())
    sys.stdout.buffer.write(f"{text}\n".encode())
    sys.stdout.buffer.flush()
