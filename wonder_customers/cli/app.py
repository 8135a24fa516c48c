"""The application: its commands and their exit codes."""

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from difflib import SequenceMatcher
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

from cyclopts import (
    App,
    CycloptsError,
    CycloptsPanel,
    Group,
    MissingArgumentError,
    Parameter,
    UnknownOptionError,
    UnusedCliTokensError,
)

from wonder_customers._support.installed_version import installed_version
from wonder_customers._support.printable import printable
from wonder_customers.bulk.sources.text import has_invalid_bytes
from wonder_customers.cli.error_messages import error_message
from wonder_customers.cli.exit_codes import BROKEN_PIPE, FAILED, INTERRUPTED, SUCCESS, USAGE
from wonder_customers.cli.output import console, discard, print_message
from wonder_customers.cli.sync import commands
from wonder_customers.errors import BulkError, CallError, WonderCustomersError

__all__ = ["app", "run"]


app: App = App(
    name="wonder-customers",
    help="Manage customers at the payment gateways Wonder, Paydock and Monri.",
    version=lambda: installed_version() or "not installed (running from the source folder)",
    # Switches are off by default; showing that default would only lengthen the help.
    default_parameter=Parameter(negative=(), show_default=lambda value: str(value) if value else None),
    group_commands=Group("Bulk jobs", sort_key=2),
)
_HELP = Group("Help", sort_key=3)
for _flag in ("--help", "--version"):
    app[_flag].group = _HELP
app.register_install_completion_command(group=_HELP, help="Install tab completion for bash, zsh or fish.")
_TRY, _SINGLE = Group("Try it", sort_key=0), Group("Single customers", sort_key=1)
_PROBE = """Check the library's assumptions about a gateway against your sandbox account.

Test customers are created, changed and, where the gateway allows it, deleted. With --production, only reads are sent.
"""

# Commands are import paths and are imported when they are called, so that `--help` and `get` do not load a web server.
for _path, _group, _help in (
    ("demo:demo", _TRY, "Send 1,000 customers from a CSV file to every simulated gateway. No setup is required."),
    ("simulator:simulator", _TRY, "Simulate all gateways on this machine until Ctrl-C."),
    ("check:check", _SINGLE, "Test the credentials in the environment."),
    ("probe:probe", _SINGLE, _PROBE),
    ("customers:get", _SINGLE, "Show one customer."),
    ("customers:list", _SINGLE, "Show a page of customers."),
    ("customers:delete", _SINGLE, "Delete (Monri) or archive (Paydock) a customer."),
):
    app.command(f"wonder_customers.cli.{_path}", name=_path.partition(":")[2], help=_help, group=_group)
for _name in commands:
    # Registered one by one, so that the error for an unknown command can suggest them.
    if not _name.startswith("-"):
        app.command(commands[_name], name=_name)


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    debug: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
) -> int:
    """Run one command.

    Args:
        *tokens: The command and its arguments.
        debug: Show the traceback of an error.
    """
    try:
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except (WonderCustomersError, OSError) as error:
        if debug and not isinstance(error, BrokenPipeError):
            for line in traceback.format_exc().splitlines():
                print_message(line)
        raise
    return code if isinstance(code, int) else SUCCESS


_HINTS = {
    errno.ENOSPC: " Free disk space, or choose another location.",
    errno.EACCES: " Change the permissions, or choose another path.",
    errno.EADDRINUSE: " Choose another port with --port.",
}


def _failed(error: WonderCustomersError | OSError) -> int:
    """Print why a command failed, and return its exit code."""
    message = error_message(error)
    if isinstance(error, OSError):
        location = "" if error.filename is None else f"{error.filename}: "
        # Without a file, permission was denied for a port.
        number = errno.EADDRINUSE if error.errno == errno.EACCES and not location else error.errno or 0
        message = f"{location}{error.strerror or error}.{_HINTS.get(number, '')}"
        if error.errno == errno.ENOSPC and not location:
            message = f"standard output cannot be written: {message}"
    for line in (f"wonder-customers: {message}", *getattr(error, "__notes__", ())):
        print_message(line, "red")
    return FAILED if isinstance(error, (CallError, BulkError)) else USAGE


def _usage_problem(error: CycloptsError) -> str:
    """Return what is wrong with the arguments."""
    command = "`" + " ".join(error.command_chain or ()) + "`"
    if isinstance(error, MissingArgumentError) and error.keyword is None and error.argument is not None:
        unknown = [it for it in error.unused_tokens or () if it.startswith("-")]
        also = f", and does not have the option {unknown[0]}" if unknown else ""
        return f"{command} requires {error.argument.name}{also}."
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"{command} does not accept the argument {error.unused_tokens[0]!r}."
    text = str(error).partition(" Available commands:")[0]  # an incomplete list
    if isinstance(error, UnknownOptionError):
        without, _, suggested = text.partition(" Did you mean ")
        given, name = (error.token.keyword or error.token.value).lstrip("-"), suggested.strip("-?")
        # cyclopts compares the hyphens too, so that it suggests names that are not similar.
        if not name.startswith(given) and SequenceMatcher(None, given, name).ratio() < 0.6:
            text = without
    return f"{text} `plan` shows what `sync` would do." if text == "Unknown option: --dry-run." else text


def run(arguments: Sequence[str]) -> int:
    """Run the command in `arguments` and return its exit code."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the calling process, as with `>&-`
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
        elif isinstance(stream, TextIOWrapper):
            # A name with non-ASCII characters must not raise on an ASCII terminal.
            stream.reconfigure(errors="backslashreplace")
    for argument in arguments:
        if has_invalid_bytes(argument):
            print_message(
                f"wonder-customers: the argument {argument!a} is not UTF-8. Nothing was sent. Rename the file or"
                " its folder, or use a UTF-8 locale.",
                "red",
            )
            return USAGE
    try:
        app.console = console(wide=False)
        code = app.meta(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout)  # the rest of the buffer must not cause another error at exit
        return BROKEN_PIPE
    except CycloptsError as error:
        # Printed here, because cyclopts does not escape the arguments.
        app.error_console.print(CycloptsPanel("\n".join(map(printable, _usage_problem(error).split("\n")))))
        command = " ".join(error.command_chain or ())
        shown = f"{command} --help` shows the options" if command else "--help` lists the commands"
        print_message(f"`wonder-customers {shown}.")
        return USAGE
    except (WonderCustomersError, OSError) as error:
        return _failed(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    # The help returns no exit code.
    return code if isinstance(code, int) else SUCCESS
