"""Folders: which files are read, and errors that name the file."""

from pathlib import Path

import pytest

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources


@pytest.mark.parametrize("form", [None, "csv"])
def test_hidden_files_lock_files_and_own_outputs_are_not_read(form: sources.Format | None, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("reference,name\nc-1,Ada\n", encoding="utf-8")
    outputs = ["a.csv.failed.jsonl", "a.csv.monri.journal", "a.csv.monri.journal.key", "a.csv.monri.journal-wal"]
    for name in ["._a.csv", ".hidden.csv", "~$a.csv", *outputs]:
        (tmp_path / name).write_bytes(b"\0\1not a table")
    before = sources.fingerprint(tmp_path)
    assert [row.reference for row in sources.read(tmp_path, form=form)] == ["c-1"]
    (tmp_path / "._a.csv").write_bytes(b"changed")
    assert sources.fingerprint(tmp_path) == before


def test_error_in_a_folder_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("reference,name\nc-1,Ada\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("reference,Sonderfeld\nc-2,Wien\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"^b\.csv: the source has unknown columns: 'Sonderfeld'"):
        list(sources.read(tmp_path))


@pytest.mark.parametrize("name", ["b.zip", "b.csv.zip", "b.CSV.BZ2", "b.tar.gz", "b.jsonl.xz"])
def test_archive_in_a_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("reference,name\nc-1,Ada\n", encoding="utf-8")
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(ConfigurationError, match="is an archive, which may contain customers"):
        sources.read(tmp_path)
    with pytest.raises(ConfigurationError, match="Unpack the archive, and give the path"):
        sources.read(tmp_path / name)


def test_folder_with_the_name_of_an_archive_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("reference,name\nc-1,Ada\n", encoding="utf-8")
    (tmp_path / "b.zip").mkdir()
    assert [row.reference for row in sources.read(tmp_path)] == ["c-1"]
