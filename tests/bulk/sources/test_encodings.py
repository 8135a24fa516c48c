"""Encodings of text files: UTF-8 and UTF-16 are read, any other encoding has to be named."""

import gzip
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bulk.sources.read_rows import QUERY, open_rows, read_drafts, read_rows

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources
from wonder_customers.bulk.distributed.partition import Index, Partition
from wonder_customers.bulk.sources.encodings import _shown, _Survey
from wonder_customers.bulk.sources.reader import Source
from wonder_customers.bulk.sources.text import TextOptions

CROATIAN = "reference,name\nh-1,Ana Marić\nh-2,Željko Šćepanović\nh-3,Ivana Horvatić\n"
RUSSIAN = "reference,name\nr-1,Иван Петров\nr-2,Мария Сидорова\n"
CHINESE = "reference,name\ng-1,王小明\ng-2,李娜\ng-3,陈伟\n"
GERMAN = 'Kundennummer;Name;Straße\r\n1001;"Müller, Anna";Lindenweg 1\r\n1002;Bäckerei Sommer;Hauptstr. 4\r\n'
JAPANESE = "reference,name\nj-1,山田太郎\nj-2,カタカナ\n"
FILES = [
    pytest.param(CROATIAN, "cp1250", "Marić", id="cp1250"),
    pytest.param(RUSSIAN, "cp1251", "Иван Петров", id="cp1251"),
    pytest.param(CHINESE, "gb18030", "王小明", id="gb18030"),
    pytest.param(JAPANESE, "cp932", "山田太郎", id="cp932"),
]
WIDE = ["utf-32", "utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"]


def names(folder: Path, data: bytes, name: str = "c.csv", **how: Any) -> list[object]:
    return [getattr(draft, "name", draft) for draft in read_drafts(folder, data, name, **how)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("name", "data"), [("c.csv", CROATIAN), ("c.jsonl", '{"reference": "h-1", "name": "Ana Marić"}')]
)
def test_utf_8_and_utf_16_are_recognised(encoding: str, name: str, data: str, tmp_path: Path) -> None:
    assert names(tmp_path, data.encode(encoding), name)[0] == "Ana Marić"


