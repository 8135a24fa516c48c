"""The application: its commands, and how each of them ends."""

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from typing import Annotated

from cyclopts import App, CycloptsError, Group, Parameter

from wonder_customers.cli.codes import BROKEN_PIPE, DONE, FAILED, INTERRUPTED, USAGE
from wonder_customers.cli.output import console, say
from wonder_customers.cli.sync import commands
from wonder_customers.errors import BulkError, CallError, WonderCustomersError

__all__ = ["app", "run"]


def _version() -> str:
    try:
        return version("wonder-customers")
    except PackageNotFoundError:
        return "not installed: run from its source folder"


app = App(
    name="wonder-customers",
    help="Customers of the payment gateways Wonder, Paydock and Monri: one vocabulary, one command line.",
    version=_version,
    # That a switch is off until it is given goes without saying.
    default_parameter=Parameter(negative=(), show_default=lambda value: str(value) if value else None),
    group_commands=Group("Many customers", sort_key=2),
)
_HELP = Group("Help", sort_key=3)
for _flag in ("--help", "--version"):
    app[_flag].group = _HELP
_TRY, _SINGLE = Group("Try it", sort_key=0), Group("Single customers", sort_key=1)

# Commands are named by text and imported when they are called for, so that `--help` and `get` do not load a web server.
for _path, _group, _help in (
    ("demo:demo", _TRY, "Watch 1,000 customers from a CSV land in every gateway, with nothing to set up."),
    ("simulator:simulator", _TRY, "Serve stand-ins for all gateways on this machine, until Ctrl-C."),
    ("check:check", _SINGLE, "Find out whether the credentials in the environment are right."),
    ("customers:get", _SINGLE, "Show one customer."),
    ("customers:list", _SINGLE, "Show a page of customers."),
    ("customers:delete", _SINGLE, "Delete (Monri) or archive (Paydock) a customer."),
):
    app.command(f"wonder_customers.cli.{_path}", name=_path.partition(":")[2], help=_help, group=_group)
for _name in commands:
    # One by one, so that a command that is mistyped is told which ones there are.
    if not _name.startswith("-"):
        app.command(commands[_name], name=_name)


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    debug: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
) -> int:
    """Run one command.

    Args:
        *tokens: The command and what it takes.
        debug: Show the traceback of an error.
    """
    try:
        code = app(tokens, exit_on_error=False, result_action="return_value")
        sys.stdout.flush()
    except BrokenPipeError:
        return _unread()
    except (WonderCustomersError, OSError) as error:
        if debug:
            traceback.print_exc()
        return _failed(error)
    return code if isinstance(code, int) else DONE


def _unread() -> int:
    """End quietly because the reader has gone (``… | head``); the exit code."""
    # What is still buffered must not fail again at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE


_CURES = {
    errno.ENOSPC: " Make room there, or let it go elsewhere.",
    errno.EACCES: " Ask for the right to use it, or name another one.",
    errno.EADDRINUSE: " Choose another one with --port.",
}


def _failed(error: WonderCustomersError | OSError) -> int:
    """Say why a command failed; its exit code."""
    told = str(error)
    if isinstance(error, OSError):
        place = "" if error.filename is None else f"{error.filename}: "
        told = f"{place}{error.strerror or error}.{_CURES.get(error.errno or 0, '')}"
        if error.errno == errno.ENOSPC and not place:
            told = f"what is printed cannot be written: {told}"
    say(f"wonder-customers: {told}", "red")
    return FAILED if isinstance(error, (CallError, BulkError)) else USAGE


def run(arguments: Sequence[str]) -> int:
    """Run the command in `arguments`; its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A customer's name must not fail on a terminal that knows only ASCII.
            stream.reconfigure(errors="backslashreplace")
    try:
        app.console = console(wide=False)
        code = app.meta(arguments, exit_on_error=False, result_action="return_value")
        # Help and the version are printed outside of any command.
        sys.stdout.flush()
    except BrokenPipeError:
        return _unread()
    except CycloptsError:
        # It has been printed already.
        say("`wonder-customers --help` lists the commands, `wonder-customers COMMAND --help` what each one takes.")
        return USAGE
    except OSError as error:
        # Help that cannot be written.
        return _failed(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    # Help has no code of its own.
    return code if isinstance(code, int) else DONE
