"""Compressed files: a limit on each line and on the unpacked size, so that a small file cannot fill the memory."""

import gzip
import tracemalloc
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile
from zlib import crc32

import pytest

from wonder_customers import ConfigurationError
from wonder_customers.bulk.sources.packed import LONGEST_LINE, unpacked
from wonder_customers.bulk.sources.reader import read

MEGABYTE = b"0" * (1 << 20)


def packed(path: Path, head: bytes, megabytes: int) -> Path:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(head)
        for _ in range(megabytes):
            file.write(MEGABYTE)
    return path


@pytest.mark.parametrize(
    "name",
    ["customers.csv.gz", pytest.param("customers.jsonl.gz", marks=pytest.mark.long)],  # which takes six seconds
)
def test_endless_line_of_a_compressed_file_is_refused(tmp_path: Path, name: str) -> None:
    path = packed(tmp_path / name, b"reference,name\nr-1," if "csv" in name else b'{"reference":"', 50)
    tracemalloc.start()
    with pytest.raises(ConfigurationError, match=f"{name} has a line of more than 32 MB"):
        list(read(path, encoding="utf-8"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * LONGEST_LINE


def test_unpacked_size_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "customers.csv.gz"
    # A file of many gzip members: the same megabyte is compressed once.
    path.write_bytes(gzip.compress(b"reference,name\n") + gzip.compress(b"r-1," + b" " * ((1 << 20) - 5) + b"\n") * 160)
    with pytest.raises(ConfigurationError, match=r"expands to more than \d+ MB"):
        list(read(path, encoding="utf-8"))


@pytest.mark.parametrize(
    ("part", "stated"),
    [
        ("xl/worksheets/sheet1.xml", False),
        ("xl/a.bin", True),
        *(
            pytest.param(part, stated, marks=pytest.mark.long)
            for part, stated in (("xl/sharedStrings.xml", True), ("content.xml", False))
        ),
    ],
)
def test_unpacked_size_of_a_spreadsheet_is_limited(part: str, stated: bool, tmp_path: Path) -> None:
    pytest.importorskip("python_calamine", reason="needs the extra excel")
    path, content = tmp_path / "customers.xlsx", b"<si>" + b" " * (80 << 20)
    with ZipFile(path, "w", ZIP_DEFLATED) as file:
        file.writestr(part, content)
        if not stated:
            # The directory at the end of the file states the size and the checksum of the beginning.
            info = file.infolist()[0]
            info.file_size, info.CRC = 4, crc32(content[:4])
    tracemalloc.start()
    words = "expands to more than 7. MB, .* Save the data as CSV" if stated else "expands to|Bad CRC-32"
    with pytest.raises(ConfigurationError, match=words):
        list(read(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_compressed_file_can_be_read_twice_and_by_line(tmp_path: Path) -> None:
    path = tmp_path / "customers.csv.gz"
    path.write_bytes(gzip.compress(b"reference,name\nr-1,Ada\nr-2,Grace\n"))
    with path.open("rb") as raw, unpacked(path, raw) as contents:
        assert contents.read(9) == b"reference"
        contents.seek(0)
        assert list(contents) == [b"reference,name\n", b"r-1,Ada\n", b"r-2,Grace\n"]
        contents.seek(15)
        assert contents.readline() == b"r-1,Ada\n"
    assert [row.reference for row in read(path)] == ["r-1", "r-2"]
