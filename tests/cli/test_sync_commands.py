"""The bulk commands against simulated gateways."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from bulk.customers import write_csv
from cli.conftest import Command, start

from wonder_customers.cli import progress
from wonder_customers.cli.exit_codes import FAILED, SUCCESS, USAGE
from wonder_customers.dialects import names
from wonder_customers.simulator.server import SimulatorServer


class Terminal:
    """Runs commands in a folder."""

    def __init__(self, folder: Path, server: SimulatorServer, command: Command) -> None:
        self.folder, self._command = folder, command
        self.environment = server.environment() | {"COLUMNS": "120"}

    def run(self, *words: str) -> tuple[int, str]:
        """Run a command in this process; returns the exit code and the output."""
        code, out, err = self._command(*words, env=self.environment)
        return code, out + err

    def json(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads((self.folder / name).read_bytes())
        return found

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in (self.folder / name).read_bytes().splitlines()]


@pytest.fixture
def terminal(folder: Path, server: SimulatorServer, command: Command) -> Terminal:
    return Terminal(folder, server, command)


def test_plan_sync_and_verify(terminal: Terminal, server: SimulatorServer) -> None:
    write_csv(terminal.folder / "c.csv", 30)
    code, text = terminal.run("plan", "c.csv", "--to", "paydock", "--rate", "30/s")
    assert (code, server.store.ledger("paydock")) == (0, {})
    assert "60 requests, 2 s at 30 requests/s. 30 customers were looked up." in text
    code, text = terminal.run("sync", "c.csv", "--to", "paydock", "--report", "r.json", "--html", "r.html")
    assert code == 0, text
    report = terminal.json("r.json")
    assert (report["exit_status"], report["adds_up"]) == ("finished", True)
    assert (report["rows"]["read"], report["rows"]["created"]) == (30, 30)
    assert "c.csv → paydock</h1>" in (terminal.folder / "r.html").read_text(encoding="utf-8")
    assert not (terminal.folder / "c.csv.paydock.failed.jsonl").exists()
    code, text = terminal.run("sync", "c.csv", "--to", "paydock")
    assert code == 0
    assert "unchanged │     30" in text
    assert terminal.run("verify", "c.csv.paydock.journal")[0] == 0
    server.store._connection.execute("UPDATE customers SET body = replace(body, 'Ada Nr 7 v1', 'Eve')").close()
    code, text = terminal.run("verify", "c.csv.paydock.journal")
    assert code == 2
    assert "row 8, c-7: different: first_name" in text
    code, text = terminal.run("status", "c.csv.paydock.journal")
    assert "done │ 30" in text
    facts = orjson.loads(terminal.run("status", "c.csv.paydock.journal", "--json")[1])
    assert (facts["run"], facts["exit_status"], facts["states"]) == (2, "finished", {"done": 30})


def test_failed_rows_are_written_to_a_file_that_can_be_sent(terminal: Terminal, server: SimulatorServer) -> None:
    source = write_csv(terminal.folder / "c.csv", 6)
    source.write_text(
        source.read_text() + "c-x,Bad,bad@example.com,0912345678\nc-1,Twin,t@example.com,+385 91 234 5678\n"
    )
    server.faults.add("server_error", times=1, method="POST", path="*customers", status=400)
    code, text = terminal.run("sync", "c.csv", "--to", "paydock", "--workers", "1")
    assert code == 2
    assert "3 rows were not sent or not confirmed. The reasons are in c.csv.paydock.failed.jsonl." in text
    assert "retry-failed c.csv.paydock.journal" in text
    (terminal.folder / "one.csv").write_text("reference,email\nc-1,no address\n")
    assert "1 row was not sent or not confirmed." in terminal.run("sync", "one.csv", "--to", "paydock")[1]
    letters = {letter["row"]: letter for letter in terminal.lines("c.csv.paydock.failed.jsonl")}
    assert {row: letter["status"] for row, letter in letters.items()} == {1: "failed", 7: "invalid", 8: "duplicate"}
    assert letters[1]["code"] == "InvalidRequestError 400"
    assert all("values" not in letter for letter in letters.values())
    written = (terminal.folder / "c.csv.paydock.failed.jsonl").read_text()
    for personal in ("Ada", "example.com", "0912345678", "91 234", "Twin"):
        assert personal not in written
        assert personal not in text
    code, text = terminal.run("plan", "c.csv.paydock.failed.jsonl", "--to", "paydock")
    assert "does not contain the values of the row" in text
    code, text = terminal.run("sync", "c.csv", "--to", "paydock", "--full", "--failure-values")
    values = terminal.lines("c.csv.paydock.failed.jsonl")
    assert values[0]["values"]["phone"] == {"number": "0912345678"}
    written = (terminal.folder / "c.csv.paydock.failed.jsonl").read_text().replace("c-1", "c-y")
    fixed = written.replace('"number":"0912345678"', '"dial_code":"+385","number":"912345678"')
    (terminal.folder / "fixed.jsonl").write_text(fixed)
    code, text = terminal.run("sync", "fixed.jsonl", "--to", "paydock")
    assert code == 0, text
    assert server.store.ledger("paydock") == {**{f"c-{number}": 1 for number in range(6)}, "c-x": 1, "c-y": 1}


def test_retry_failed_sends_the_failed_rows(terminal: Terminal, server: SimulatorServer) -> None:
    write_csv(terminal.folder / "c.csv", 5)
    server.faults.add("server_error", times=2, method="POST", path="*customers", status=400)
    assert terminal.run("sync", "c.csv", "--to", "wonder")[0] == 2
    code, text = terminal.run("retry-failed", "c.csv.wonder.journal")
    assert code == 0
    assert "written   │      2" in text
    assert server.store.ledger("wonder") == {f"c-{number}": 1 for number in range(5)}


def begun(server: SimulatorServer, gateway: str, customers: int) -> None:
    """Wait until a process has created at least a given number of customers."""
    until = time.monotonic() + 120
    while len(server.store.created(gateway)) < customers and time.monotonic() < until:
        time.sleep(0.005)


def test_retry_failed_reports_failed_rows_that_left_the_source(terminal: Terminal) -> None:
    source = terminal.folder / "c.csv"
    source.write_text("reference,name\nfail-422-1,Ada\nfail-422-2,Eve\nc-3,Bob\n", encoding="utf-8")
    assert terminal.run("sync", "c.csv", "--to", "monri")[0] == 2
    code, text = terminal.run("retry-failed", "c.csv.monri.journal")
    assert (code, "not in the source" in text) == (2, False), text
    source.write_text("reference,name\nfail-422-2,Eve\nc-3,Bob\n", encoding="utf-8")
    code, text = terminal.run("retry-failed", "c.csv.monri.journal", "--allow-changed")
    assert "1 row that was not confirmed is not in the source." in text
    assert "run: wonder-customers ids c.csv.monri.journal" in text


def test_signal_stops_the_job_and_resume_continues(terminal: Terminal, server: SimulatorServer) -> None:
    source = write_csv(terminal.folder / "c.csv", 60)
    process = start(terminal.folder, terminal.environment, "sync", "c.csv", "--to", "monri", "--rate", "100/s")
    begun(server, "monri", 5)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Finishing the requests in progress" in errors
    assert "To continue, run: wonder-customers resume c.csv.monri.journal" in errors
    assert "unfinished" in output
    assert 5 <= len(server.store.created("monri")) < 60
    assert "not sent, because the job stopped │" in terminal.run("status", "c.csv.monri.journal")[1]
    stamp = source.stat()
    source.write_text(source.read_text().replace("Ada Nr 59", "Eve Nr 59"))
    code, text = terminal.run("resume", "c.csv.monri.journal")
    assert code == 1
    assert "differs from the source with which the run began (the names, sizes, times of change," in text
    source.write_text(source.read_text().replace("Eve Nr 59", "Ada Nr 59"))
    os.utime(source, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    code, text = terminal.run("resume", "c.csv.monri.journal", "--report", "r.json")
    assert code == 0, text
    assert "No row was left to send." not in text
    report = terminal.json("r.json")
    assert (report["rows"]["created"], report["source"]) == (60, "c.csv")  # without the folders of this machine
    assert server.store.ledger("monri") == {f"c-{number}": 1 for number in range(60)}
    assert (
        "No row was left to send. The numbers are those of the whole run."
        in terminal.run("resume", "c.csv.monri.journal")[1]
    )
    assert "No row was left to send.\n" in terminal.run("retry-failed", "c.csv.monri.journal")[1]


def test_second_signal_stops_immediately_and_can_be_resumed(terminal: Terminal, server: SimulatorServer) -> None:
    write_csv(terminal.folder / "c.csv", 30)
    server.faults.add("read_hang", times=None, method="POST", probability=0.2, seed=3)
    process = start(terminal.folder, terminal.environment, "sync", "c.csv", "--to", "wonder")
    begun(server, "wonder", 10)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)  # two equal signals may arrive as one
    began = time.monotonic()
    _, errors = process.communicate(timeout=300)
    assert time.monotonic() - began < 25
    assert process.returncode == 130
    assert "resume c.csv.wonder.journal" in errors
    server.faults.clear()
    code, text = terminal.run("resume", "c.csv.wonder.journal")
    assert code == 0, text
    assert server.store.ledger("wonder") == {f"c-{number}": 1 for number in range(30)}


def test_stopped_job_has_an_exit_code(terminal: Terminal, server: SimulatorServer) -> None:
    write_csv(terminal.folder / "c.csv", 50)
    server.faults.add("server_error", times=None, status=400, gateway="wonder")
    code, text = terminal.run("sync", "c.csv", "--to", "wonder", "--max-failures", "3")
    assert (code, "the maximum number of failed rows, 3, was reached" in text) == (3, True)
    terminal.environment["PAYDOCK_SECRET_KEY"] = "wrong"
    code, text = terminal.run("sync", "c.csv", "--to", "paydock")
    assert (code, "the gateway refused access" in text, "wrong" in text) == (3, True, False)


def test_simulator_option_leaves_no_files(terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 5)
    for gateway in names():
        code, _ = terminal.run("sync", "c.csv", "--to", gateway, "--simulator")
        assert code == 0
    assert [path.name for path in terminal.folder.iterdir()] == ["c.csv"]


def test_columns_are_mapped_by_options_and_file(terminal: Terminal, server: SimulatorServer) -> None:
    (terminal.folder / "k.csv").write_text("Nr;Name;Mail;Tel;Extra\n1;Ada;a@example.com;+43 1 2345678;x\n")
    (terminal.folder / "map.toml").write_text('[columns]\nNr = "reference"\nMail = "email"\n')
    code, text = terminal.run("sync", "k.csv", "--to", "monri", "--mapping", "map.toml", "--map", "Tel=phone")
    assert (code, "'Extra'" in text) == (1, True)
    code, text = terminal.run(
        "sync", "k.csv", "--to", "monri", "--mapping", "map.toml", "--map", "Tel=phone", "--ignore-unknown"
    )
    assert code == 0, text
    assert server.store.customers("monri")[0]["email"] == "a@example.com"


def test_query_as_source(terminal: Terminal, server: SimulatorServer) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    write_csv(terminal.folder / "c.csv", 5)
    query = "SELECT reference, upper(name) AS name, email, phone FROM 'c.csv' WHERE reference <> 'c-3'"
    code, text = terminal.run("sync", "-", "--query", query, "--to", "monri")
    assert code == 0, text
    assert server.store.ledger("monri") == {"c-0": 1, "c-1": 1, "c-2": 1, "c-4": 1}
    assert terminal.run("resume", "query.monri.journal", "--query", query)[0] == 0
    assert terminal.run("sync", ".", "--to", "wonder")[0] == 0


def test_first_sends_some_rows_and_resume_the_others(terminal: Terminal, server: SimulatorServer) -> None:
    write_csv(terminal.folder / "c.csv", 40)
    code, text = terminal.run("sync", "c.csv", "--to", "wonder", "--first", "7")
    assert (code, len(server.store.ledger("wonder"))) == (0, 7)
    assert "To continue, run: wonder-customers resume" in text
    assert terminal.run("resume", "c.csv.wonder.journal")[0] == 0
    assert len(server.store.ledger("wonder")) == 40


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_source_behind_a_link_is_resumed_under_the_name_of_the_link(
    at_simulator: Command, folder: Path, linked: str
) -> None:
    source = "latest/c.csv" if linked == "folder" else "latest.csv"
    for number in (1, 2):
        (folder / f"v{number}").mkdir()
        rows = "".join(f"{it},Ada {number},ada@example.org\n" for it in ("c-1", "c-2", f"fail-422-{number}"))
        (folder / f"v{number}" / "c.csv").write_text(f"reference,name,email\n{rows}")
        link = folder / Path(source).parts[0]
        link.unlink(missing_ok=True)
        link.symlink_to(f"v{number}" if linked == "folder" else f"v{number}/c.csv")
        assert at_simulator("sync", source, "--to", "monri", "--first", "1")[0] == SUCCESS
        journal, again = f"{source}.monri.journal", ("--source", source)
        code, _, err = at_simulator("resume", journal, *again)
        assert code == FAILED, err
        assert f"The reasons are in {source}.monri.failed.jsonl" in err
        code, out, err = at_simulator("verify", journal, *again)
        assert (code, " equal " in out, err) == (FAILED, True, ""), out
        assert at_simulator("retry-failed", journal, *again)[0] == FAILED


def test_migrate_lists_lost_fields_first(terminal: Terminal, server: SimulatorServer) -> None:
    write_csv(terminal.folder / "c.csv", 8)
    data = "reference,name,email,phone,description\nd-1,Eve,e@example.com,+385 91 234 5678,tall\n"
    (terminal.folder / "d.csv").write_text(data)
    assert terminal.run("sync", "c.csv", "--to", "paydock")[0] == 0
    assert terminal.run("sync", "d.csv", "--to", "paydock")[0] == 0
    code, text = terminal.run("migrate", "--from", "paydock", "--to", "wonder")
    assert (code, server.store.ledger("wonder")) == (1, {})
    assert "description" in text
    assert "--accept-losses" in text
    code, text = terminal.run("migrate", "--from", "paydock", "--to", "wonder", "--accept-losses")
    assert code == 0, text
    assert len(server.store.ledger("wonder")) == 9
    sent = server.store.requests.copy()
    assert terminal.run("migrate", "--from", "paydock", "--to", "wonder", "--accept-losses")[0] == 0
    assert {key[0] for key in server.store.requests - sent} == {"paydock"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sync", "missing.csv", "--to", "wonder"], "missing.csv"),
        (["sync", "c.csv", "--to", "acme"], "unknown gateway 'acme'"),
        (["sync", "c.csv", "--to", "wonder", "--rate", "fast"], "--rate must be a number of requests per second"),
        (["sync", "c.csv", "--to", "wonder", "--map", "nothing"], "--map must be COLUMN=FIELD"),
        (["resume", "no.journal"], "no.journal"),
        (["status", "c.csv"], "cannot be used as a journal"),
        (["migrate", "--from", "wonder", "--to", "wonder"], "must be different gateways"),
    ],
)
def test_usage_errors(words: list[str], expected: str, terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 1)
    code, text = terminal.run(*words)
    assert code == 1
    assert expected in text


def test_source_instead_of_a_journal_is_refused_with_the_names_of_its_journals(
    at_simulator: Command, folder: Path
) -> None:
    write_csv(folder / "c.csv", 1)
    assert at_simulator("sync", "c.csv", "--to", "monri")[0] == SUCCESS
    code, _, err = at_simulator("status", "c.csv")
    assert (code, err.endswith(" Journals of c.csv: c.csv.monri.journal.\n")) == (USAGE, True), err


def test_journal_without_its_key_is_refused(terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 1)
    assert terminal.run("sync", "c.csv", "--to", "wonder")[0] == 0
    (terminal.folder / "c.csv.wonder.journal.key").unlink()
    code, text = terminal.run("sync", "c.csv", "--to", "wonder")
    assert (code, " is missing. Restore" in text) == (1, True)


def test_progress_is_json_lines_without_a_terminal(
    terminal: Terminal, server: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LINE_INTERVAL", 0.2)
    monkeypatch.setattr(progress, "_OUTAGE_INTERVAL", 0.05)
    write_csv(terminal.folder / "c.csv", 60)
    code, text = terminal.run("sync", "c.csv", "--to", "wonder", "--rate", "50/s")
    assert code == 0
    facts = [orjson.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert len(facts) >= 3
    assert [line["rows"] for line in facts] == sorted(line["rows"] for line in facts)
    assert {"rows_per_second", "throttled", "p50", "p95", "seconds_left"} <= facts[-1].keys()


@pytest.mark.parametrize("gateway", names())
def test_failed_rows_are_listed_until_they_arrive(terminal: Terminal, server: SimulatorServer, gateway: str) -> None:
    """The file is the only list of rows that did not arrive: neither another gateway nor a short run removes it."""
    source = write_csv(terminal.folder / "c.csv", 6)
    good = source.read_text()
    source.write_text(good + 'c-x,Bad,bad@example@com,\nc-y,"Half\n')
    server.faults.add("server_error", times=2, method="POST", path="*customers*", status=400)
    letters, journal = f"c.csv.{gateway}.failed.jsonl", f"c.csv.{gateway}.journal"

    def listed() -> list[int]:
        return sorted(letter["row"] for letter in terminal.lines(letters))

    assert terminal.run("sync", "c.csv", "--to", gateway, "--workers", "1", "--failure-values")[0] == 2
    assert listed() == [1, 2, 7, 8]
    originals = {letter["row"]: letter.get("original") for letter in terminal.lines(letters)}
    assert originals == {1: None, 2: None, 7: "c-x,Bad,bad@example@com,\n", 8: 'c-y,"Half\n'}
    other = next(name for name in names() if name != gateway)
    assert terminal.run("sync", "c.csv", "--to", other, "--first", "3")[0] == 0
    code, text = terminal.run("retry-failed", journal)
    assert (code, listed()) == (0, [7, 8])
    assert f"\n{letters} still contains 2 failed rows from earlier runs." in text
    source.write_text(good.replace("c-2,", "c-2,Changed "))
    assert terminal.run("sync", "c.csv", "--to", gateway, "--first", "3")[0] == 0
    assert listed() == [7, 8]
    source.write_text(good + "c-x,Good,good@example.com,+385 91 234 5678\n")
    assert terminal.run("sync", "c.csv", "--to", gateway)[0] == 0
    assert listed() == [8]  # the row had no reference, so no later row is known to replace it


def test_file_with_another_content_is_not_used_for_failed_rows(terminal: Terminal, server: SimulatorServer) -> None:
    write_csv(terminal.folder / "c.csv", 2)
    (terminal.folder / "notes.txt").write_text("notes\n")
    code, text = terminal.run("sync", "c.csv", "--to", "monri", "--failures", "notes.txt")
    assert (code, server.store.ledger("monri")) == (1, {})
    assert "notes.txt already exists and is not a list of failed rows" in text
    assert (terminal.folder / "notes.txt").read_text() == "notes\n"
