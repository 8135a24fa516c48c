"""The simulator as a command: what it prints can be pasted, and it ends when it should."""

import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Command = Callable[..., tuple[int, str, str]]
Typed = Callable[..., "CompletedProcess[str]"]


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_the_exports_work_when_they_are_pasted(exports: str, bare: dict[str, str], shell: str) -> None:
    script = f"{exports}\n{shlex.quote(sys.executable)} -m wonder_customers check\n"
    pasted = subprocess.run([shell], input=script, env=bare, capture_output=True, text=True, check=False, timeout=30)
    assert pasted.stderr == ""
    assert pasted.returncode == 0
    assert pasted.stdout.count("right") == 3


def test_the_exports_work_with_eval(exports: str, bare: dict[str, str]) -> None:
    script = 'eval "$0"; "$1" -m wonder_customers check'
    pasted = subprocess.run(
        ["bash", "-c", script, exports, sys.executable], env=bare, capture_output=True, text=True, check=False
    )
    assert pasted.returncode == 0, pasted.stdout
    assert pasted.stdout.count("right") == 3


class Running:
    """A simulator whose first lines were read."""

    def __init__(self, *arguments: str, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "wonder_customers", "simulator", *arguments],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.exports = ""
        for line in self.process.stdout:
            self.exports += line
            if line.startswith("export WONDER_CUSTOMERS_SIMULATOR="):
                break

    @property
    def variables(self) -> dict[str, str]:
        return dict(word.split("=", 1) for word in shlex.split(self.exports) if word != "export")

    def ended(self, send: signal.Signals | None = None) -> tuple[int, str]:
        """The exit code and what it said to people; the rest of standard output is empty."""
        if send is not None:
            self.process.send_signal(send)
        out, err = self.process.communicate(timeout=15)
        assert out == ""
        return self.process.returncode, err


def test_ctrl_c_ends_it_quietly(bare: dict[str, str]) -> None:
    running = Running(env=bare)
    code, said = running.ended(signal.SIGINT)
    assert code == 130
    assert "Traceback" not in said
    assert running.variables["WONDER_CUSTOMERS_SIMULATOR"] in said
    assert "Ctrl-C" in said


def test_it_ends_with_its_input_when_asked_to(bare: dict[str, str]) -> None:
    code, said = Running("--until-input-ends", env=bare).ended()
    assert code == 0
    assert "Traceback" not in said


def test_faults_are_named(bare: dict[str, str]) -> None:
    code, said = Running("--faults", "--until-input-ends", env=bare).ended()
    assert code == 0
    assert "/_simulator/faults" in said
    assert "rate_limited" in said


def test_a_database_keeps_the_state(bare: dict[str, str], tmp_path: Path, typed: Typed) -> None:
    file = str(tmp_path / "state.sqlite")
    first = Running("--db", file, "--until-input-ends", env=bare)
    assert first.ended()[0] == 0
    again = Running("--db", file, "--until-input-ends", env=bare)
    try:
        # The credentials of the first run still work, at the new port.
        kept = {
            name: again.variables[name] if name.endswith("_URL") else value for name, value in first.variables.items()
        }
        assert typed("check", env=kept).returncode == 0
    finally:
        again.ended()


def test_a_busy_port_is_told(typed: Typed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = typed("simulator", "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f"port {port}" in done.stderr


def test_a_file_that_is_no_database_is_told(command: Command, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Ada, " * 1000, encoding="ascii")
    for path in (tmp_path / "letter.txt", tmp_path / "no-such-folder" / "state.sqlite"):
        code, out, err = command("simulator", "--db", str(path))
        assert (code, out) == (1, "")
        assert str(path) in err
        assert err.count("\n") == 1
