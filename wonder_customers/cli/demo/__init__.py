"""``wonder-customers demo``: send 1,000 customers from a CSV file to every gateway and read them back."""

import multiprocessing
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, Final

import anyio
from rich.console import Console

from wonder_customers.cli.accounts import account_from_environment
from wonder_customers.cli.demo.countries import COUNTRIES
from wonder_customers.cli.demo.gateway_run import GatewayResult, create_existing_customers, run_gateway, write_csv
from wonder_customers.cli.demo.people import Person, people
from wonder_customers.cli.demo.report import print_report
from wonder_customers.cli.exit_codes import SIGNALLED, SUCCESS, USAGE
from wonder_customers.cli.output import console
from wonder_customers.cli.runtime import stop_signals
from wonder_customers.cli.simulator import add_quirks
from wonder_customers.dialects import names, simulator
from wonder_customers.errors import ConfigurationError
from wonder_customers.simulator import SimulatorServer

__all__ = ["CUSTOMERS", "demo"]

CUSTOMERS = 1000
"""The number of rows of the CSV file."""


def demo(*, quirks: str | None = None) -> int:
    """Send 1,000 customers from a CSV file to every simulated gateway. No setup is required.

    The gateways are simulated on this machine while the demo runs. Some rows of the file are broken on purpose. The
    customers that a gateway accepts are read back and compared with the file, field by field.

    Args:
        quirks: Let the gateways deviate from their documentation; see `wonder-customers simulator --help`.
    """
    screen = console()
    persons = people(CUSTOMERS)
    with (
        _stop_on_signals(),
        _running_simulator(quirks) as variables,
        tempfile.TemporaryDirectory(prefix="wonder-customers-") as folder,
    ):
        file = Path(folder) / "customers.csv"
        write_csv(file, persons)
        broken = sum(person.defect is not None for person in persons)
        screen.print(
            f"The CSV file has {len(persons):,} customers from {len(COUNTRIES)} countries. {broken} rows are broken"
            " on purpose.\n"
        )
        results = _run_gateways(screen, variables, file, persons)
    passed = print_report(screen, persons, results)
    screen.print(_NEXT_STEPS)
    return SUCCESS if passed else USAGE


_NEXT_STEPS: Final = """
Next:
  wonder-customers sync FILE --to wonder --simulator   send your CSV file
  wonder-customers simulator                           simulate all gateways"""


@contextmanager
def _running_simulator(quirks: str | None) -> Iterator[dict[str, str]]:
    """Run the simulator in another process, which uses another core, and provide the variables for its accounts."""
    context = multiprocessing.get_context("spawn")
    connection, other_end = context.Pipe()
    process = context.Process(target=_serve, args=(other_end, quirks), daemon=True)
    # Ctrl-C also reaches the other process, which ends when the connection is closed. It ignores SIGINT from its start.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, handler)
    other_end.close()
    try:
        try:
            variables = connection.recv()
        except EOFError:
            raise ConfigurationError("the process of the simulator ended before the simulator had started") from None
        if isinstance(variables, Exception):
            raise variables
        yield variables
    finally:
        connection.close()
        process.join()


def _serve(connection: Connection, quirks: str | None) -> None:
    """Run the simulator until the other end of the connection is closed."""
    server = SimulatorServer([simulator(name) for name in names()])
    try:
        add_quirks(server, quirks)
        with server, suppress(EOFError, ConnectionError):
            connection.send(server.environment())
            connection.recv()
    except (ConfigurationError, OSError) as error:
        connection.send(error)


def _run_gateways(
    screen: Console, variables: Mapping[str, str], file: Path, persons: Sequence[Person]
) -> list[GatewayResult]:
    accounts = {gateway: account_from_environment(gateway, variables) for gateway in names()}
    with screen.status("Creating some of the customers in advance …") as status:
        for account in accounts.values():
            anyio.run(create_existing_customers, account, file, persons)
        # A customer counts as updated if its two timestamps differ, and gateways return whole seconds.
        time.sleep(1)
        results = []
        for gateway, account in accounts.items():
            status.update(f"Sending {len(persons):,} customers to {gateway} …")
            results.append(anyio.run(run_gateway, gateway, account, file, persons))
    return results


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP as Ctrl-C, and then exit with the code of the signal."""
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        # The event loop handles SIGINT.
        received.append(number)
        signal.raise_signal(signal.SIGINT)

    handled = [it for it in stop_signals()[1:] if signal.getsignal(it) is not signal.SIG_IGN]
    previous: dict[int, Any] = {number: signal.signal(number, interrupt) for number in handled}
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # set by shells for background jobs
        previous[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        if received:
            sys.exit(SIGNALLED + received[0])
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
