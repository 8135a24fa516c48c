"""The command ``simulator``: its output can be pasted into a shell, and it stops as documented."""

import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import httpx
import pytest

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_exports_work_when_pasted(exports: str, variables: dict[str, str], bare: dict[str, str], shell: str) -> None:
    script = f"{exports}\nprintenv -0\n"
    pasted = subprocess.run([shell], input=script, env=bare, capture_output=True, text=True, check=False, timeout=300)
    assert pasted.stderr == ""
    assert variables.items() <= printed_variables(pasted).items()


def test_exports_work_with_eval(exports: str, variables: dict[str, str], bare: dict[str, str]) -> None:
    words = ["bash", "-c", 'eval "$0"; printenv -0', exports]
    pasted = subprocess.run(words, env=bare, capture_output=True, text=True, check=True)
    assert variables.items() <= printed_variables(pasted).items()


def printed_variables(done: "CompletedProcess[str]") -> dict[str, str]:
    return dict(it.split("=", 1) for it in done.stdout.split("\0") if it)


class RunningSimulator:
    """A simulator process whose exports have been read."""

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

    def wait(self, send: signal.Signals | None = None) -> tuple[int, str]:
        """Wait for the end; returns the exit code and standard error."""
        if send is not None:
            self.process.send_signal(send)
        out, err = self.process.communicate(timeout=300)
        assert out == ""
        return self.process.returncode, err


def test_ctrl_c_stops_the_simulator(bare: dict[str, str]) -> None:
    running = RunningSimulator(env=bare)
    code, err = running.wait(signal.SIGINT)
    assert code == 130
    assert "Traceback" not in err
    assert running.variables["WONDER_CUSTOMERS_SIMULATOR"] in err
    assert "Ctrl-C" in err


def test_faults_are_listed_and_end_of_input_stops_the_simulator(bare: dict[str, str]) -> None:
    code, err = RunningSimulator("--faults", "--until-input-ends", env=bare).wait()
    assert code == 0
    assert "Traceback" not in err
    assert "/_simulator/faults" in err
    assert """/_simulator/faults --json '{"name": "server_error"}'""" in err
    assert "rate_limited" in err


def test_db_option_keeps_the_state(bare: dict[str, str], tmp_path: Path, command: Command) -> None:
    file = str(tmp_path / "state.sqlite")
    first = RunningSimulator("--db", file, "--until-input-ends", env=bare)
    assert first.wait()[0] == 0
    again = RunningSimulator("--db", file, "--until-input-ends", env=bare)
    try:
        # The credentials of the first run are valid at the new port.
        kept = {
            name: again.variables[name] if name.endswith("_URL") else value for name, value in first.variables.items()
        }
        assert command("check", env=kept)[0] == 0
    finally:
        again.wait()


def test_busy_port_is_reported(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, printed, errors = command("simulator", "--port", str(port))
    assert (code, printed) == (1, "")
    assert errors.count("\n") == 1
    assert f"port {port}" in errors


def test_invalid_database_is_reported(command: Command, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Ada, " * 1000, encoding="ascii")
    for path in (tmp_path / "letter.txt", tmp_path / "no-such-folder" / "state.sqlite"):
        code, out, err = command("simulator", "--db", str(path))
        assert (code, out) == (1, "")
        assert str(path) in err
        assert err.count("\n") == 1


def test_merchants_option_prints_the_variables_of_each_merchant(bare: dict[str, str]) -> None:
    running = RunningSimulator("--merchants", "2", "--until-input-ends", env=bare)
    try:
        found = running.variables
        second = {name.removesuffix("_2"): value for name, value in found.items() if name.endswith("_2")}
        assert second["MONRI_MERCHANT_KEY"] != found["MONRI_MERCHANT_KEY"]
        check = [sys.executable, "-m", "wonder_customers", "check"]
        checked = subprocess.run(check, env={**bare, **second}, capture_output=True, text=True, check=False, timeout=30)
        assert checked.stdout.count("right") == 3, checked.stderr
    finally:
        running.wait()


def test_latency_rate_limit_and_seed_options(bare: dict[str, str], tmp_path: Path) -> None:
    options = ("--latency", "1..2ms", "--rate-limit", "1000/s", "--until-input-ends")
    first = RunningSimulator(*options, env=bare)
    try:
        origin = first.variables["WONDER_CUSTOMERS_SIMULATOR"]
        conditions = httpx.get(f"{origin}/_simulator/conditions", trust_env=False).json()
        assert conditions == {"latency": [0.001, 0.002], "rate_limit": 1000.0}
        seed = tmp_path / "seed.json"
        seed.write_bytes(httpx.get(f"{origin}/_simulator/state", trust_env=False).content)
    finally:
        first.wait()
    second = RunningSimulator("--seed", str(seed), "--until-input-ends", env=bare)
    second.wait()
    names = ("MONRI_MERCHANT_KEY", "PAYDOCK_SECRET_KEY", "WONDER_APP_ID")
    assert [second.variables[name] for name in names] == [first.variables[name] for name in names]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--latency", "fast"), "--latency must be a time such as 200ms"),
        (("--latency", "2..1s"), "is greater than the maximum"),
        (("--rate-limit", "20"), "--rate-limit must be a number of requests per second"),
        (("--rate-limit", "0/s"), "greater than 0"),
        (("--seed", "missing.json"), "missing.json cannot be read"),
        (("--seed", "wrong.json"), "wrong.json is not an exported state"),
        (("--db", "notes.db"), "notes.db"),
    ],
)
def test_invalid_simulator_options(command: Command, tmp_path: Path, options: tuple[str, str], text: str) -> None:
    (tmp_path / "wrong.json").write_text('{"version": 7}')
    with sqlite3.connect(tmp_path / "notes.db") as other:
        other.execute("CREATE TABLE notes (text TEXT)")
    other.close()
    name, value = options
    value = str(tmp_path / value) if value.endswith((".json", ".db")) else value
    code, printed, errors = command("simulator", name, value)
    assert (code, printed) == (1, "")
    assert text.rsplit(maxsplit=1)[-1] in errors
    assert "Traceback" not in errors
