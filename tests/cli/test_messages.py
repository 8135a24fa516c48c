"""What goes wrong in front of a person: each message says what happened, why, and what to do; never a traceback."""

import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from bulk.people import write_csv
from pages import ROOT

from wonder_customers.cli.codes import FAILED, INTERRUPTED, USAGE
from wonder_customers.cli.sync_jobs import STOPPED
from wonder_customers.simulator.server import SimulatorServer

Command = Callable[..., tuple[int, str, str]]
Typed = Callable[..., "CompletedProcess[str]"]
COMMAND = (sys.executable, "-W", "error", "-m", "wonder_customers")
FULL = Path("/dev/full")
full = pytest.mark.skipif(not FULL.is_char_device(), reason="this system has no /dev/full, a disk that is always full")


INTERRUPTED_WHILE_LOADING = """
import sys


class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "wonder_customers.cli.app":
            raise KeyboardInterrupt


sys.meta_path.insert(0, Interrupting())
from wonder_customers.cli import main
main()
"""


@full
@pytest.mark.parametrize("arguments", [("--help",), ("check",)])
def test_output_that_cannot_be_written(bare: dict[str, str], arguments: tuple[str, ...]) -> None:
    with FULL.open("w") as nowhere:
        done = subprocess.run(
            [*COMMAND, *arguments], env=bare, stdout=nowhere, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == USAGE
    assert done.stderr.startswith("wonder-customers: what is printed cannot be written: No space left on device. Make")
    assert "Traceback" not in done.stderr


@full
def test_a_report_that_cannot_be_written(command: Command, server: SimulatorServer, folder: Path) -> None:
    write_csv(folder / "c.csv", 2)
    (folder / "r.json").symlink_to(FULL)
    code, out, err = command("sync", "c.csv", "--to", "monri", "--report", "r.json", env=server.environment())
    assert code == FAILED
    assert "adds up" in out
    assert "the report r.json could not be written: No space left on device. The job itself ended as told above" in err


@full
def test_dead_letters_that_cannot_be_written(command: Command, server: SimulatorServer, folder: Path) -> None:
    """And what is no file of ours is not removed to make room for them."""
    (folder / "c.csv").write_text("reference,name\nc-1,\nc-2,Ada\n", encoding="utf-8")
    (folder / "f.jsonl").symlink_to(FULL)
    code, _, err = command("sync", "c.csv", "--to", "wonder", "--failures", "f.jsonl", env=server.environment())
    assert code == STOPPED
    assert "could not be written to f.jsonl: No space left on device" in err
    assert "rows that did not arrive are in" not in err
    assert (folder / "f.jsonl").is_symlink()


@pytest.mark.parametrize("option", ["--report", "--html", "--failures"])
def test_a_folder_that_is_missing_is_told_before_anything_is_sent(
    command: Command, server: SimulatorServer, folder: Path, option: str
) -> None:
    write_csv(folder / "c.csv", 2)
    code, _, err = command("sync", "c.csv", "--to", "monri", option, "no/r", env=server.environment())
    assert (code, err) == (
        USAGE,
        "wonder-customers: no/r cannot be written: there is no such folder. Nothing was sent.\n",
    )
    assert server.store.ledger("monri") == {}


def test_a_journal_that_another_job_uses(
    command: Command, server: SimulatorServer, bare: dict[str, str], folder: Path
) -> None:
    """The second job does nothing at all: not even to the letters of the first."""
    write_csv(folder / "c.csv", 200)
    server.faults.add("server_error", times=None, method="POST", status=400, probability=0.5, seed=1)
    words = ("sync", "c.csv", "--to", "monri", "--rate", "50/s")
    environment = bare | server.environment() | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*COMMAND, *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:
        letters = folder / "c.csv.failed.jsonl"
        until = time.monotonic() + 20
        while not letters.exists() and time.monotonic() < until:
            time.sleep(0.01)
        before = letters.stat().st_ino
        code, out, err = command(*words, env=server.environment())
        first.terminate()
    assert (code, out) == (STOPPED, "")
    assert err.startswith("wonder-customers: another run uses this journal already")
    assert "Wait until it ends, or stop it. Nothing was sent." in err
    assert letters.stat().st_ino == before


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("no/journal", "No such file or directory"),
        (".", ". is a folder and no journal"),
        ("text", "file is not a database"),
    ],
)
def test_a_journal_that_cannot_be_one(
    command: Command, server: SimulatorServer, folder: Path, path: str, told: str
) -> None:
    write_csv(folder / "c.csv", 1)
    (folder / "text").write_text("no database", encoding="utf-8")
    (folder / "text.key").write_text("00" * 32, encoding="utf-8")
    code, _, err = command("sync", "c.csv", "--to", "monri", "--journal", path, env=server.environment())
    assert code == USAGE
    assert told in err
    assert err.endswith("with --journal.\n")