@pytest.mark.parametrize(("text", "encoding", "word"), FILES)
def test_other_encodings_are_refused_with_a_suggestion_and_samples(
    text: str, encoding: str, word: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        names(tmp_path, text.encode(encoding))
    message = str(caught.value)
    assert f"encoding='{encoding}'" in message
    assert f"line 2: {word}" in message


@pytest.mark.parametrize(("text", "encoding", "word"), FILES)
@pytest.mark.parametrize("accepted", [True, False])
def test_named_and_detected_encodings_are_read(
    text: str, encoding: str, word: str, accepted: bool, tmp_path: Path
) -> None:
    found = names(tmp_path, text.encode(encoding), encoding="detect" if accepted else encoding)
    assert found == [line.partition(",")[2] for line in text.splitlines()[1:]]
    assert word in str(found[0])


@pytest.mark.parametrize(
    ("encoding", "how", "noted"),
    [("cp1250", "detect", {"c.csv": "cp1250"}), ("cp1250", "cp1250", {}), ("utf-8", "detect", {}), ("utf-8", None, {})],
)
@pytest.mark.parametrize("query", [None, QUERY])
def test_detected_encoding_is_noted(
    encoding: str, how: str | None, noted: dict[str, str], query: str | None, tmp_path: Path
) -> None:
    reader = open_rows(tmp_path, CROATIAN.encode(encoding), encoding=how, query=query)
    list(reader)
    assert reader.notes.encodings == reader.notes.as_dict()["encodings"] == noted


def test_column_names_are_read_in_the_named_encoding(tmp_path: Path) -> None:
    mapping = {"Kundennummer": "reference", "Straße": "address.line1"}
    first, _ = read_drafts(tmp_path, GERMAN.encode("cp1252"), mapping=mapping, encoding="cp1252")
    assert (first.name, first.address.line1) == ("Müller, Anna", "Lindenweg 1")


def test_each_distinct_text_is_shown_for_one_encoding() -> None:
    survey = _Survey(sample=[(2, b"c-1,Mari\xe6")])
    shown = _shown(survey, ["latin-1", "cp1252", "cp1250"])
    assert shown == " Read as latin-1: line 2: Mariæ. Read as cp1250: line 2: Marić."


def test_words_without_foreign_characters_are_not_shown(tmp_path: Path) -> None:
    data = "reference,name,phone\nh-1,Ana Marić,+385912345678\n".encode("cp1250")
    with pytest.raises(ConfigurationError) as caught:
        names(tmp_path, data)
    assert "Ana" not in str(caught.value)
    assert "385" not in str(caught.value)


def test_stray_byte_names_its_line_and_leaves_the_other_lines(tmp_path: Path) -> None:
    data = "reference,name\nc-1,Žofie\nc-2,Ana Mari".encode() + b"\xe6\nc-3,Ada\n" + "c-4,Željko\n".encode()
    assert names(tmp_path, data) == [
        "Žofie",
        "line 3, column name: the value contains bytes that are not valid in the encoding of the file",
        "Ada",
        "Željko",
    ]
    lines = '{"reference": "1", "name": "Ž"}\n{"reference": "2", "name": "'.encode() + b'\xe6"}\n'
    assert names(tmp_path, lines, "c.jsonl") == [
        "Ž",
        "line 2: the row contains bytes that are not valid in the encoding of the file",
    ]


def test_stray_byte_in_the_reference_leaves_the_row_without_one(tmp_path: Path) -> None:
    _, row = read_rows(tmp_path, "reference,name\nc-1,Žofie\nc-".encode() + b"\xff,Ada\n")
    assert row.reference is None
    assert row.problem.startswith("line 3, column reference: the value contains bytes")


@pytest.mark.parametrize("encoding", WIDE)
def test_utf_16_without_byte_order_mark_and_utf_32_are_named(encoding: str, tmp_path: Path) -> None:
    data = CROATIAN.encode(encoding)
    with pytest.raises(ConfigurationError, match=f"encoding='{encoding}'"):
        names(tmp_path, data)
    assert names(tmp_path, data, encoding=encoding)[0] == "Ana Marić"
    assert names(tmp_path, data, encoding="detect")[0] == "Ana Marić"


BEFORE_THE_FIRST_ROW: dict[str, tuple[str, bytes, dict[str, Any], str]] = {
    "byte at the end": (
        "c.csv.gz",
        gzip.compress(b"reference,name\n" + b"c-1,Ada\n" * 300_000 + b"c-2,Mari\xe6\n"),
        {},
        r"is not UTF-8 \(line 300002\)",
    ),
    "stray byte in the column names": (
        "c.csv",
        b"reference,name,Stra\xdfe\nc-1," + "Žofie\nc-2,Željko\n".encode(),
        {"unknown": "ignore"},
        "line 1: the column names contain bytes that are not valid",
    ),
    "text that is cut off": (
        "c.csv", CROATIAN.encode("utf-16")[:-1], {}, r"c\.csv is not valid utf-16 after line \d\. Correct"
    ),
    "other byte order mark": (
        "c.csv", CROATIAN.encode("utf-8-sig"), {"encoding": "cp1250"}, "starts with the byte order mark of utf-8"
    ),
    **{
        f"unknown encoding {it!r}": (
            "c.csv", CROATIAN.encode(), {"encoding": it}, "is not the name of a text encoding"
        )
        for it in ("klingon", "base64", "", "a\0b")
    },
    **{
        f"binary file {number} {how}": ("c.csv", data, how, r"c\.csv is not a text file")
        for number, data in enumerate((b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"PK\x03\x04\x14\0\0\0\x08\0abc"))
        for how in ({}, {"unknown": "ignore"}, {"encoding": "detect"})
    },
}  # fmt: skip


@pytest.mark.parametrize("case", BEFORE_THE_FIRST_ROW)
def test_encoding_is_checked_to_the_end_before_the_first_row(case: str, tmp_path: Path) -> None:
    name, data, how, words = BEFORE_THE_FIRST_ROW[case]
    with pytest.raises(ConfigurationError, match=words):
        open_rows(tmp_path, data, name, **how)


def test_second_file_of_a_folder_is_checked_before_the_first_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("reference,name\nc-1,Ada\n", encoding="utf-8")
    (tmp_path / "b.csv").write_bytes(CROATIAN.encode("cp1250"))
    for use in (sources.read, lambda path: next(iter(Index(Source(str(path)))))):
        with pytest.raises(ConfigurationError, match=r"b\.csv is not UTF-8"):
            use(tmp_path)


@pytest.mark.parametrize("encoding", ["cp1250", "utf-16-le"])
@pytest.mark.parametrize("name", ["c.csv", "c.csv.gz"])
def test_partitions_read_the_named_encoding(encoding: str, name: str, tmp_path: Path) -> None:
    data = ("reference,name\n" + "".join(f"c-{number},Marić\n" for number in range(10))).encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    source = Source(str(path), sources.ColumnMapping(text=TextOptions(encoding)))
    parts = [Partition.from_json(part.to_json()) for part in Index(source, size=3)]
    rows = [row for part in parts for row in part.read()]
    assert [row.reference for row in rows] == [f"c-{number}" for number in range(10)]
    assert {row.draft.name for row in rows if row.draft} == {"Marić"}


@pytest.mark.parametrize("encoding", ["cp1250", "cp1251", "iso-8859-2", "gb18030", "mac_roman"])
def test_named_encoding_is_refused_for_a_file_in_utf_8(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("reference,name\n1,Ada\n")
    (tmp_path / "c.csv").write_text(CROATIAN)
    advice = (
        r"c\.csv is UTF-8, so its encoding is not .* For a folder of files in several encodings, use encoding='detect'"
    )
    for source in (tmp_path, tmp_path / "c.csv"):
        with pytest.raises(ConfigurationError, match=advice):
            sources.read(source, encoding=encoding)
    assert len(list(sources.read(tmp_path / "b.csv", encoding=encoding))) == 1


@pytest.mark.parametrize(
    "encoding",
    ["cp1252", "latin-1", "cp1250", "cp1251", "cp1254", "iso-8859-2", "cp850", "cp852", "cp437", "mac_roman", "gbk"],
)
def test_utf_8_that_a_program_decoded_wrongly_is_refused(encoding: str, tmp_path: Path) -> None:
    texts = {}
    for text in ("Željko Čović", "Jürgen Größe", "Łukasz Żółć", "Petar ČOVIĆ", "山田太郎"):
        with suppress(UnicodeDecodeError):
            texts[text] = text.encode().decode(encoding)
    assert texts
    rows = "".join(f'{number},"{text}"\n' for number, text in enumerate(texts.values()))
    for found in names(tmp_path, f"reference,name\n{rows}".encode()):
        assert "the value was decoded with another encoding" in str(found)


def test_names_that_could_be_utf_8_by_chance_are_read(tmp_path: Path) -> None:
    texts = [
        "WĘŻYK", "KÓŁKO", "MÍŠA", "BĂŞESCU", "BĚŽEC", "RŮŽA", "ĐŽ", "Haščák", "Đô", "谢小校", "小雪", "王小明", "茅台",
        "Ві", "Ні", "Łódź", "ÆØÅ", "ŞİŞLİ", "Việt", "Αθήνα",
    ]  # fmt: skip
    rows = "".join(f"{number},{text}\n" for number, text in enumerate(texts))
    assert names(tmp_path, f"reference,name\n{rows}".encode()) == texts
