"""What the commands print: tables for people, JSON lines for machines, and errors in one line."""

import os
import re
import sys
from typing import Any, Final

import orjson
from attrs import asdict
from rich.console import Console
from rich.text import Text

_WIDE: Final = 200
"""Columns where nobody looks: a table in a pipe or a file is not folded to a terminal's usual 80."""

# Control characters could steer the terminal, and bidirectional overrides make a text look like another one.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave the reader's going to the application, which treats all commands alike; rich would exit here."""
        raise BrokenPipeError


def console(*, stderr: bool = False, wide: bool = True) -> Console:
    """A console on standard output, or on standard error; without escape codes unless it is a terminal.

    Args:
        stderr: On standard error.
        wide: Fold nothing where nobody looks.
    """
    made = _Console(stderr=stderr, highlight=False)
    if wide and not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _WIDE
    return made


def printable(value: object) -> str:
    """`value` as text that a terminal shows and does not obey."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(value))


def cell(value: object, style: str = "") -> Text:
    """`value` as it stands in a table: never read as markup, empty when there is none."""
    return Text("" if value is None else printable(value), style)


def say(text: str, style: str = "") -> None:
    """Print a line of text for people on standard error, which leaves standard output to data."""
    screen = console(stderr=True)
    screen.print(Text(printable(text), style), soft_wrap=not screen.is_terminal)


def json_line(record: Any) -> None:
    """Print an attrs record or a dictionary as one line of JSON, in UTF-8 whatever the terminal's encoding."""
    fields = record if isinstance(record, dict) else asdict(record)
    sys.stdout.flush()
    sys.stdout.buffer.write(orjson.dumps(fields, default=str, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()