def test_an_empty_source_is_pointed_out(command: Command, server: SimulatorServer, folder: Path) -> None:
    (folder / "c.csv").write_text("reference,name\n", encoding="utf-8")
    code, _, err = command("sync", "c.csv", "--to", "monri", env=server.environment())
    assert (code, err) == (0, f"{folder / 'c.csv'} holds no rows: is it the right file?\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "columns.toml cannot be read: No such file or directory"),
        ("columns 5", "columns.toml is no TOML file: "),
        ("columns = 5", "columns.toml has no table [columns]"),
        ("[columns]\nName = 5", "columns.toml has no table [columns]"),
    ],
)
def test_a_file_of_columns_that_cannot_be_used(command: Command, folder: Path, text: str | None, told: str) -> None:
    write_csv(folder / "c.csv", 1)
    if text is not None:
        (folder / "columns.toml").write_text(text, encoding="utf-8")
    code, _, err = command("sync", "c.csv", "--to", "monri", "--map-file", "columns.toml")
    assert code == USAGE
    assert err.startswith(f"wonder-customers: {told}")
    assert "Errno" not in err


def test_rows_of_no_query(command: Command) -> None:
    code, _, err = command("sync", "-", "--to", "monri")
    assert (code, err) == (
        USAGE,
        "wonder-customers: - stands for the rows of a query: say which with --query, or name a file\n",
    )


def test_a_bulk_command_that_is_mistyped_is_told_the_one_that_was_meant(command: Command) -> None:
    code, _, err = command("snyc", "c.csv")
    assert code == USAGE
    assert 'Did you mean "sync"?' in err


def test_two_credentials_at_once(command: Command) -> None:
    both = {"PAYDOCK_SECRET_KEY": "k", "PAYDOCK_ACCESS_TOKEN": "t"}
    code, _, err = command("get", "paydock", "1", env=both)
    told = "wonder-customers: paydock: PAYDOCK_SECRET_KEY and PAYDOCK_ACCESS_TOKEN are both set: unset one of them\n"
    assert (code, err) == (USAGE, told)


def test_a_wrong_clock_is_among_the_causes(command: Command, server: SimulatorServer) -> None:
    server.gateways["wonder"].clock = lambda: time.time() + 7200
    code, out, _ = command("check", "wonder", env=server.environment())
    assert code == FAILED
    assert "Request Time Expired" in out
    assert "this machine's clock" in out


def test_ctrl_c_while_a_deletion_is_under_way(server: SimulatorServer, bare: dict[str, str]) -> None:
    server.faults.add("read_hang", method="DELETE")
    with subprocess.Popen(
        [*COMMAND, "delete", "monri", "customer-1"],
        env=bare | server.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        until = time.monotonic() + 20
        while not server.faults.seen and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == INTERRUPTED
    assert err == "It may have been deleted: `wonder-customers get monri customer-1` shows it.\n"


LOADED_UNTIL_CTRL_C = """
import sys

print("loading", flush=True)
sys.stdin.read()
"""


def test_ctrl_c_while_the_package_loads(tmp_path: Path, bare: dict[str, str]) -> None:
    """The installed command, interrupted in the first package that the library's own import needs."""
    (tmp_path / "attrs.py").write_text(LOADED_UNTIL_CTRL_C, encoding="utf-8")
    script = Path(sysconfig.get_path("scripts"), "wonder-customers")
    with subprocess.Popen(
        [script, "check"], env=bare | {"PYTHONPATH": str(tmp_path)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (INTERRUPTED, "", "")


def test_ctrl_c_while_the_command_line_loads() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_LOADING], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (INTERRUPTED, "")
