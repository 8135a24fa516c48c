"""The bulk commands against simulated gateways."""

import os
import signal
import time
from pathlib import Path

import orjson
import pytest
from bulk.customers import write_csv
from cli.conftest import Terminal, start

from wonder_customers.cli import progress
from wonder_customers.cli.exit_codes import FAILED, INTERRUPTED, STOPPED, SUCCESS, USAGE
from wonder_customers.dialects import names
from wonder_customers.simulator.server import SimulatorServer


def test_plan_sync_and_verify(terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 30)
    text = terminal.ends(SUCCESS, "plan", "c.csv", "--to", "paydock", "--rate", "30/s")
    assert terminal.server.store.ledger("paydock") == {}
    assert "60 requests, 2 s at 30 requests/s. 30 customers were looked up." in text
    terminal.ends(SUCCESS, "sync", "c.csv", "--to", "paydock", "--report", "r.json", "--html", "r.html")
    report = terminal.json("r.json")
    assert (report["exit_status"], report["adds_up"]) == ("finished", True)
    assert (report["rows"]["read"], report["rows"]["created"]) == (30, 30)
    assert "c.csv → paydock</h1>" in (terminal.folder / "r.html").read_text(encoding="utf-8")
    assert not (terminal.folder / "c.csv.paydock.failed.jsonl").exists()
    assert "unchanged │ 30" in terminal.ends(SUCCESS, "sync", "c.csv", "--to", "paydock")
    journal = "c.csv.paydock.journal"
    terminal.ends(SUCCESS, "verify", journal)
    connection = terminal.server.store._connection
    connection.execute("UPDATE customers SET body = replace(body, 'Ada Nr 7 v1', 'Eve')").close()
    assert "row 8, c-7: different: first_name" in terminal.ends(FAILED, "verify", journal)
    assert "done │ 30" in terminal.ends(SUCCESS, "status", journal)
    facts = orjson.loads(terminal.run("status", journal, "--json")[1])
    assert (facts["run"], facts["exit_status"], facts["states"]) == (2, "finished", {"done": 30})


def test_failed_rows_are_written_to_a_file_that_can_be_sent(terminal: Terminal) -> None:
    source, failed = write_csv(terminal.folder / "c.csv", 6), "c.csv.paydock.failed.jsonl"
    twins = "c-x,Bad,bad@example.com,0912345678\nc-1,Twin,t@example.com,+385 91 234 5678\n"
    source.write_text(source.read_text() + twins)
    terminal.server.faults.add("server_error", times=1, method="POST", path="*customers", status=400)
    text = terminal.ends(FAILED, "sync", "c.csv", "--to", "paydock", "--workers", "1")
    assert f"3 rows were not sent or not confirmed. The reasons are in {failed}." in text
    assert "retry-failed c.csv.paydock.journal" in text
    (terminal.folder / "one.csv").write_text("reference,email\nc-1,no address\n")
    assert "1 row was not sent or not confirmed." in terminal.ends(FAILED, "sync", "one.csv", "--to", "paydock")
    letters = {letter["row"]: letter for letter in terminal.lines(failed)}
    assert {row: letter["status"] for row, letter in letters.items()} == {1: "failed", 7: "invalid", 8: "duplicate"}
    assert letters[1]["code"] == "InvalidRequestError 400"
    assert all("values" not in letter for letter in letters.values())
    written = (terminal.folder / failed).read_text()
    assert not [it for it in ("Ada", "example.com", "0912345678", "91 234", "Twin") if it in f"{written}{text}"]
    assert "does not contain the values of the row" in terminal.ends(FAILED, "plan", failed, "--to", "paydock")
    terminal.ends(FAILED, "sync", "c.csv", "--to", "paydock", "--full", "--failure-values")
    assert terminal.lines(failed)[0]["values"]["phone"] == {"number": "0912345678"}
    terminal.change("c-1", "c-y", failed)
    terminal.change('"number":"0912345678"', '"dial_code":"+385","number":"912345678"', failed)
    (terminal.folder / failed).rename(terminal.folder / "fixed.jsonl")
    terminal.ends(SUCCESS, "sync", "fixed.jsonl", "--to", "paydock")
    created = {**{f"c-{number}": 1 for number in range(6)}, "c-x": 1, "c-y": 1}
    assert terminal.server.store.ledger("paydock") == created


