"""Jobs that stop because of the columns of the source: the advice of the commands leads to a complete job."""

import pytest
from cli.conftest import Terminal

from wonder_customers.cli.exit_codes import STOPPED, SUCCESS, USAGE

KNOWN = 1010


@pytest.fixture
def late(terminal: Terminal) -> Terminal:
    """A folder with ``c.jsonl``, whose last object has an unknown key."""
    rows = [f'{{"reference": "c-{number}", "name": "Ada"}}' for number in range(KNOWN)]
    text = "\n".join([*rows, '{"reference": "c-x", "name": "Bo", "shoe": 1}', ""])
    (terminal.folder / "c.jsonl").write_text(text)
    return terminal


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("c.jsonl", "unknown columns: 'shoe'", ["--ignore-unknown"]),
        (
            "c.csv",
            "60 of 60 rows cannot be sent for the same reason (column without a name)",
            ["--map", "column 3=metadata.note"],
        ),
    ],
)
def test_job_that_stops_because_of_its_columns_names_sync_and_not_resume(
    late: Terminal, name: str, reason: str, words: list[str]
) -> None:
    lines = "".join(f"c-{number},Ada,x\n" for number in range(60))
    (late.folder / "c.csv").write_text(f"reference,name,\n{lines}")
    text = late.ends(STOPPED, "sync", name, "--to", "monri", "--report", "r.html")
    assert reason in text
    assert text.count("After fixing the cause, run the same `sync` or `migrate` again, with other options") == 1
    assert "run the same `sync` or `migrate` again" in late.ends(SUCCESS, "status", f"{name}.monri.journal")
    assert "resume" not in text + (late.folder / "r.html").read_text()
    late.ends(SUCCESS, "sync", name, "--to", "monri", *words)


def test_columns_states_that_it_read_only_the_beginning(late: Terminal) -> None:
    beginning = "Only the first 1,000 rows were read. In a JSON file, later objects may have other keys."
    assert beginning in late.ends(SUCCESS, "columns", "c.jsonl")
    (late.folder / "c.jsonl").write_text('{"reference": "c-1"}\n')
    assert "Only the first" not in late.ends(SUCCESS, "columns", "c.jsonl")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("", "", "c.csv has no rows. Check that the source is the right file."),
        ("reference,name\nc-1,Ada\n", "--skip-lines 5", "c.csv has no rows."),
        (
            "reference,name\nc-1,Ada\n",
            "--delimiter ;",
            "separated by another character, set this character with --delimiter.",
        ),
        ("Customers of 2026\nreference,name\nc-1,Ada\n", "", "If the first line is a title, use --skip-lines."),
    ],
)
def test_columns_explains_an_empty_table_and_a_wrong_first_line(
    text: str, options: str, expected: str, terminal: Terminal
) -> None:
    (terminal.folder / "c.csv").write_text(text)
    assert expected in " ".join(terminal.run("columns", "c.csv", *options.split())[2].split())


@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "parquet"])
@pytest.mark.parametrize("column", ["company_name", "cvv", "shoe"])
def test_columns_of_all_files_of_a_folder_are_checked_before_the_first_row(
    terminal: Terminal, form: str, column: str
) -> None:
    (terminal.folder / "in").mkdir()
    rows = [f"c-{number},Ada,{number}@example.com" for number in range(KNOWN)]
    (terminal.folder / "in" / "a.csv").write_text("\n".join(["reference,name,email", *rows]))
    late = terminal.folder / "in" / f"z.{form}"
    if form == "parquet":
        duckdb = pytest.importorskip("duckdb", reason="needs the extra duckdb")
        select = f"SELECT 'c-x' AS reference, 'Bo' AS name, '737' AS {column}"
        duckdb.sql(f"COPY ({select}) TO '{late}' (FORMAT parquet)")
    elif form == "csv":
        late.write_text(f"reference,name,{column}\nc-x,Bo,737\n")
    else:
        entry = f'{{"reference": "c-x", "name": "Bo", "{column}": "737"}}'
        late.write_text(f"[{entry}]" if form == "json" else entry)
    for name in ("plan", "sync"):
        text = terminal.ends(USAGE, name, "in", "--to", "monri")
        assert (f"wonder-customers: z.{form}: " in text, column in text) == (True, True)
    assert text.endswith("Nothing was sent.")
    assert terminal.server.store.ledger("monri") == {}
    assert not (terminal.folder / "in.monri.journal").exists()
