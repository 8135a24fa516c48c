"""``wonder-customers simulator``: simulate all gateways on this machine."""

import shlex
import sqlite3
import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from wonder_customers.cli.output import print_message
from wonder_customers.dialects import names
from wonder_customers.dialects import simulator as simulator_of
from wonder_customers.errors import ConfigurationError
from wonder_customers.simulator import FAULT_KINDS, SimulatorServer

__all__ = ["ORIGIN", "simulator"]

ORIGIN: Final = "WONDER_CUSTOMERS_SIMULATOR"
"""The variable with the simulator's address. It is printed last, so programs know that they have read all variables."""


def simulator(
    *,
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65535), show_default=False)] = 0,
    db: Path | None = None,
    faults: Annotated[bool, Parameter(show_default=False)] = False,
    until_input_ends: Annotated[bool, Parameter(show_default=False)] = False,
) -> None:
    """Simulate all gateways on this machine until Ctrl-C.

    Prints working credentials as ``export`` lines on standard output, ready to paste into another terminal.

    Args:
        port: The port to listen on; 0 chooses a free one.
        db: Keep the state in this file. Without it, the state is lost at the end.
        faults: Enable fault injection.
        until_input_ends: Stop when standard input is closed, for programs that start the simulator.
    """
    server = _server(port, db, faults=faults)
    with server:
        state = "in memory" if db is None else f"in {db}"
        print_message(
            f"The simulator serves {', '.join(server.gateways)} at {server.origin} (state {state}). Ctrl-C stops it."
        )
        if faults:
            kinds = ", ".join(FAULT_KINDS)
            print_message(f"Inject faults with POST {server.origin}/_simulator/faults. Kinds of faults: {kinds}.")
        print_message("Paste these lines into another terminal and type `wonder-customers check`:")
        print_exports({**server.environment(), ORIGIN: server.origin})
        if until_input_ends:
            sys.stdin.read()
        else:
            server.wait()


def print_exports(variables: dict[str, str]) -> None:
    """Print ``export`` lines for a POSIX shell. Values may contain line breaks inside their quotes."""
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.flush()


def _server(port: int, db: Path | None, *, faults: bool) -> SimulatorServer:
    """Return the server for all installed gateways.

    Raises:
        ConfigurationError: The database cannot be used.
    """
    simulators = [simulator_of(name) for name in names()]
    try:
        return SimulatorServer(simulators, port=port, db=None if db is None else str(db), faults=faults)
    except sqlite3.Error as error:
        raise ConfigurationError(f"{db} cannot be used as the simulator's database: {error}") from error