def test_retry_failed_sends_the_failed_rows(terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 5)
    terminal.server.faults.add("server_error", times=2, method="POST", path="*customers", status=400)
    terminal.ends(FAILED, "sync", "c.csv", "--to", "wonder")
    assert "written │ 2" in terminal.ends(SUCCESS, "retry-failed", "c.csv.wonder.journal")
    assert terminal.server.store.ledger("wonder") == {f"c-{number}": 1 for number in range(5)}


def begun(server: SimulatorServer, gateway: str, customers: int) -> None:
    """Wait until a process has created at least a given number of customers."""
    until = time.monotonic() + 120
    while len(server.store.created(gateway)) < customers and time.monotonic() < until:
        time.sleep(0.005)


def test_retry_failed_reports_failed_rows_that_left_the_source(terminal: Terminal) -> None:
    (terminal.folder / "c.csv").write_text("reference,name\nfail-422-1,Ada\nfail-422-2,Eve\nc-3,Bob\n")
    terminal.ends(FAILED, "sync", "c.csv", "--to", "monri")
    assert "not in the source" not in terminal.ends(FAILED, "retry-failed", "c.csv.monri.journal")
    terminal.change("fail-422-1,Ada\n", "")
    text = terminal.ends(FAILED, "retry-failed", "c.csv.monri.journal", "--allow-changed")
    assert "1 row that was not confirmed is not in the source." in text
    assert "run: wonder-customers ids c.csv.monri.journal" in text
    (terminal.folder / "c.csv").write_bytes("reference;name\nfail-422-2;Žarko Šimić\n".encode("cp1250"))
    text = terminal.ends(USAGE, "retry-failed", "c.csv.monri.journal", "--allow-changed")
    assert "Run `sync` with other options. Nothing was sent." in " ".join(text.split())


def test_signal_stops_the_job_and_resume_continues(terminal: Terminal) -> None:
    source, journal = write_csv(terminal.folder / "c.csv", 60), "c.csv.monri.journal"
    process = start(terminal.folder, terminal.variables, "sync", "c.csv", "--to", "monri", "--rate", "100/s")
    begun(terminal.server, "monri", 5)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == INTERRUPTED
    assert "Finishing the requests in progress" in errors
    assert f"To continue, run: wonder-customers resume {journal}" in errors
    assert "unfinished" in output
    assert 5 <= len(terminal.server.store.created("monri")) < 60
    assert "not sent, because the job stopped │" in terminal.ends(SUCCESS, "status", journal)
    stamp = source.stat()
    terminal.change("Ada Nr 59", "Eve Nr 59")
    text = terminal.ends(USAGE, "resume", journal)
    assert "differs from the source with which the run began (the names, sizes, times of change," in text
    terminal.change("Eve Nr 59", "Ada Nr 59")
    os.utime(source, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert "No row was left to send." not in terminal.ends(SUCCESS, "resume", journal, "--report", "r.json")
    report = terminal.json("r.json")
    assert (report["rows"]["created"], report["source"]) == (60, "c.csv")  # without the folders of this machine
    assert terminal.server.store.ledger("monri") == {f"c-{number}": 1 for number in range(60)}
    nothing = "No row was left to send."
    assert f"{nothing} The numbers are those of the whole run." in terminal.ends(SUCCESS, "resume", journal)
    text = terminal.ends(SUCCESS, "retry-failed", journal)
    assert nothing in text
    assert f"{nothing} The numbers" not in text


def test_second_signal_stops_immediately_and_can_be_resumed(terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 30)
    terminal.server.faults.add("read_hang", times=None, method="POST", probability=0.2, seed=3)
    process = start(terminal.folder, terminal.variables, "sync", "c.csv", "--to", "wonder")
    begun(terminal.server, "wonder", 10)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)  # two equal signals may arrive as one
    began = time.monotonic()
    _, errors = process.communicate(timeout=300)
    assert time.monotonic() - began < 25
    assert process.returncode == INTERRUPTED
    assert "resume c.csv.wonder.journal" in errors
    terminal.server.faults.clear()
    terminal.ends(SUCCESS, "resume", "c.csv.wonder.journal")
    assert terminal.server.store.ledger("wonder") == {f"c-{number}": 1 for number in range(30)}


