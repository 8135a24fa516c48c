"""The options for reading a source, and the command ``columns``."""

from collections.abc import Collection, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import anyio.to_thread
from attrs import evolve, frozen
from cyclopts import Group, Parameter

from wonder_customers._support.counted import counted
from wonder_customers.bulk.continuation import as_argument
from wonder_customers.bulk.empty_cells import EmptyRule
from wonder_customers.bulk.report import no_rows
from wonder_customers.bulk.sources import ColumnMapping, Format, RowReader, files, fingerprint, read, unsupported_fields
from wonder_customers.bulk.sources.databases import check_database
from wonder_customers.bulk.sources.mapping import UnsupportedFields
from wonder_customers.bulk.sources.notes import NO_COUNTRY, SourceNotes, masked
from wonder_customers.bulk.sources.tables import reads_csv
from wonder_customers.cli import runtime
from wonder_customers.cli.error_messages import no_effect
from wonder_customers.cli.exit_codes import SUCCESS
from wonder_customers.cli.job_outputs import new_file
from wonder_customers.cli.output import cell, console, plain_table, print_line, print_message
from wonder_customers.cli.shared_options import WHOLE
from wonder_customers.errors import ConfigurationError

__all__ = ["SOURCE", "Empty", "SourceOptions", "print_changes", "print_columns", "print_fields", "show_columns"]

_MAX_ROWS = 1000
_MAX_COLUMNS = 12
_TEXT: Final = ("encoding", "delimiter", "quote", "skip_lines")
_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "csv": frozenset(_TEXT),
    "jsonl": frozenset({"encoding"}),
    "excel": frozenset({"sheet", "skip_lines"}),
    "parquet": frozenset(),
}
"""The options that have an effect on each format."""

Empty = Annotated[
    EmptyRule,
    Parameter(
        help="The fields that empty cells clear: own (the fields that this source has filled), clear (all fields), or"
        " keep (no field)."
    ),
]


