"""``wonder-customers demo``: a thousand customers from a CSV land in every gateway, and are read back."""

import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import anyio
from rich.console import Console

from wonder_customers.cli.accounts import account_from_environment
from wonder_customers.cli.codes import DONE, SIGNALLED, USAGE
from wonder_customers.cli.demo.countries import COUNTRIES
from wonder_customers.cli.demo.landing import Landing, land, start_with_old, write_csv
from wonder_customers.cli.demo.people import Person, people
from wonder_customers.cli.demo.process import running_simulator
from wonder_customers.cli.demo.report import print_report
from wonder_customers.cli.output import console
from wonder_customers.dialects import names

__all__ = ["demo"]


def demo() -> int:
    """Watch 1,000 customers from a CSV land in every gateway, with nothing to set up.

    Stand-ins for the gateways serve real HTTP on this machine and end with the demo. Some rows of the CSV are broken on
    purpose; every other customer is read back and compared field by field.
    """
    screen = console()
    persons = people()
    with _ending_on_request(), tempfile.TemporaryDirectory(prefix="wonder-customers-") as name:
        file = Path(name) / "customers.csv"
        write_csv(file, persons)
        broken = sum(person.broken is not None for person in persons)
        screen.print(
            f"{len(persons):,} customers from {len(COUNTRIES)} countries stand in a CSV;"
            f" {broken} of its rows are broken on purpose.\n"
        )
        with running_simulator(file.parent) as variables:
            landings = _landings(screen, variables, file, persons)
    good = print_report(screen, persons, landings)
    screen.print(_NEXT)
    return DONE if good else USAGE


_NEXT: Final = """
Next:
  wonder-customers sync FILE --to wonder --simulator   your CSV, the same way
  wonder-customers simulator                           stand-ins for your code"""


def _landings(screen: Console, variables: Mapping[str, str], file: Path, persons: Sequence[Person]) -> list[Landing]:
    accounts = {gateway: account_from_environment(gateway, variables) for gateway in names()}
    with screen.status("Some of them have been customers before …") as status:
        for account in accounts.values():
            anyio.run(start_with_old, account, file, persons)
        # The gateways' times are what tells a customer that was updated from one that was made: they must lie apart.
        time.sleep(1)
        landings = []
        for gateway, account in accounts.items():
            status.update(f"{len(persons):,} customers are on their way to {gateway} …")
            landings.append(anyio.run(land, gateway, account, file, persons))
    return landings


@contextmanager
def _ending_on_request() -> Iterator[None]:
    """Leave in good order, with nothing left behind, when another program asks for it or the terminal is closed."""
    asked: list[int] = []

    def leave(number: int, frame: FrameType | None) -> None:
        # As if by Ctrl-C, which the event loop knows how to take.
        asked.append(number)
        signal.raise_signal(signal.SIGINT)

    # Not every system has a terminal that hangs up, and under nohup nobody wants to hear of it.
    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    wanted = [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]
    before: dict[int, Any] = {number: signal.signal(number, leave) for number in wanted}
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts its background jobs so
        before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        if asked:
            sys.exit(SIGNALLED + asked[0])
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