def test_stopped_job_has_an_exit_code(terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 50)
    terminal.server.faults.add("server_error", times=None, status=400, gateway="wonder")
    text = terminal.ends(STOPPED, "sync", "c.csv", "--to", "wonder", "--max-failures", "3")
    assert "the maximum number of failed rows, 3, was reached" in text
    text = terminal.ends(STOPPED, "sync", "c.csv", "--to", "paydock", PAYDOCK_SECRET_KEY="wrong")
    assert ("the gateway refused access" in text, "wrong" in text) == (True, False)


def test_simulator_option_leaves_no_files(terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 5)
    for gateway in names():
        terminal.ends(SUCCESS, "sync", "c.csv", "--to", gateway, "--simulator")
    assert [path.name for path in terminal.folder.iterdir()] == ["c.csv"]


def test_columns_are_mapped_by_options_and_file(terminal: Terminal) -> None:
    (terminal.folder / "k.csv").write_text("Nr;Name;Mail;Tel;Extra\n1;Ada;a@example.com;+43 1 2345678;x\n")
    (terminal.folder / "map.toml").write_text('[columns]\nNr = "reference"\nMail = "email"\n')
    words = ("sync", "k.csv", "--to", "monri", "--mapping", "map.toml", "--map", "Tel=phone")
    assert "'Extra'" in terminal.ends(USAGE, *words)
    terminal.ends(SUCCESS, *words, "--ignore-unknown")
    assert terminal.server.store.customers("monri")[0]["email"] == "a@example.com"


def test_query_as_source(terminal: Terminal) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    write_csv(terminal.folder / "c.csv", 5)
    query = "SELECT reference, upper(name) AS name, email, phone FROM 'c.csv' WHERE reference <> 'c-3'"
    terminal.ends(SUCCESS, "sync", "-", "--query", query, "--to", "monri")
    assert terminal.server.store.ledger("monri") == {"c-0": 1, "c-1": 1, "c-2": 1, "c-4": 1}
    terminal.ends(SUCCESS, "resume", "query.monri.journal", "--query", query)
    terminal.ends(SUCCESS, "sync", ".", "--to", "wonder")


def test_first_sends_some_rows_and_resume_the_others(terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 40)
    text = terminal.ends(SUCCESS, "sync", "c.csv", "--to", "wonder", "--first", "7")
    assert len(terminal.server.store.ledger("wonder")) == 7
    assert "To continue, run: wonder-customers resume" in text
    terminal.ends(SUCCESS, "resume", "c.csv.wonder.journal")
    assert len(terminal.server.store.ledger("wonder")) == 40


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_source_behind_a_link_is_resumed_under_the_name_of_the_link(terminal: Terminal, linked: str) -> None:
    source = "latest/c.csv" if linked == "folder" else "latest.csv"
    for number in (1, 2):
        (terminal.folder / f"v{number}").mkdir()
        rows = "".join(f"{it},Ada {number},ada@example.org\n" for it in ("c-1", "c-2", f"fail-422-{number}"))
        (terminal.folder / f"v{number}" / "c.csv").write_text(f"reference,name,email\n{rows}")
        link = terminal.folder / Path(source).parts[0]
        link.unlink(missing_ok=True)
        link.symlink_to(f"v{number}" if linked == "folder" else f"v{number}/c.csv")
        terminal.ends(SUCCESS, "sync", source, "--to", "monri", "--first", "1")
        again = (f"{source}.monri.journal", "--source", source)
        assert f"The reasons are in {source}.monri.failed.jsonl" in terminal.ends(FAILED, "resume", *again)
        code, out, err = terminal.run("verify", *again)
        assert (code, " equal " in out, err) == (FAILED, True, ""), out
        terminal.ends(FAILED, "retry-failed", *again)


def test_migrate_lists_lost_fields_first(terminal: Terminal) -> None:
    terminal.sync("paydock", 8)
    data = "reference,name,email,phone,description\nd-1,Eve,e@example.com,+385 91 234 5678,tall\n"
    (terminal.folder / "d.csv").write_text(data)
    terminal.ends(SUCCESS, "sync", "d.csv", "--to", "paydock")
    migrate, store = ("migrate", "--from", "paydock", "--to", "wonder"), terminal.server.store
    text = terminal.ends(USAGE, *migrate)
    assert store.ledger("wonder") == {}
    assert "description" in text
    assert "--accept-losses" in text
    terminal.ends(SUCCESS, *migrate, "--accept-losses")
    assert len(store.ledger("wonder")) == 9
    sent = store.requests.copy()
    terminal.ends(SUCCESS, *migrate, "--accept-losses")
    assert {key[0] for key in store.requests - sent} == {"paydock"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sync missing.csv --to wonder", "missing.csv"),
        ("sync c.csv --to acme", "unknown gateway 'acme'"),
        ("sync c.csv --to wonder --rate fast", "--rate must be a number of requests per second"),
        ("sync c.csv --to wonder --map nothing", "--map must be COLUMN=FIELD"),
        ("resume no.journal", "no.journal"),
        ("status c.csv", "cannot be used as a journal"),
        ("migrate --from wonder --to wonder", "must be different gateways"),
    ],
)
def test_usage_errors(words: str, expected: str, terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 1)
    assert expected in terminal.ends(USAGE, *words.split())


