"""``wonder-customers simulator``: stand-ins for all gateways on this machine."""

import shlex
import sqlite3
import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from wonder_customers.cli.output import say
from wonder_customers.dialects import names
from wonder_customers.dialects import simulator as simulator_of
from wonder_customers.errors import ConfigurationError
from wonder_customers.simulator import FAULT_KINDS, SimulatorServer

__all__ = ["ORIGIN", "simulator"]

ORIGIN: Final = "WONDER_CUSTOMERS_SIMULATOR"
"""The variable with the simulator's own address: the last one printed, so a program knows that it has read them all."""


def simulator(
    *,
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65535), show_default=False)] = 0,
    db: Path | None = None,
    faults: Annotated[bool, Parameter(show_default=False)] = False,
    until_input_ends: Annotated[bool, Parameter(show_default=False)] = False,
) -> None:
    """Serve stand-ins for all gateways on this machine, until Ctrl-C.

    Standard output gets working credentials as ``export`` lines, ready to paste into another terminal.

    Args:
        port: The port to listen on; 0 takes a free one.
        db: Keep the state in this file; without it, it is gone at the end.
        faults: Let the gateways misbehave on request.
        until_input_ends: Stop when standard input ends, for programs that start the simulator.
    """
    server = _server(port, db, faults=faults)
    with server:
        where = "in memory" if db is None else f"in {db}"
        say(f"The simulator serves {', '.join(server.gateways)} at {server.origin} (state {where}). Ctrl-C stops it.")
        if faults:
            say(f"Faults are set with POST {server.origin}/_simulator/faults; there are {', '.join(FAULT_KINDS)}.")
        say("Paste these lines into another terminal and type `wonder-customers check`:")
        print_exports({**server.environment(), ORIGIN: server.origin})
        if until_input_ends:
            sys.stdin.read()
        else:
            server.wait()


def print_exports(variables: dict[str, str]) -> None:
    """Print ``export`` lines for a POSIX shell; a line break inside the quotes belongs to the value."""
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.flush()


def _server(port: int, db: Path | None, *, faults: bool) -> SimulatorServer:
    """The server for all gateways that have a stand-in.

    Raises:
        ConfigurationError: The database cannot be used.
    """
    simulators = [simulator_of(name) for name in names()]
    try:
        return SimulatorServer(simulators, port=port, db=None if db is None else str(db), faults=faults)
    except sqlite3.Error as error:
        raise ConfigurationError(f"{db} cannot be used as the simulator's database: {error}") from error
