"""Run web apps, each in its own server process."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

import wonder_customers

ROOT = Path(wonder_customers.__file__).parent.parent


@define(eq=False)
class AppProcess:
    """A running web app.

    Attributes:
        process: The server process.
        lines: The output so far.
        origin: The URL where the server listens.
    """

    process: subprocess.Popen[str]
    lines: list[str] = field(factory=list)
    origin: str = ""

    def read(self, ready: threading.Event) -> None:
        """Collect the output until the process ends; set `ready` when the server listens."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            found = re.search(r"running on (http://[0-9.]+:[0-9]+)", line, re.IGNORECASE)
            if found:
                self.origin = found[1]
                ready.set()
        ready.set()

    @property
    def log(self) -> str:
        """Return the output so far."""
        return "".join(self.lines)


@contextmanager
def run_app(*command: str, variables: Mapping[str, str]) -> Iterator[AppProcess]:
    """Run ``python command`` until the block ends."""
    environment = os.environ | variables
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [sys.executable, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    running, ready = AppProcess(process), threading.Event()
    reader = threading.Thread(target=running.read, args=(ready,))
    reader.start()
    try:
        assert ready.wait(30)
        assert running.origin, running.log
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)
        reader.join(60)
        assert process.stdout is not None
        process.stdout.close()
