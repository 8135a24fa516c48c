"""The simulator in a separate process."""

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
def running_simulator(folder: Path, quirks: str | None = None) -> Iterator[dict[str, str]]:
    """Run ``wonder-customers simulator`` during the block and provide the variables that it prints."""
    messages = folder / "simulator.txt"
    command = [sys.executable, "-m", "wonder_customers", "simulator", "--until-input-ends"]
    command += ["--quirks", quirks] if quirks else []
    with messages.open("w", encoding="utf-8") as stderr:
        # The simulator also ends if this process is killed, because its input is a pipe from this process.
        process = subprocess.Popen(  # noqa: S603 - this interpreter and constants
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, encoding="utf-8"
        )
    with process:
        try:
            yield _exports(process, messages)
        finally:
            process.terminate()


def _exports(process: "subprocess.Popen[str]", messages: Path) -> dict[str, str]:
    """Return the variables that the simulator prints."""
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        if line.startswith(f"export {ORIGIN}="):
            words = [word for word in shlex.split("".join(lines)) if word != "export"]
            return dict(word.split("=", 1) for word in words)
    reason = messages.read_text(encoding="utf-8").strip().removeprefix("wonder-customers: ")
    raise ConfigurationError(f"the simulator did not start: {reason}")
