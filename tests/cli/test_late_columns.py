"""Jobs that stop because of the columns of the source: the advice of the commands leads to a complete job."""

from pathlib import Path

import pytest
from cli.conftest import Command

from wonder_customers.simulator.server import SimulatorServer

KNOWN = 1010


def write(folder: Path) -> None:
    rows = [f'{{"reference": "c-{number}", "name": "Ada"}}' for number in range(KNOWN)]
    (folder / "c.jsonl").write_text("\n".join([*rows, '{"reference": "c-x", "name": "Bo", "shoe": 1}', ""]))


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
    at_simulator: Command, folder: Path, name: str, reason: str, words: list[str]
) -> None:
    write(folder)
    (folder / "c.csv").write_text("reference,name,\n" + "".join(f"c-{number},Ada,x\n" for number in range(60)))
    code, out, err = at_simulator("sync", name, "--to", "monri", "--report", "r.html")
    text = " ".join(f"{out}{err}".split())
    assert (code, reason in text) == (3, True)
    assert text.count("After fixing the cause, run the same `sync` or `migrate` again, with other options") == 1
    status = " ".join(at_simulator("status", f"{name}.monri.journal")[1].split())
    assert "run the same `sync` or `migrate` again" in status
    assert ("resume" in text, "resume" in (folder / "r.html").read_text()) == (False, False)
    code, _, err = at_simulator("sync", name, "--to", "monri", *words)
    assert code == 0, err


def test_columns_states_that_it_read_only_the_beginning(at_simulator: Command, folder: Path) -> None:
    write(folder)
    _, out, err = at_simulator("columns", "c.jsonl")
    assert "Only the first 1,000 rows were read. In a JSON file, later objects may have other keys." in " ".join(
        f"{out}{err}".split()
    )
    (folder / "c.jsonl").write_text('{"reference": "c-1"}\n')
    _, out, err = at_simulator("columns", "c.jsonl")
    assert "Only the first" not in f"{out}{err}"


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("", (), "c.csv has no rows. Check that the source is the right file."),
        ("reference,name\nc-1,Ada\n", ("--skip-lines", "5"), "c.csv has no rows."),
        (
            "reference,name\nc-1,Ada\n",
            ("--delimiter", ";"),
            "separated by another character, set this character with --delimiter.",
        ),
        ("Customers of 2026\nreference,name\nc-1,Ada\n", (), "If the first line is a title, use --skip-lines."),
    ],
)
def test_columns_explains_an_empty_table_and_a_wrong_first_line(
    text: str, options: tuple[str, ...], expected: str, at_simulator: Command, folder: Path
) -> None:
    (folder / "c.csv").write_text(text)
    _, _, err = at_simulator("columns", "c.csv", *options)
    assert expected in " ".join(err.split())


@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "parquet"])
@pytest.mark.parametrize("column", ["company_name", "cvv", "shoe"])
def test_columns_of_all_files_of_a_folder_are_checked_before_the_first_row(
    at_simulator: Command, server: SimulatorServer, folder: Path, form: str, column: str
) -> None:
    (folder / "in").mkdir()
    rows = [f"c-{number},Ada,{number}@example.com" for number in range(KNOWN)]
    (folder / "in" / "a.csv").write_text("\n".join(["reference,name,email", *rows]))
    late = folder / "in" / f"z.{form}"
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
        code, _, err = at_simulator(name, "in", "--to", "monri")
        assert (code, f"wonder-customers: z.{form}: " in err, column in err) == (1, True, True), err
    assert err.endswith("Nothing was sent.\n")
    assert server.store.ledger("monri") == {}
    assert not (folder / "in.monri.journal").exists()
