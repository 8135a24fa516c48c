"""`wonder-customers forget` leaves no byte of a customer in the journal and the files of its jobs."""

import gzip
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from wonder_customers.bulk.forget import forget
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.journal.entries import UNCONFIRMED
from wonder_customers.cli.app import run
from wonder_customers.errors import BulkError
from wonder_customers.simulator.server import SimulatorServer

ROWS = 30
HEAD = "reference,name,email\n"


def row(number: int, email: str = "") -> str:
    return f"forget-{number:04},Ada Nr {number},{email or f'a{number}@example.org'}\n"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, _simulator: SimulatorServer) -> Path:
    """A folder with every file that commands write for a source in which each tenth row fails."""
    folder = tmp_path_factory.mktemp("written")
    text = HEAD + "".join(row(number, "no address" if number % 10 == 0 else "") for number in range(ROWS))
    (folder / "c.csv").write_text(text)
    journal = "c.csv.paydock.journal"
    sync = ["sync", "c.csv", "--to", "paydock", "--failure-values", "--report", "r.json", "--html", "h.html"]
    plan = ["plan", "c.csv", "--to", "paydock", "--save", "plan.jsonl"]
    with pytest.MonkeyPatch.context() as patched:
        for name, value in _simulator.environment().items():
            patched.setenv(name, value)
        patched.chdir(folder)
        assert [run(sync), run(["ids", journal, "-o", "ids.csv"]), run(plan)] == [2, 0, 2]
        assert run(["columns", "c.csv", "-o", "mapping.toml"]) == 0
    return folder


JOURNAL = "c.csv.paydock.journal"