def test_source_instead_of_a_journal_is_refused_with_the_names_of_its_journals(terminal: Terminal) -> None:
    journal = terminal.sync("monri", 1)
    assert terminal.ends(USAGE, "status", "c.csv").endswith(f" Journals of c.csv: {journal}.")


def test_journal_without_its_key_is_refused(terminal: Terminal) -> None:
    journal = terminal.sync("wonder", 1)
    (terminal.folder / f"{journal}.key").unlink()
    assert " is missing. Restore" in terminal.ends(USAGE, "sync", "c.csv", "--to", "wonder")


def test_progress_is_json_lines_without_a_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINE_INTERVAL", 0.2)
    monkeypatch.setattr(progress, "_OUTAGE_INTERVAL", 0.05)
    write_csv(terminal.folder / "c.csv", 60)
    code, out, err = terminal.run("sync", "c.csv", "--to", "wonder", "--rate", "50/s")
    facts = [orjson.loads(line) for line in f"{out}{err}".splitlines() if line.startswith("{")]
    assert (code, len(facts) >= 3) == (SUCCESS, True)
    assert [line["rows"] for line in facts] == sorted(line["rows"] for line in facts)
    assert {"rows_per_second", "throttled", "p50", "p95", "seconds_left"} <= facts[-1].keys()


@pytest.mark.parametrize("gateway", names())
def test_failed_rows_are_listed_until_they_arrive(terminal: Terminal, gateway: str) -> None:
    """The file is the only list of rows that did not arrive: neither another gateway nor a short run removes it."""
    source = write_csv(terminal.folder / "c.csv", 6)
    good = source.read_text()
    source.write_text(good + 'c-x,Bad,bad@example@com,\nc-y,"Half\n')
    terminal.server.faults.add("server_error", times=2, method="POST", path="*customers*", status=400)
    letters, sync = f"c.csv.{gateway}.failed.jsonl", ("sync", "c.csv", "--to")

    def listed() -> list[int]:
        return sorted(letter["row"] for letter in terminal.lines(letters))

    terminal.ends(FAILED, *sync, gateway, "--workers", "1", "--failure-values")
    assert listed() == [1, 2, 7, 8]
    originals = {letter["row"]: letter.get("original") for letter in terminal.lines(letters)}
    assert originals == {1: None, 2: None, 7: "c-x,Bad,bad@example@com,\n", 8: 'c-y,"Half\n'}
    other = next(name for name in names() if name != gateway)
    terminal.ends(SUCCESS, *sync, other, "--first", "3")
    text = terminal.ends(SUCCESS, "retry-failed", f"c.csv.{gateway}.journal")
    assert listed() == [7, 8]
    assert f" {letters} still contains 2 failed rows from earlier runs." in text
    source.write_text(good.replace("c-2,", "c-2,Changed "))
    terminal.ends(SUCCESS, *sync, gateway, "--first", "3")
    assert listed() == [7, 8]
    source.write_text(good + "c-x,Good,good@example.com,+385 91 234 5678\n")
    terminal.ends(SUCCESS, *sync, gateway)
    assert listed() == [8]  # the row had no reference, so no later row is known to replace it


def test_file_with_another_content_is_not_used_for_failed_rows(terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 2)
    (terminal.folder / "notes.txt").write_text("notes\n")
    text = terminal.ends(USAGE, "sync", "c.csv", "--to", "monri", "--failures", "notes.txt")
    assert "notes.txt already exists and is not a list of failed rows" in text
    assert terminal.server.store.ledger("monri") == {}
    assert (terminal.folder / "notes.txt").read_text() == "notes\n"
