"""Paths of sources: files, folders, compressed files and archives, and what is refused before the first row."""

import gzip
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bulk.sources.read_rows import read_rows

from wonder_customers import ConfigurationError
from wonder_customers.bulk import Journal, sources

HEAD = "reference,name\n"


def references(path: Path, form: sources.Format | None = None) -> list[str | None]:
    return [row.reference for row in sources.read(path, form=form)]


@pytest.fixture
def one_file(tmp_path: Path) -> Path:
    """A folder with one file."""
    (tmp_path / "a.csv").write_text(f"{HEAD}c-1,Ada\n")
    return tmp_path


def test_compressed_files_and_folders_are_read(tmp_path: Path) -> None:
    (folder := tmp_path / "customers").mkdir()
    (folder / "b.csv.gz").write_bytes(gzip.compress(b"reference,name\nc-3,Joan\n"))
    (folder / "a.csv").write_text("reference,name\nc-1,Ada\nc-2,Grace,,!\n")
    (folder / "notes.pdf").write_text("no")
    assert [(row.number, row.reference, row.place) for row in sources.read(folder)] == [
        (1, "c-1", "a.csv, line 2"),
        (2, None, "a.csv, line 3"),
        (3, "c-3", "b.csv.gz, line 2"),
    ]


def test_zstd_file_is_read(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard", reason="needs the extra zstd")
    packed = zstandard.ZstdCompressor().compress(b"reference,name\n" + b"".join(b"c-%d,Ada\n" % n for n in range(5000)))
    assert len(read_rows(tmp_path, packed, "c.csv.zst")) == 5000


@pytest.mark.parametrize("form", [None, "csv"])
def test_hidden_files_lock_files_and_own_outputs_are_not_read(form: sources.Format | None, one_file: Path) -> None:
    outputs = ["a.csv.failed.jsonl", "a.csv.monri.journal", "a.csv.monri.journal.key", "a.csv.monri.journal-wal"]
    for name in ["._a.csv", ".hidden.csv", "~$a.csv", *outputs]:
        (one_file / name).write_bytes(b"\0\1not a table")
    before = sources.fingerprint(one_file)
    assert references(one_file, form) == ["c-1"]
    (one_file / "._a.csv").write_bytes(b"changed")
    assert sources.fingerprint(one_file) == before


def test_error_in_a_folder_names_the_file(one_file: Path) -> None:
    (one_file / "b.csv").write_text("reference,Sonderfeld\nc-2,Wien\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"^b\.csv: the source has unknown columns: 'Sonderfeld'"):
        sources.read(one_file)


@pytest.mark.parametrize("name", ["b.zip", "b.csv.zip", "b.CSV.BZ2", "b.tar.gz", "b.jsonl.xz"])
def test_archive_is_refused(name: str, one_file: Path) -> None:
    (one_file / name).write_bytes(b"PK\x03\x04")
    for path, words in (
        (one_file, "which may contain customers"),
        (one_file / name, "Unpack the archive, and give the"),
    ):
        with pytest.raises(ConfigurationError, match=rf"is an archive[,.] {words}"):
            sources.read(path)


def test_folder_with_the_name_of_an_archive_is_ignored(one_file: Path) -> None:
    (one_file / "b.zip").mkdir()
    assert references(one_file) == ["c-1"]


USES: list[Callable[[Path], object]] = [sources.read, sources.fingerprint]


def refused(path: Path, words: str, *uses: Callable[[Path], object]) -> None:
    for use in uses or USES:
        with pytest.raises(ConfigurationError, match=words):
            use(path)


def test_folder_entry_that_is_not_a_file_is_refused(one_file: Path) -> None:
    (one_file / "archive").mkdir()
    assert references(one_file) == references(one_file, "csv") == ["c-1"]
    (one_file / "b.csv").symlink_to(one_file / "gone.csv")
    refused(one_file, r"b\.csv is a link to a missing file", sources.read)
    (one_file / "b.csv").rename(one_file / "b")
    assert references(one_file) == ["c-1"]
    refused(one_file, "b is a link to a missing file", lambda it: sources.read(it, form="csv"))
    (one_file / "b").unlink()
    (one_file / "c.csv").mkdir()
    refused(one_file, r"c\.csv is a folder, although its name")


@pytest.mark.skipif(sys.platform != "linux", reason="file names of this system are UTF-8")
def test_file_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (folder := tmp_path / os.fsdecode(b"kund\xe9")).mkdir()
    for path in (folder / "a.csv", tmp_path / os.fsdecode(b"k\xe9.csv")):
        path.write_text("reference,name\nc-1,Ada\n")
        refused(path, r"\\udce9.* is not UTF-8\. Rename the file or its folder\.")
    for path in (tmp_path, folder):
        refused(path, r"\\udce9.* is not UTF-8\. Rename the file or its folder\.")


def test_path_that_cannot_be_examined_is_reported() -> None:
    long = "x" * 300  # newer versions of Python report that the file does not exist
    with pytest.raises(ConfigurationError, match=r"cannot be read: .*too long|does not exist"):
        sources.read(long)
    with pytest.raises(ConfigurationError, match=r"cannot be used as a journal: .*too long"):
        Journal.open(long, gateway="monri", endpoint="https://ipgtest.monri.com/")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.csv")
    refused(tmp_path / "p.csv", r"p\.csv is a pipe or a device, .* Save the rows to a file")
    refused(tmp_path, r"p\.csv is a pipe or a device, although", sources.read)


def test_path_without_a_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "missing.csv", r"missing\.csv does not exist", sources.read)
    refused(tmp_path / "empty", "empty does not contain a file of a supported type", sources.read)


NOT_A_SOURCE: dict[str, tuple[str, bytes, str]] = {
    "dump": ("dump.sql", b"", "dump.sql is a dump with SQL statements. Export"),
    "database": ("shop.DB", b"SQLite format 3\0", "shop.DB is a database. Select the rows with `query`"),
    "empty Parquet file": ("c.parquet", b"", "c.parquet is not a Parquet file."),
    "CSV named Parquet": ("c.parquet", b"reference,name\nc-1,Ada\n", "c.parquet is not a Parquet file."),
    "payments of Stripe": (
        "c.csv", b"id,Amount,Currency,Customer ID,Card Exp Month\nch_1,1,eur,cus_1,4\n", "export of Stripe payments"
    ),
    "orders of Shopify": (
        "c.csv", b"Name,Email,Financial Status,Lineitem name\n#1,a@example.test,paid,x\n", "export of Shopify orders"
    ),
    "another delimiter": ("c.csv", b"reference~name~email\n1~Ada~a\n", "set this character with `delimiter`"),
    "lines before the names": (
        "c.csv", b"My Company\nContact List\n\nCustomer,Email,Full Name\nA,,B\n", "add skip_lines=3"
    ),
    "another quote": ("c.csv", b"'reference','name'\n'1','Ada'\n", """Add quote="'" """.strip()),
    "web page": ("c.csv", b"<!DOCTYPE html>\n<html></html>\n", "is a web page or XML"),
    "archive": ("c.csv", b"PK\x03\x04\x14\0\0\0\x08\0", "but a ZIP archive or a spreadsheet"),
    "incomplete gzip file": (
        "c.csv", gzip.compress(b"reference,name\n" + b"1,Ada\n" * 5000, mtime=0)[:-20], "cannot be read: "
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_A_SOURCE)
def test_file_without_customers_is_refused_with_the_remedy(case: str, tmp_path: Path) -> None:
    name, data, words = NOT_A_SOURCE[case]
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        read_rows(tmp_path, data, name)
