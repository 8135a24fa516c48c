"""Property: every cell of a table is read as a person sees it, whatever its encoding, quoting and characters."""

import csv
import io
import re
import time
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources
from wonder_customers.bulk.sources import ColumnMapping
from wonder_customers.bulk.sources.mapping import NULLS
from wonder_customers.bulk.sources.text import TextOptions

INVISIBLE = "\u200b\u200e\u202a\u2060\ufeff\u00ad"
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "cp1250", "gb18030"]
HEAD = "reference,name\n"
HEADER = ["reference", "name", "description", "metadata.note"]

references = st.one_of(
    st.from_regex(r"[A-Z]{1,3}-[0-9]{1,6}", fullmatch=True),
    st.from_regex(r"0{1,3}[0-9]{1,20}", fullmatch=True),
    st.from_regex(r"[0-9]{1,2}E[0-9]{1,6}", fullmatch=True),
)
numbers = st.one_of(
    st.integers(-(10**24), 10**24).map(str), st.from_regex(r"[0-9]{1,3}[.,][0-9]{1,20}", fullmatch=True)
)
dates = st.dates().flatmap(lambda day: st.sampled_from([day.isoformat(), f"{day:%d.%m.%Y}", f"{day:%m/%d/%Y}"]))
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cn", "Co"]), max_size=12)
messy = st.text(st.sampled_from("aé\u0107Ž,;\t|\"'\n =+-@#" + INVISIBLE), max_size=10)
cells = st.one_of(words, messy, numbers, dates)


def seen(text: str) -> str | None:
    """Return what a person reads in a cell; None for an empty one."""
    text = text.strip()
    formula = re.fullmatch('="(.*)"', text, re.DOTALL)
    if formula:
        text = formula[1].replace('""', '"').strip()
    elif (re.match(r"'[+=@\-0-9\t]", text) and not text.endswith("'")) or re.fullmatch(r"=[+0-9][0-9 ()+\-./]*", text):
        text = text[1:]
    text = normalize("NFC", text)
    return None if text in NULLS else text or None


def is_damaged(text: str) -> bool:
    """Return whether a text has lost characters, or could be UTF-8 that was decoded as Windows-1252."""
    return "\ufffd" in text or re.search("[\u00c2-\u00f4][^\0-\x7f]", text) is not None


@given(
    rows=st.lists(st.tuples(references, cells, cells, cells), min_size=1, max_size=6),
    encoding=st.sampled_from(ENCODINGS),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ending=st.sampled_from(["\n", "\r\n"]),
    hidden=st.sampled_from(["", *INVISIBLE]),
)
def test_cells_are_read_as_a_person_sees_them(
    rows: list[tuple[str, str, str, str]],
    encoding: str,
    delimiter: str,
    quoting: int,
    ending: str,
    hidden: str,
    tmp_path: Path,
) -> None:
    text = io.StringIO(newline="")
    table = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=ending)  # type: ignore[arg-type]
    table.writerow(HEADER)
    table.writerows((f"{reference[:1]}{hidden}{reference[1:]}", *rest) for reference, *rest in rows)
    try:
        data = text.getvalue().encode(encoding)
    except UnicodeEncodeError:
        assume(False)
    path = tmp_path / "c.csv"
    path.write_bytes(data)
    named = encoding if encoding in {"cp1250", "gb18030"} else None
    try:
        found = list(sources.read(path, mapping=ColumnMapping(text=TextOptions(encoding=named))))
    except ConfigurationError as error:
        # A short table may look like another encoding. It is then refused, and never read without a message.
        assert "encoding" in str(error) or "not a text file" in str(error)  # noqa: PT017
        return
    assert len(found) == len(rows)
    for row, (reference, name, description, note) in zip(found, rows, strict=True):
        if row.draft is None:
            assert "export the data" in str(row.problem)
            assert any(map(is_damaged, (name, description, note)))
            continue
        assert row.reference == row.draft.reference == reference
        assert (row.draft.name, row.draft.description) == (seen(name), seen(description))
        assert (row.draft.metadata or {}).get("note") == seen(note)


@given(
    data=st.one_of(
        st.binary(max_size=80),
        st.text(st.sampled_from('abé",;\n\r\t{}[]:0123456789.eE+-\\ \0\ufeff'), max_size=80).map(str.encode),
        st.text(st.sampled_from('reference,name\n"ab1{}[]: '), max_size=60).map(
            lambda it: b"reference,name\n" + it.encode()
        ),
    ),
    name=st.sampled_from(["c.csv", "c.json", "c.jsonl", "c.xlsx", "c.csv.gz"]),
)
def test_any_bytes_are_read_or_refused(data: bytes, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    try:
        for row in sources.read(path):
            assert (row.draft is None) != (row.problem is None)
    except ConfigurationError:
        pass


@pytest.mark.parametrize(("column", "cell"), [("email", "<" + "a@" * 100_000), ("phone", "1" + " " * 200_000 + "x")])
def test_long_invalid_cell_is_refused_quickly(column: str, cell: str, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(f"reference,{column}\nr,{cell}\n")
    start = time.process_time()
    (row,) = sources.read(tmp_path / "c.csv", mapping=ColumnMapping(several="first"))
    assert row.problem is not None
    assert time.process_time() - start < 10  # a quadratic search takes minutes
