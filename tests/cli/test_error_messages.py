"""Error messages: each states what happened, why and what to do, without a traceback."""

import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from bulk.customers import write_csv
from cli.conftest import COMMAND, Command, Terminal, start

from wonder_customers import (
    DeadlineExceededError,
    InvalidRequestError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
)
from wonder_customers.bulk import Journal
from wonder_customers.cli.error_messages import error_message
from wonder_customers.cli.exit_codes import FAILED, INTERRUPTED, STOPPED, USAGE
from wonder_customers.simulator.server import SimulatorServer

FULL = Path("/dev/full")
full = pytest.mark.skipif(not FULL.is_char_device(), reason="requires /dev/full")


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
@pytest.mark.parametrize("arguments", [pytest.param(("--help",), marks=pytest.mark.long), ("check",)])
def test_unwritable_output_is_reported(bare: dict[str, str], arguments: tuple[str, ...]) -> None:
    with FULL.open("w") as nowhere:
        done = subprocess.run(
            [*COMMAND, *arguments], env=bare, stdout=nowhere, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == USAGE
    assert done.stderr.startswith("wonder-customers: standard output cannot be written: No space left on device. Free")
    assert "Traceback" not in done.stderr


@full
def test_unwritable_report_is_reported(terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 2)
    (terminal.folder / "r.json").symlink_to(FULL)
    text = terminal.ends(FAILED, "sync", "c.csv", "--to", "monri", "--report", "r.json")
    assert "adds up" in text
    assert "the report r.json could not be written: No space left on device. The summary above shows" in text


@full
@pytest.mark.parametrize("option", ["--report", "--html"])
def test_unwritable_report_does_not_hide_the_end_of_a_job(terminal: Terminal, option: str) -> None:
    write_csv(terminal.folder / "c.csv", 2)
    words = ("sync", "c.csv", "--to", "monri", "--heartbeat", "h.json", option, str(FULL))
    assert "report /dev/full could not be written" in terminal.ends(STOPPED, *words, MONRI_MERCHANT_KEY="another")
    heartbeat = terminal.json("h.json")
    assert (heartbeat["exit_code"], heartbeat["exit_status"]) == (STOPPED, "refused")


@full
@pytest.mark.parametrize(("out", "err", "expected"), [(True, False, FAILED), (False, True, 0), (True, True, FAILED)])
def test_full_disk_for_the_output_of_a_job(terminal: Terminal, out: bool, err: bool, expected: int) -> None:
    write_csv(terminal.folder / "c.csv", 2)
    words = ("sync", "c.csv", "--to", "monri", "--report", "r.json")
    with FULL.open("w") as file:
        outputs = [file.fileno() if it else subprocess.PIPE for it in (out, err)]
        process = start(terminal.folder, terminal.variables, *words, out=outputs[0], err=outputs[1])
    _, errors = process.communicate(timeout=300)
    assert process.returncode == expected
    assert terminal.json("r.json")["rows"]["created"] == 2
    assert err or not out or "standard output cannot be written: No space left on device" in errors


@full
def test_unwritable_dead_letters_stop_the_job(terminal: Terminal) -> None:
    """A file that is not a regular file is not removed either."""
    (terminal.folder / "c.csv").write_text("reference,name\nc-1,\nc-2,Ada\n", encoding="utf-8")
    (terminal.folder / "f.jsonl").symlink_to(FULL)
    text = terminal.ends(STOPPED, "sync", "c.csv", "--to", "wonder", "--failures", "f.jsonl")
    assert text.startswith("c.csv → wonder (simulator): stopped ")
    assert "could not be written to f.jsonl: No space left on device" in text
    assert "The reasons are in" not in text
    assert (terminal.folder / "f.jsonl").is_symlink()


@pytest.mark.parametrize("option", ["--report", "--html", "--failures"])
def test_missing_output_folder_is_refused_before_sending(terminal: Terminal, option: str) -> None:
    write_csv(terminal.folder / "c.csv", 2)
    assert terminal.ends(USAGE, "sync", "c.csv", "--to", "monri", option, "no/r") == (
        "wonder-customers: no/r cannot be written, because its folder does not exist. Create the folder, or"
        f" give another path with {option}. Nothing was sent."
    )
    assert terminal.server.store.ledger("monri") == {}


def test_journal_in_use_is_refused(terminal: Terminal) -> None:
    """The second job does not touch the dead letters of the first."""
    write_csv(terminal.folder / "c.csv", 3)
    terminal.server.faults.add("server_error", times=None, method="POST", status=400)
    words, letters = ("sync", "c.csv", "--to", "monri"), terminal.folder / "c.csv.monri.failed.jsonl"
    terminal.ends(FAILED, *words)
    before, first = letters.stat().st_ino, Journal.existing(terminal.folder / "c.csv.monri.journal")
    first.hold()
    try:
        text = terminal.ends(STOPPED, *words)
    finally:
        first.release()
    assert text.startswith("wonder-customers: another run is using this journal")
    assert "Nothing was sent or changed. Wait until the other run ends, or stop it." in text
    assert letters.stat().st_ino == before


@pytest.mark.parametrize(
    ("path", "expected", "advice"),
    [
        (
            "no/journal",
            "No such file or directory",
            "Fix the cause, such as the permissions of the file or of its folder, or use another file as the journal.",
        ),
        (".", ". is a folder", "Give the path of a journal or of a new file."),
        ("text", "file is not a database", "such as FILE.GATEWAY.journal, or of a new file."),
    ],
)
def test_invalid_journal_is_reported(terminal: Terminal, path: str, expected: str, advice: str) -> None:
    write_csv(terminal.folder / "c.csv", 1)
    (terminal.folder / "text").write_text("no database", encoding="utf-8")
    (terminal.folder / "text.key").write_text("00" * 32, encoding="utf-8")
    (terminal.folder / "text.key").chmod(0o600)
    text = terminal.ends(USAGE, "sync", "c.csv", "--to", "monri", "--journal", path)
    assert expected in text
    assert text.removesuffix(" Nothing was sent.").endswith(advice)


@pytest.mark.parametrize(
    ("name", "data", "advice"),
    [
        ("c.csv", "reference,Card'Number,CC\n", "with --map 'COLUMN=payment_source.number', or"),
        ("c.csv", """reference,"Card}""'Number",CC\n""", """out with --map 'Card}"'"'"'Number=' --map 'CC='. If"""),
        ("c.csv", "reference,Shoe\n", "leave the column out with --map 'COLUMN=', or leave"),
        ("c.csv", "reference,Shoe\n", "leave all unknown columns out with --ignore-unknown."),
        ("c.csv", "Email 1,name\n", "For example: --map 'Email 1=reference,email'."),
        ("c.csv", "reference,name\n1,Želj\n2,Šćep\n".encode("cp1250"), " --encoding cp1250, or export the data"),
        ("c.csv", "reference\n1\n".encode("utf-32-le"), "Set the encoding with --encoding utf-32-le, or"),
        ("c.csv", "'reference','name'\n1,2\n", """Add --quote "'"."""),
        ("c.csv", "Customers\nreference,name\n1,2\n", "add --skip-lines 1."),
        ("c.csv", "reference~name\n1~2\n", "set this character with --delimiter."),
        ("c.data", "", "Set the format with --format: csv,"),
        ("c.sqlite", "", "Select the rows with --query."),
        ("c.xlsx", "reference\n", "Try --format csv, or open"),
    ],
)
def test_advice_about_a_source_names_options(terminal: Terminal, name: str, data: str | bytes, advice: str) -> None:
    (terminal.folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    assert advice in terminal.ends(USAGE, "sync", name, "--to", "monri")


@pytest.mark.parametrize(
    ("text", "found"), [("reference,name\n", "no rows, only column names (fields: reference, name)"), ("", "no rows")]
)
@pytest.mark.parametrize("name", ["plan", "sync"])
def test_empty_source_is_reported(terminal: Terminal, text: str, found: str, name: str) -> None:
    (terminal.folder / "c.csv").write_text(text, encoding="utf-8")
    code, _, err = terminal.run(name, "c.csv", "--to", "monri")
    assert (code, err) == (0, f"c.csv has {found}. Check that the source is the right file.\n")


def test_report_of_a_stopped_job_names_options(terminal: Terminal) -> None:
    (terminal.folder / "in").mkdir()
    write_csv(terminal.folder / "in" / "a.csv", 1)
    late = '{"reference": "c-2", "name": "Ada"}\n{"reference": "c-3", "Shoe": 38}'
    (terminal.folder / "in" / "b.jsonl").write_text(late, encoding="utf-8")
    text = terminal.ends(STOPPED, "sync", "in", "--to", "monri", "--report", "r.json")
    advice = "b.jsonl, line 2: the source has unknown columns: 'Shoe'. Map each column to a field with --map 'COLUMN="
    assert (advice in terminal.json("r.json")["reason"], advice in text) == (True, True)


@pytest.mark.parametrize("name", ["plan", "sync"])
def test_file_of_a_folder_without_rows_is_reported(terminal: Terminal, name: str) -> None:
    (terminal.folder / "in").mkdir()
    write_csv(terminal.folder / "in" / "a.csv", 1)
    (terminal.folder / "in" / "b.csv").write_text("reference,name\n", encoding="utf-8")
    code, _, err = terminal.run(name, "in", "--to", "monri")
    assert (code, err) == (0, "b.csv has no rows. Check that the file is complete.\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "columns.toml cannot be read: No such file or directory"),
        ("columns 5", "columns.toml is not a TOML file: "),
        ("columns = 5", "columns.toml: [columns] must be a table with lines such as"),
        ("[columns]\nName = 5", "columns.toml: [columns] 'Name': the field must be a string or a list of strings"),
    ],
)
def test_invalid_map_file_is_reported(terminal: Terminal, text: str | None, expected: str) -> None:
    write_csv(terminal.folder / "c.csv", 1)
    if text is not None:
        (terminal.folder / "columns.toml").write_text(text, encoding="utf-8")
    message = terminal.ends(USAGE, "sync", "c.csv", "--to", "monri", "--mapping", "columns.toml")
    assert message.startswith(f"wonder-customers: {expected}")
    assert "Errno" not in message


SECRETS = {"PAYDOCK_SECRET_KEY": "k", "PAYDOCK_ACCESS_TOKEN": "t"}
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "sync - --to monri": (
        {}, "the source '-' requires --query. To read a file, give its path.\nNothing was sent.\n"
    ),
    "get paydock 1": (
        SECRETS, "paydock: PAYDOCK_SECRET_KEY and PAYDOCK_ACCESS_TOKEN are both set. Unset one of the variables.\n"
    ),
    "demo --quirks nope": ({}, "--quirks: "),
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_invalid_command_line_is_refused(command: Command, words: str) -> None:
    variables, message = REFUSED[words]
    code, _, err = command(*words.split(), env=variables)
    assert code == USAGE
    assert err.startswith(f"wonder-customers: {message}")


def test_mistyped_command_gets_a_suggestion(command: Command) -> None:
    code, _, err = command("snyc", "c.csv")
    assert code == USAGE
    assert 'Did you mean "sync"?' in err


def test_wrong_clock_is_suggested_as_a_cause(command: Command, server: SimulatorServer) -> None:
    server.gateways["wonder"].clock = lambda: time.time() + 7200
    code, out, _ = command("check", "wonder", env=server.environment())
    assert code == FAILED
    assert "Request Time Expired" in out
    assert "the clock of this machine is correct" in out


def _interrupted(server: SimulatorServer, *words: str, env: dict[str, str], cwd: Path | None = None) -> tuple[int, str]:
    """Run a command, interrupt it when a fault occurs, and return its exit code and messages."""
    with subprocess.Popen(
        [*COMMAND, *words], env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until = time.monotonic() + 120
        while not server.faults.seen and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
    return process.returncode, err


def test_ctrl_c_during_delete_names_the_command_that_checks(server: SimulatorServer, bare: dict[str, str]) -> None:
    server.faults.add("read_hang", method="DELETE")
    code, err = _interrupted(server, "delete", "monri", "customer-1", env=bare | server.environment())
    assert code == INTERRUPTED
    assert err == "The customer may have been deleted. To check, run: `wonder-customers get monri customer-1`.\n"


def test_ctrl_c_during_a_migration_names_the_command_that_continues(
    server: SimulatorServer, bare: dict[str, str], tmp_path: Path
) -> None:
    environment = bare | server.environment()
    (tmp_path / "c.csv").write_text("reference,name,city\nc-1,Ada,Zagreb\n")
    subprocess.run([*COMMAND, "sync", "c.csv", "--to", "monri"], env=environment, cwd=tmp_path, check=True)
    server.faults.add("read_hang", method="POST")
    arguments = ("migrate", "--from", "monri", "--to", "paydock", "--accept-losses")
    code, err = _interrupted(server, *arguments, env=environment, cwd=tmp_path)
    assert code == INTERRUPTED
    command = (
        "wonder-customers migrate --from monri --to paydock --journal migrate.monri.paydock.journal --accept-losses"
    )
    assert f"To continue, run: {command}\n" in err


LOADED_UNTIL_CTRL_C = """
import sys

print("loading", flush=True)
sys.stdin.read()
"""


def test_ctrl_c_while_the_package_is_imported(tmp_path: Path, bare: dict[str, str]) -> None:
    """The installed command is interrupted while it imports its first dependency."""
    (tmp_path / "attrs.py").write_text(LOADED_UNTIL_CTRL_C, encoding="utf-8")
    script = Path(sysconfig.get_path("scripts"), "wonder-customers")
    with subprocess.Popen(
        [script, "check"], env=bare | {"PYTHONPATH": str(tmp_path)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err) == (INTERRUPTED, "", "")


def test_ctrl_c_while_the_command_line_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_LOADING], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (INTERRUPTED, "")


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (
            OutcomeUnknownError("x", gateway="monri", operation="delete", id="a b"),
            "`wonder-customers get monri 'a b'`.",
        ),
        (
            OutcomeUnknownError("x", gateway="monri", operation="create", reference="a b"),
            "`wonder-customers get monri --reference 'a b'`.",
        ),
        (DeadlineExceededError("x", gateway="monri"), "Run the command again when the gateway is available."),
        (NotFoundError("x", gateway="monri", operation="get"), "finds a customer by reference."),
        (InvalidRequestError("x", gateway="paydock", operation="delete"), "finds a customer by reference."),
        (NotFoundError("x"), NotFoundError.hint),
        (NotSentError("the port in base_url is wrong", gateway="monri"), NotSentError.hint),
    ],
    ids=lambda it: type(it).__name__ if isinstance(it, Exception) else None,
)
def test_hints_of_commands_contain_no_python(error: Exception, hint: str) -> None:
    message = error_message(error)
    assert message.endswith(hint)
    assert not {"await", "RetryPolicy", "session", "base_url"} & set(
        message.replace("(", " ").replace(".", " ").split()
    )


@pytest.mark.parametrize("name", ["MONRI_BASE_URL", "MONRI_AUTH", "MONRI_MERCHANT_KEY"])
def test_message_about_an_invalid_variable_names_the_variable(
    command: Command, server: SimulatorServer, name: str
) -> None:
    code, out, _ = command("check", "monri", env=server.environment() | {name: "a b"})
    assert (code, f"monri: {name} must " in out) == (USAGE, True)