@pytest.fixture
def job_folder(written: Path, tmp_path: Path, _simulator: SimulatorServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder `written`, which is the working directory."""
    for name, value in _simulator.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def erase(job_folder: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run ``wonder-customers forget`` for the journal, check its exit code, and return its messages on one line."""

    def call(code: int, *words: str) -> str:
        capfd.readouterr()
        assert run(["forget", JOURNAL, *words]) == code
        return " ".join(capfd.readouterr().err.split())

    return call


def ids_of(job_folder: Path) -> dict[str, str]:
    return dict(line.split(",")[:2] for line in (job_folder / "ids.csv").read_text().splitlines()[1:])


def found_in(job_folder: Path, *texts: str) -> set[str]:
    """Return the names of the files that contain one of the texts."""
    return {
        it.name
        for it in job_folder.rglob("*")
        if it.is_file() and any(text.encode() in it.read_bytes() for text in texts)
    }


def test_customers_leave_no_trace_in_files(job_folder: Path, erase: Callable[..., str]) -> None:
    held = ids_of(job_folder)
    gone = ["forget-0007", "forget-0010"]  # the second failed and is in the list of failed rows
    ids = [held[it] for it in gone if held.get(it)]
    assert found_in(job_folder, *gone) >= {"c.csv", JOURNAL, "c.csv.paydock.failed.jsonl", "ids.csv"}
    assert len(ids) == 1
    (job_folder / "c.csv").write_text(HEAD + "".join(row(number) for number in range(ROWS) if number not in {7, 10}))
    (job_folder / "list.txt").write_text("\n".join(gone))
    (job_folder / "note.txt").write_text("see forget-0007, please")
    printed = erase(0, "--from", "list.txt")
    assert f"1 row was removed from {JOURNAL}" in printed
    assert "note.txt still contains a reference" in printed
    assert "c.csv still contains" not in printed
    assert found_in(job_folder, *gone, *ids, "a7@example.org", "Ada Nr 10,") == {"list.txt", "note.txt"}
    assert not (job_folder / "plan.jsonl").exists()
    assert found_in(job_folder, "forget-0021") == {"c.csv", JOURNAL, "ids.csv"}
    assert found_in(job_folder, "forget-0020") == {"c.csv", "c.csv.paydock.failed.jsonl"}
    assert run(["status", JOURNAL]) == 0
    assert all(it.stat().st_mode & 0o077 == 0 for it in job_folder.glob("*.jsonl"))


def test_reference_is_not_found_inside_another_one(job_folder: Path) -> None:
    before = {it.name: it.read_bytes() for it in job_folder.glob("*.csv")}
    found = forget(Journal.existing(JOURNAL), ["forget-000", "orget-0007", "0007"], job_folder.glob("*.csv"))
    assert (found.rows, found.entries, found.left) == (0, {}, [])
    assert before == {it.name: it.read_bytes() for it in job_folder.glob("*.csv")}


def test_report_names_no_forgotten_customer(job_folder: Path, erase: Callable[..., str]) -> None:
    held = ids_of(job_folder)["forget-0007"]
    (job_folder / "c.csv").write_text(HEAD + "".join(row(number) for number in range(1, ROWS) if number != 7))
    run(["sync", "c.csv", "--to", "paydock", "--report", "r.json", "--removed", "report"])
    assert "r.json" in found_in(job_folder, held)
    erase(0, "forget-0007")
    assert found_in(job_folder, held, "forget-0007") == set()


def test_journal_in_use_is_not_changed(job_folder: Path) -> None:
    holding = Journal.existing(JOURNAL)
    holding.hold()
    try:
        with pytest.raises(BulkError, match="another run is using this journal"):
            forget(Journal.existing(JOURNAL), ["forget-0007"], [])
    finally:
        holding.release()


def test_removed_rows_with_an_unconfirmed_request_are_counted(job_folder: Path) -> None:
    rows = {f"forget-{number:04}": state for number, state in enumerate(sorted(UNCONFIRMED), 1)}
    with closing(sqlite3.connect(JOURNAL)) as connection, connection:
        connection.executemany("UPDATE rows SET state = ? WHERE reference = ?", [it[::-1] for it in rows.items()])
    found = [forget(Journal.existing(JOURNAL), [it], []).unconfirmed for it in (*rows, "forget-0008")]
    assert found == [1] * len(rows) + [0]


def test_forget_reports_references_that_are_not_in_the_journal(job_folder: Path, erase: Callable[..., str]) -> None:
    text = erase(2, "unknown")
    assert "0 rows were removed" in text
    assert "The reference is not in the journal." in text
    (job_folder / "references.txt").write_text("unknown\nforget-0001\n")
    assert "1 of 2 references are not in the journal." in erase(0, "--from", "references.txt")


INVALID: dict[tuple[str, ...], str] = {
    (): "REFERENCE or --from FILE",
    ("forget-1", "--from", "list.txt"): "--from",
    ("--from", "empty.txt"): "empty.txt contains no references",
    ("",): "the reference is empty. Nothing was erased.",
    ("--from", "missing.txt"): "missing.txt cannot be read: No such file or directory. Nothing was erased.",
    ("--from", "binary.txt"): "binary.txt cannot be read: it is not UTF-8 text. Nothing was erased.",
}


@pytest.mark.parametrize("words", INVALID, ids=" ".join)
def test_invalid_references_erase_nothing(words: tuple[str, ...], job_folder: Path, erase: Callable[..., str]) -> None:
    (job_folder / "list.txt").write_text("forget-2\n")
    (job_folder / "empty.txt").write_text(os.linesep)
    (job_folder / "binary.txt").write_bytes(b"\xff\x00")
    text = erase(1, *words)
    assert INVALID[words] in text
    assert "Nothing was erased." in text


@pytest.mark.parametrize("reference", ["forget-0003", 'say "hi"', "k-ÄÖ-1", "k-Ж-1", "C/18,15"])
def test_other_files_with_the_customer_are_listed(reference: str, job_folder: Path, erase: Callable[..., str]) -> None:
    quoted = reference.replace('"', '""')
    rows = f'reference,name\nother-1,Ada\n"{quoted}",Ada\n'
    for name in ("c.csv", "utf-8.csv"):
        (job_folder / name).write_text(rows, encoding="utf-8")
    assert run(["sync", "c.csv", "--to", "monri"]) == run(["sync", "c.csv", "--to", "paydock"]) == 0
    for name in ("utf-16", "utf-16-be", "utf-16-le", "cp1250"):
        mark = "\ufeff" if name.startswith("utf-16-") else ""
        (job_folder / f"{name}.csv").write_text(mark + rows, encoding=name, errors="xmlcharrefreplace")
    (job_folder / "escaped.json").write_text(json.dumps({"reference": reference}))
    (job_folder / "plain.json").write_text(json.dumps({"reference": reference}, ensure_ascii=False), encoding="utf-8")
    (job_folder / "utf-16-other.csv").write_text(rows.replace(quoted, "x"), encoding="utf-16")
    (job_folder / "c.csv.gz").write_bytes(gzip.compress(rows.encode(), mtime=0x01020304))
    (job_folder / "c.xlsx").write_bytes(b"PK\x03\x04\0")
    with closing(sqlite3.connect(job_folder / "shop.db")) as connection:
        connection.execute("CREATE TABLE customers (reference TEXT)")
    text = erase(0, reference)
    listed = {Path(it).name for it in re.findall(r"(\S+) still contains a reference", text)}
    unsearched = {Path(it).name for it in re.findall(r"(\S+) was not searched", text)}
    assert listed == {
        "c.csv", "utf-8.csv", "utf-16.csv", "utf-16-be.csv", "utf-16-le.csv", "cp1250.csv", "escaped.json",
        "plain.json", "c.csv.monri.journal",
    }  # fmt: skip
    assert unsearched == {"c.csv.gz", "c.xlsx", "shop.db"}


def test_original_row_that_is_not_utf_8_is_removed(job_folder: Path) -> None:
    rows = b"".join(b"k-%d,J\xc3\xb6rg Nr\n" % it for it in range(300))
    (job_folder / "c.csv").write_bytes(b'reference,name\n%bforget-77,"J\xf6rg Nr\n' % rows)
    run(["sync", "c.csv", "--to", "monri", "--failure-values"])
    failed = job_folder / "c.csv.monri.failed.jsonl"
    assert b'"original_base64"' in failed.read_bytes()
    (journal,) = job_folder.glob("*.monri.journal")
    assert forget(Journal.existing(journal), ["forget-7"], [failed]).entries == {}
    assert forget(Journal.existing(journal), ["forget-77"], [failed]).entries == {failed: 1}
    assert not failed.exists()