@Parameter(name="*", group=Group("Source", sort_key=1))
@frozen
class SourceOptions:
    """Options for reading a source.

    Attributes:
        map: Map a column to a field (COLUMN=FIELD) or to several fields (COLUMN=FIELD,FIELD). COLUMN= leaves the column
            out. May be repeated.
        mapping: A mapping file, written by `columns FILE -o mapping.toml`.
        ignore_unknown: Ignore columns that are not fields of a customer.
        unsupported: What to do with fields that the gateway does not have: stop (refuse), keep the values as metadata
            (where the gateway has metadata), or ignore the fields. Default: refuse for columns that are mapped or named
            like a field, metadata for other columns.
        default_country: The country of national phone numbers in rows without a country, as a code such as HR.
        query: A SELECT statement for the rows (DuckDB). FILE is the table `source`.
        database: Run --query on a database: its URL without a password, or the name of an environment variable that
            contains the URL.
        format: The format of the file. Default: determined from the file's name.
        sheet: The name of the sheet to read from a spreadsheet.
        encoding: The encoding of a file that is not UTF-8, such as cp1250; `detect` uses the most likely encoding.
        delimiter: The delimiter of a CSV file, such as ; or tab.
        quote: The quote character of a CSV file.
        skip_lines: The number of lines to skip before the column names.
    """

    map: tuple[str, ...] = ()
    mapping: Path | None = None
    ignore_unknown: bool = False
    unsupported: UnsupportedFields | None = None
    default_country: str | None = None
    query: str | None = None
    database: str | None = None
    format: Format | None = None
    sheet: str | None = None
    encoding: str | None = None
    delimiter: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    quote: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    skip_lines: Annotated[int | None, WHOLE] = None

    def facts(self, file: Path) -> dict[str, Any]:
        """Return the settings of a run that describe its source. Raise `ConfigurationError` if one is invalid."""
        if self.database is not None:
            check_database(self.database)
            if str(file) != "-":
                raise ConfigurationError(f"with --database, the source must be -, not {str(file)!r}")
        if str(file) == "-" and self.query is None:
            raise ConfigurationError("the source '-' requires --query. To read a file, give its path.")
        found = fingerprint(file, self.query)
        self._check_effects(file)
        return {
            "source": str(file) if str(file) == "-" else str(file.absolute()),  # a link keeps its name
            "fingerprint": found,
            "mapping": self.column_mapping().as_dict(),
            "query": self.query,
            "database": self.database,
            "format": self.format,
        }

    def _check_effects(self, file: Path) -> None:
        """Raise `ConfigurationError` if an option has no effect on the source."""
        used: frozenset[str] = frozenset()
        if self.database is not None:
            what = "with --database"
        elif self.query is not None:
            what, used = "with --query", _OPTIONS["csv"] if reads_csv(file, self.query) else used
        else:
            formats = sorted({form for _, form in files(file, self.format)})
            what = f"on {' or '.join(formats)} files"
            used = frozenset({"format"}.union(*(_OPTIONS[it] for it in formats)))
        for name in self._given("format", "sheet", *_TEXT):
            if name not in used:
                which = " over files that are not CSV" if what == "with --query" and name in _OPTIONS["csv"] else ""
                raise no_effect(f"--{name.replace('_', '-')}", f" {what}{which}")

    def column_mapping(self) -> ColumnMapping:
        """Return the mapping from the mapping file and the options."""
        found = ColumnMapping() if self.mapping is None else ColumnMapping.load(self.mapping)
        columns = dict(found.columns)
        for pair in self.map:
            column, equals, field = pair.rpartition("=")
            if not equals:
                raise ConfigurationError(f"--map must be COLUMN=FIELD, but {pair!r} contains no =")
            columns[column] = tuple(part.strip() for part in field.split(",") if part.strip())
        ignored = {"unknown": "ignore"} if self.ignore_unknown else {}
        options = self._given("unsupported", "default_country", "sheet") | ignored
        return evolve(found, columns=columns, text=evolve(found.text, **self._given(*_TEXT)), **options)

    def _given(self, *names: str) -> dict[str, Any]:
        """Return those of the options that have a value."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}


SOURCE = SourceOptions()
"""The default options."""


def show_columns(file: Path, options: SourceOptions, to: str | None, output: Path | None) -> int:
    """Print the columns of a source, and return the exit code."""
    options.facts(file)
    unsupported: Collection[str] = ()
    if to is not None:
        from wonder_customers.dialects.offline import offline_account  # noqa: PLC0415 - loads slowly

        unsupported = unsupported_fields(offline_account(to))

    async def inspect() -> tuple[SourceNotes, bool]:
        return await anyio.to_thread.run_sync(_read_notes, file, options, unsupported)

    notes, complete = runtime.run(inspect)
    if notes.member is not None:
        print_line(f"The rows are the list {notes.member!r} of the JSON object.")
    if notes.program is not None:
        print_line(f"{file} is an export of {notes.program}.")
    table = plain_table("column", "samples (masked)", "field", "why")
    for name, (paths, why) in notes.columns.items():
        samples = " | ".join(notes.samples.get(name, ()))
        shown = masked(name) if notes.without_names else name
        table.add_row(cell(shown), cell(samples), cell(", ".join(paths) or "left out"), cell(why))
    console().print(table)
    if not notes.columns:
        print_message(no_rows(str(file), notes), "yellow")
    if not complete:
        print_message(
            f"Only the first {_MAX_ROWS:,} rows were read. In a JSON file, later objects may have other keys."
        )
    print_changes(notes)
    found = {path for paths, _ in notes.columns.values() for path in paths}
    if notes.without_names:
        print_message(
            "The names of the columns are masked, because the first line may contain the first customer. If it does,"
            " insert a line of column names above it. If the first line is a title, use --skip-lines.",
            "red",
        )
    elif notes.columns and "reference" not in found:
        print_message(
            "No column is the reference, which identifies a customer. Map a column with --map 'COLUMN=reference'.",
            "red",
        )
    if len(notes.columns) == 1 and "reference" not in found:
        print_message("If the columns are separated by another character, set this character with --delimiter.", "red")
    if output is not None and notes.mapping is not None:
        comments = {name: why for name, (_, why) in notes.columns.items()}
        new_file(output, notes.mapping.to_toml(comments))
        print_message(f"The mapping was written to {output}. Edit the file, then use --mapping {as_argument(output)}.")
    return SUCCESS


def print_fields(notes: SourceNotes) -> None:
    """Print the fields of the columns."""
    if any(why != "name of the field" for _, why in notes.columns.values()):
        uses = (f"{name} → {', '.join(paths) or 'left out'}" for name, (paths, _) in notes.columns.items())
        print_line(f"Columns: {'; '.join(uses)}")


def _read_notes(file: Path, options: SourceOptions, unsupported: Collection[str]) -> tuple[SourceNotes, bool]:
    """Read the first rows of a source; return its notes, and whether these are all rows."""
    reader = read(
        file,
        mapping=options.column_mapping(),
        query=options.query,
        form=options.format,
        database=options.database,
        unsupported=unsupported,
        inspecting=True,
    )
    with closing(reader):
        for row in islice(reader, _MAX_ROWS):
            _ = row.draft
        return reader.notes, next(reader, None) is None


def print_columns(reader: RowReader, name: str) -> None:
    """Print what was recognised automatically."""
    notes = reader.notes
    if notes.member is not None:
        print_message(f"The rows are the list {notes.member!r} of the JSON object.", "dim")
    automatic = notes.automatic
    used = [f"{column} → {', '.join(paths)}" for column, (paths, _) in automatic.items() if paths]
    left_out = [column for column, (paths, _) in automatic.items() if not paths]
    if not used:
        return
    what = f"an export of {notes.program}" if notes.program else "a table with common column names"
    out = f" Left out: {_listed(left_out)}." if left_out else ""
    print_message(f"Read as {what}: {_listed(used)}.{out} `wonder-customers columns {name}` shows all columns.", "dim")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_COLUMNS} more" if len(names) > _MAX_COLUMNS else ""
    return ", ".join(names[:_MAX_COLUMNS]) + more


def print_changes(notes: SourceNotes) -> None:
    """Print what was changed or noticed while a source was read."""
    for name, encoding in notes.encodings.items():
        print_message(
            f"{name} was read as {encoding}. If words look wrong, run `sync` with --encoding and the correct encoding.",
            "yellow",
        )
    if notes.lost:
        print_message(
            f"The gateway does not have these fields, so they are left out: {', '.join(notes.lost)}.", "yellow"
        )
    for name in notes.empty_files:
        print_message(f"{name} has no rows. Check that the file is complete.", "yellow")
    for (column, what), count in notes.changes.most_common():
        shown = "; ".join(f"{before} → {after or '(empty)'}" for before, after in notes.examples[column, what])
        values = counted(count, "value", "values")
        print_line(f"{column}: {values} changed by `{what}`: {shown}")
    for (column, reason), (count, example) in notes.national.items():
        values = counted(count, "number", "numbers")
        with_country = "run `sync` with --default-country and the country, such as HR"
        advice = with_country if reason == NO_COUNTRY else "correct the source"
        print_message(
            f"{column}: no calling code in {values}, such as {example}, because {reason}. To add the code, {advice}.",
            "yellow",
        )
    if notes.near_duplicates:
        pairs = ", ".join(f"{first} and {second}" for first, second in notes.near_duplicate_rows)
        what = counted(notes.near_duplicates, "reference differs", "references differ")
        text = f"{what} from another reference only in case, Unicode form or invisible characters (rows {pairs})"
        print_message(
            f"{text}. The rows are sent as different customers. If they are the same customer, correct the source.",
            "yellow",
        )
    if notes.footers:
        print_line(f"Skipped {counted(notes.footers, 'line', 'lines')} after the table, such as a total.")
    if notes.repeated_headers:
        lines = counted(notes.repeated_headers, "line that repeats", "lines that repeat")
        print_line(f"Skipped {lines} the column names.")
    if notes.short_rows:
        rows = counted(notes.short_rows, "row has", "rows have")
        print_line(f"{rows} fewer values than columns. The missing values are read as empty cells.")
    if notes.gaps:
        places = counted(notes.gaps, "place", "places")
        print_line(f"Rows follow a blank line in {places}. Check that they do not belong to another table.")
    if notes.unended_files:
        files = counted(notes.unended_files, "file ends", "files end")
        print_line(f"{files} without a line break. If a file is not complete, its last value may be cut off.")
