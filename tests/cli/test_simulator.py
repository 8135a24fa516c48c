"""The command ``simulator``: its output can be pasted into a shell, and it stops as documented."""

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
from cli.conftest import COMMAND, Command, exported

from wonder_customers.cli.app import run


@pytest.mark.parametrize("shell", [["bash"], ["sh"], ["bash", "-c", 'eval "$(cat)"; printenv -0']], ids=str)
def test_exports_work_when_pasted_and_with_eval(
    exports: str, variables: dict[str, str], bare: dict[str, str], shell: list[str]
) -> None:
    script = exports if "-c" in shell else f"{exports}\nprintenv -0\n"
    pasted = subprocess.run(shell, input=script, env=bare, capture_output=True, text=True, check=False, timeout=300)
    assert pasted.stderr == ""
    assert variables.items() <= printed_variables(pasted).items()


def printed_variables(done: "CompletedProcess[str]") -> dict[str, str]:
    return dict(it.split("=", 1) for it in done.stdout.split("\0") if it)


Variables = dict[str, str]
Simulate = Callable[..., tuple[Variables, str]]


class Input:
    """A standard input that ends after `during` was called with the output so far."""

    def __init__(self, during: Callable[[], None]) -> None:
        self.read = during


@pytest.fixture
def simulate(capsys: pytest.CaptureFixture[str], bare: Variables, monkeypatch: pytest.MonkeyPatch) -> Simulate:
    """Run the simulator in this process, and call a function with its variables while it runs.

    Returns:
        The variables, and standard error.
    """

    def call(*arguments: str, during: Callable[[Variables], None] = lambda _: None) -> tuple[Variables, str]:
        found: Variables = {}
        errors: list[str] = []

        def read() -> None:
            printed = capsys.readouterr()
            found.update(exported(printed.out))
            errors.append(printed.err)
            during(found)

        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdin", Input(read))
            assert run(["simulator", "--until-input-ends", *arguments]) == 0
        return found, "".join(errors)

    return call


def test_ctrl_c_stops_the_simulator(bare: Variables) -> None:
    with subprocess.Popen(
        [*COMMAND, "simulator"], env=bare, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        last = next(line for line in process.stdout if line.startswith("export WONDER_CUSTOMERS_SIMULATOR="))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert exported(last)["WONDER_CUSTOMERS_SIMULATOR"] in err
    assert "Ctrl-C" in err


def test_faults_are_listed_and_end_of_input_stops_the_simulator(simulate: Simulate) -> None:
    _, err = simulate("--faults")
    assert """/_simulator/faults --json '{"name": "server_error"}'""" in err
    assert "rate_limited" in err


def test_db_option_keeps_the_state(simulate: Simulate, tmp_path: Path, command: Command) -> None:
    file = str(tmp_path / "state.sqlite")
    first, _ = simulate("--db", file)

    def check(again: Variables) -> None:
        # The credentials of the first run are valid at the new port.
        kept = {name: again[name] if name.endswith("_URL") else value for name, value in first.items()}
        assert command("check", env=kept)[0] == 0

    simulate("--db", file, during=check)


def test_busy_port_is_reported(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, printed, errors = command("simulator", "--port", str(port))
    assert (code, printed) == (1, "")
    assert errors.count("\n") == 1
    assert f"port {port}" in errors


def test_merchants_option_prints_the_variables_of_each_merchant(simulate: Simulate, command: Command) -> None:
    def check(found: Variables) -> None:
        second = {name.removesuffix("_2"): value for name, value in found.items() if name.endswith("_2")}
        assert second["MONRI_MERCHANT_KEY"] != found["MONRI_MERCHANT_KEY"]
        assert command("check", env=second)[1].count("right") == 3

    simulate("--merchants", "2", during=check)


def test_latency_rate_limit_and_seed_options(simulate: Simulate, tmp_path: Path) -> None:
    seed = tmp_path / "seed.json"

    def check(found: Variables) -> None:
        origin = found["WONDER_CUSTOMERS_SIMULATOR"]
        conditions = httpx.get(f"{origin}/_simulator/conditions", trust_env=False).json()
        assert conditions == {"latency": [0.001, 0.002], "rate_limit": 1000.0}
        seed.write_bytes(httpx.get(f"{origin}/_simulator/state", trust_env=False).content)

    first, _ = simulate("--latency", "1..2ms", "--rate-limit", "1000/s", during=check)
    second, _ = simulate("--seed", str(seed))
    names = ("MONRI_MERCHANT_KEY", "PAYDOCK_SECRET_KEY", "WONDER_APP_ID")
    assert [second[name] for name in names] == [first[name] for name in names]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--latency", "fast"), "--latency must be a time such as 200ms"),
        (("--latency", "2..1s"), "is greater than the maximum"),
        (("--rate-limit", "20"), "--rate-limit must be a positive number of requests per second"),
        (("--rate-limit", "0/s"), "must be a positive number"),
        (("--seed", "missing.json"), "missing.json cannot be read"),
        (
            ("--seed", "wrong.json"),
            "wrong.json is not a state exported by the simulator: a state must be a JSON object",
        ),
        (("--seed", "text.json"), "text.json is not a state exported by the simulator: the file is not JSON"),
        (("--seed", "deep.json"), "deep.json is not a state exported by the simulator: the file is not JSON"),
        (("--db", "notes.db"), "notes.db"),
        (("--db", "letter.db"), "letter.db"),
        (("--db", "no-such-folder/state.db"), "no-such-folder/state.db"),
    ],
)
def test_invalid_simulator_options(command: Command, tmp_path: Path, options: tuple[str, str], text: str) -> None:
    (tmp_path / "wrong.json").write_text('{"version": 7}')
    (tmp_path / "text.json").write_bytes(b"reference,name\xff")
    (tmp_path / "letter.db").write_text("Dear Ada, " * 1000, encoding="ascii")
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with sqlite3.connect(tmp_path / "notes.db") as other:
        other.execute("CREATE TABLE notes (text TEXT)")
    other.close()
    name, value = options
    value = str(tmp_path / value) if value.endswith((".json", ".db")) else value
    code, printed, errors = command("simulator", name, value)
    assert (code, printed, errors.count("\n")) == (1, "", 1)
    assert (value if name == "--db" else text) in errors
