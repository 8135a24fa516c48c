"""The description of a source, which can be sent to other processes."""

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import asdict, field, frozen

from wonder_customers.bulk.sources.columns import Reading
from wonder_customers.bulk.sources.mapping import ColumnMapping
from wonder_customers.bulk.sources.paths import Format
from wonder_customers.bulk.sources.reader import RowReader, read

__all__ = ["Source"]


def _mapping(given: ColumnMapping | Mapping[str, Any]) -> ColumnMapping:
    return given if isinstance(given, ColumnMapping) else ColumnMapping(columns=given)


def _sorted(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(given))


@frozen
class Source:
    """The arguments of `read` as data, to be sent to other processes.

    Attributes:
        path: A file, a folder, or ``-`` for a query that names its own files, or for a database.
        mapping: The field of each column; or a `ColumnMapping`, which also defines how values are read.
        query: SQL that selects the rows; None to read all rows.
        form: The format; None to determine it from the name.
        database: The database of the query, as for `read`; None for files.
        unsupported: The fields that the gateway does not have.
    """

    path: str
    mapping: ColumnMapping = field(factory=ColumnMapping, converter=_mapping)
    query: str | None = None
    form: Format | None = None
    database: str | None = None
    unsupported: tuple[str, ...] = field(default=(), converter=_sorted)

    @property
    def reading(self) -> Reading:
        """The settings for reading the columns."""
        return Reading(self.mapping, unsupported=frozenset(self.unsupported))

    def read(self) -> RowReader:
        """Return an iterator over all rows.

        Raises:
            ConfigurationError: The source cannot be read, or its columns cannot be used.
        """
        return read(**asdict(self, recurse=False))
