"""The simulator in a process of its own, on the machine's second core: the demo is a third faster for it."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wonder_customers.cli.simulator import ORIGIN
from wonder_customers.errors import ConfigurationError

__all__ = ["running_simulator"]


@contextmanager
def running_simulator(folder: Path) -> Iterator[dict[str, str]]:
    """Run ``wonder-customers simulator`` inside the block; gives the variables that it prints.

    However the block or this process ends, the simulator ends with it: its standard input is a pipe from here.

    Args:
        folder: Where the simulator's messages go.

    Raises:
        ConfigurationError: It did not start; the message holds its own.
    """
    messages = folder / "simulator.txt"
    command = [sys.executable, "-m", "wonder_customers", "simulator", "--until-input-ends"]
    with messages.open("w", encoding="utf-8") as said:
        process = subprocess.Popen(  # noqa: S603 - this interpreter and constants
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, encoding="utf-8"
        )
    with process:
        try:
            yield _exports(process, messages)
        finally:
            process.terminate()


def _exports(process: "subprocess.Popen[str]", messages: Path) -> dict[str, str]:
    """The variables in the ``export`` lines, read as a shell reads them."""
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        if line.startswith(f"export {ORIGIN}="):
            words = [word for word in shlex.split("".join(lines)) if word != "export"]
            return dict(word.split("=", 1) for word in words)
    raise ConfigurationError(f"the simulator did not start: {messages.read_text(encoding='utf-8').strip()}")
