"""``wonder-customers simulator``: simulate all gateways on this machine."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from wonder_customers.cli.output import print_message
from wonder_customers.cli.shared_options import WHOLE
from wonder_customers.dialects import names
from wonder_customers.dialects import simulator as simulator_of
from wonder_customers.errors import ConfigurationError
from wonder_customers.simulator import FAULT_KINDS, SimulatorServer

__all__ = ["add_quirks", "simulator"]

_NUMBER: Final = r"\d{1,9}(?:\.\d{1,9})?"
_LATENCY: Final = re.compile(rf"(?:(?P<low>{_NUMBER})\.\.)?(?P<high>{_NUMBER})(?P<unit>ms|s)")
_RATE: Final = re.compile(rf"({_NUMBER})/s")

_QUIRKS: Final = ", ".join(sorted({it.name for name in names() for it in simulator_of(name).known_quirks}))

_ORIGIN: Final = "WONDER_CUSTOMERS_SIMULATOR"
"""The variable with the simulator's address. It is printed last, so that a program knows when to stop reading."""


def simulator(
    *,
    port: Annotated[int, WHOLE, Parameter(validator=Number(gte=0, lte=65535), show_default=False)] = 0,
    db: Path | None = None,
    seed: Path | None = None,
    latency: str | None = None,
    rate_limit: str | None = None,
    merchants: Annotated[int, WHOLE, Parameter(validator=Number(gte=1, lte=100), show_default=False)] = 1,
    faults: Annotated[bool, Parameter(show_default=False)] = False,
    quirks: Annotated[
        str | None,
        Parameter(
            help=f"The deviations from the gateways' documentation: all, or a comma-separated list of {_QUIRKS}."
        ),
    ] = None,
    until_input_ends: Annotated[bool, Parameter(show_default=False)] = False,
) -> None:
    """Simulate all gateways on this machine until Ctrl-C.

    Prints working credentials as ``export`` lines on standard output, ready to paste into another terminal.

    Args:
        port: The port to listen on; 0 chooses a free port.
        db: Keep the state in this file. Without it, the state is lost when the simulator stops.
        seed: Start with the data of this JSON file, an export of /_simulator/state. It replaces the data of --db.
        latency: Delay each response, for example 200ms, or 50..200ms for a random delay.
        rate_limit: Respond with status 429 to requests above this rate, for example 20/s. It applies to each gateway
            separately.
        merchants: The number of merchants at each gateway. The variables of the second merchant end in _2.
        faults: Enable fault injection.
        quirks: Deviate from the gateways' documentation: all, or names separated by commas.
        until_input_ends: Stop when standard input is closed, for programs that start the simulator.
    """
    gateways = [simulator_of(name) for name in names()]
    server = SimulatorServer(gateways, port=port, db=None if db is None else str(db), faults=faults)
    add_quirks(server, quirks)
    with _refused():
        if latency is not None:
            server.conditions.latency = parse_latency(latency)
        if rate_limit is not None:
            server.conditions.rate_limit = parse_rate(rate_limit)
    if seed is not None:
        with _refused(f"{seed} is not a state exported by the simulator: "):
            server.import_state(json.loads(seed.read_bytes()))
    with server:
        state = "in memory" if db is None else f"in {db}"
        print_message(
            f"The simulator serves {', '.join(server.gateways)} at {server.origin} (state {state}). Ctrl-C stops it."
        )
        print_message(f"Open {server.origin} in a browser to inspect requests.")
        if faults:
            kinds = ", ".join(FAULT_KINDS)
            print_message("Inject a fault with a command such as:")
            fault = '{"name": "server_error"}'  # the command fits on a line of 80 characters, so it is not folded
            print_message(f"curl {server.origin}/_simulator/faults --json '{fault}'")
            print_message(f"Names of faults: {kinds}.")
        print_message("Paste these lines into another terminal, then run `wonder-customers check`:")
        variables = server.environment()
        for number in range(2, merchants + 1):
            variables |= {f"{name}_{number}": value for name, value in server.environment(number).items()}
        for name, value in {**variables, _ORIGIN: server.origin}.items():
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
        sys.stdout.flush()
        if until_input_ends:
            sys.stdin.read()
        else:
            server.wait()


def add_quirks(server: SimulatorServer, quirks: str | None) -> None:
    """Activate the quirks of the option --quirks."""
    with _refused("--quirks: "):
        server.quirks.add(*filter(None, (quirks or "").replace(" ", "").split(",")))


@contextmanager
def _refused(what: str = "") -> Iterator[None]:
    """Convert the errors of an option or a file into `ConfigurationError`."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be read: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise ConfigurationError(f"{what}the file is not JSON") from None
    except ValueError as error:
        raise ConfigurationError(f"{what}{error}") from None


def parse_latency(text: str) -> tuple[float, float]:
    """Parse a latency such as ``50..200ms`` into the shortest and longest delay in seconds."""
    found = _LATENCY.fullmatch(text)
    if found is None:
        raise ValueError(f"--latency must be a time such as 200ms or 1.5s, or a range such as 50..200ms, not {text!r}")
    scale = 1000 if found["unit"] == "ms" else 1
    high = float(found["high"]) / scale
    return (high if found["low"] is None else float(found["low"]) / scale, high)


def parse_rate(text: str) -> float:
    """Parse a rate such as ``20/s`` into requests per second."""
    found = _RATE.fullmatch(text)
    if found is None or not float(found[1]):
        raise ValueError(f"--rate-limit must be a positive number of requests per second, such as 20/s, not {text!r}")
    return float(found[1])
