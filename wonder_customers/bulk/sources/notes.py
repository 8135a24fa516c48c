"""Notes about the reading of a source, for plans and reports."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, evolve, field

from wonder_customers.bulk.sources.encodings import DETECT
from wonder_customers.bulk.sources.mapping import ColumnMapping

__all__ = ["AMBIGUOUS", "NOT_VALID", "NO_COUNTRY", "SourceNotes", "masked"]

NO_COUNTRY = "the row has no country"
NOT_VALID = "the number is not valid in the country of the row"
AMBIGUOUS = "the number may already start with a calling code"

_EXAMPLES = 3
_LONGEST = 60
_INVISIBLE = re.compile(r"[^\S \n]|[\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


def masked(text: str, *, keep: int = 1) -> str:
    """Return the start of a string, with masked letters and digits after the first `keep` characters."""
    shown = "".join(
        character if place < keep or not character.isalnum() else ("9" if character.isnumeric() else "x")
        for place, character in enumerate(text[:_LONGEST])
    )
    return _INVISIBLE.sub(lambda found: f"<U+{ord(found[0]):04X}>", shown).replace("\n", " ")


@define(eq=False)
class SourceNotes:
    """The decisions and changes made while a source was read.

    The ``repr`` shows no names of columns, because a file without column names begins with a customer.

    Attributes:
        program: The program that exported the source, according to the columns; None if it is not a known export.
        member: The member of a JSON object that contains the rows; None for other sources.
        encodings: The encodings found by ``detect``, other than UTF-8, by file name.
        columns: The fields of columns and the reason; a column that is left out has no field.
        lost: The fields with a column that are left out, because the gateway does not have them.
        changes: The number of values that were changed, by column and transformation.
        examples: Values before and after a change, by column and transformation. Countries and placeholders are not
            masked.
        national: The number of phone numbers without ``+`` that are sent unchanged, by column and reason (`NO_COUNTRY`,
            `NOT_VALID` or `AMBIGUOUS`), with a masked example.
        empty_files: The names of the files without rows in a folder.
        footers: The number of skipped lines such as ``Total``.
        footer_references: The references of these lines, if any. Customers with such a reference are not counted as
            missing from the source.
        repeated_headers: The number of skipped lines that repeat the column names.
        short_rows: The number of rows with fewer values than columns, whose missing values count as empty cells.
        gaps: The number of places in which rows follow a blank line, and may belong to another table.
        unended_files: The number of files whose last line has no line break, so that its last value may be incomplete.
        near_duplicates: The number of references that differ from an earlier reference only in case, in the
            composition of characters or in invisible characters.
        near_duplicate_rows: The row numbers of the first of them: the earlier row and the later row.
        mapping: The mapping that lists every column; None unless the source is inspected.
        samples: Masked values of each column; empty unless the source is inspected.
        without_names: Whether the names of the columns may be the first customer; False unless the source is inspected.
    """

    program: str | None = None
    member: str | None = None
    encodings: dict[str, str] = field(factory=dict)
    columns: dict[str, tuple[tuple[str, ...], str]] = field(factory=dict, repr=False)
    lost: list[str] = field(factory=list)
    changes: "Counter[tuple[str, str]]" = field(factory=Counter, repr=False)
    examples: dict[tuple[str, str], list[tuple[str, str]]] = field(factory=dict, repr=False)
    national: dict[tuple[str, str], tuple[int, str]] = field(factory=dict, repr=False)
    empty_files: list[str] = field(factory=list)
    footers: int = 0
    footer_references: set[str] = field(factory=set)
    repeated_headers: int = 0
    short_rows: int = 0
    gaps: int = 0
    unended_files: int = 0
    near_duplicates: int = 0
    near_duplicate_rows: list[tuple[int, int]] = field(factory=list)
    mapping: ColumnMapping | None = field(default=None, repr=False)
    samples: dict[str, list[str]] = field(factory=dict, repr=False)
    without_names: bool = False

    @property
    def automatic(self) -> Mapping[str, tuple[tuple[str, ...], str]]:
        """The columns that are neither mapped nor named like a field."""
        return {
            name: use for name, use in self.columns.items() if not use[1].startswith(("mapped", "name of the field"))
        }

    def changed(self, column: str, what: str, before: str, after: str) -> None:
        """Count a value that a transformation changed."""
        key = (column, what)
        self.changes[key] += 1
        examples = self.examples.setdefault(key, [])
        if len(examples) < _EXAMPLES:
            plain = what in {"country", "placeholders"}
            example = (before, after) if plain else (masked(before, keep=0), masked(after, keep=0))
            if example not in examples:
                examples.append(example)

    def add_national(self, column: str, reason: str, number: str) -> None:
        """Count a national phone number that is sent unchanged."""
        count, example = self.national.get((column, reason), (0, ""))
        self.national[column, reason] = (count + 1, example or masked(number, keep=0))

    def add_footer(self, reference: str | None) -> None:
        """Count a skipped line such as ``Total``, with the value of its reference column."""
        self.footers += 1
        if reference is not None:
            self.footer_references.add(reference)

    def add_encoding(self, name: str, given: str | None, found: str) -> None:
        """Record the encoding of a file if it was detected."""
        if given is not None and given.lower() == DETECT and found != "utf-8":
            self.encodings[name] = found

    def add_mapping(self, found: ColumnMapping) -> None:
        """Add the mapping of a table of the source."""
        if self.mapping is not None:
            columns, rules = {**found.columns, **self.mapping.columns}, {**found.fields, **self.mapping.fields}
            found = evolve(
                self.mapping,
                columns=columns,
                fields=rules,
                unsupported=self.mapping.unsupported or found.unsupported,
                several=self.mapping.several or found.several,
                company_as_name=self.mapping.company_as_name or found.company_as_name,
                keep_together=self.mapping.keep_together or found.keep_together,
            )
        self.mapping = found

    def add_unnamed(self, name: str) -> None:
        """Add a column that has values, but no name."""
        if self.mapping is not None and name not in self.columns:
            self.columns[name] = (), "the column has no name"
            self.mapping = evolve(self.mapping, columns={**self.mapping.columns, name: ()})

    def observe(self, names: Sequence[str], values: Sequence[Any]) -> None:
        """Add masked samples of a row's values."""
        for name, value in zip(names, values, strict=False):
            samples = self.samples.setdefault(name, [])
            if len(samples) < _EXAMPLES and value is not None and value != "":
                shown = masked(str(value).strip())
                if shown and shown not in samples:
                    samples.append(shown)

    def as_dict(self) -> dict[str, Any]:
        """Return the notes that the report contains, as plain data."""
        return {
            "transformations": [
                {"column": column, "transformation": what, "values": count, "examples": self.examples[column, what]}
                for (column, what), count in self.changes.most_common()
            ],
            "national_phones": [
                {"column": column, "reason": reason, "values": count, "example": example}
                for (column, reason), (count, example) in self.national.items()
            ],
            "encodings": self.encodings,
            "lost_fields": self.lost,
            "footers": self.footers,
            "repeated_headers": self.repeated_headers,
            "short_rows": self.short_rows,
            "gaps": self.gaps,
            "unended_files": self.unended_files,
            "near_duplicate_references": self.near_duplicates,
        }
