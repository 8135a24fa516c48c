"""Sources of rows: files, folders, queries and databases."""

from wonder_customers.bulk.sources.mapping import ColumnMapping, FieldSource
from wonder_customers.bulk.sources.paths import Format, files, fingerprint
from wonder_customers.bulk.sources.reader import RowReader, read, rows_of_file, unsupported_fields

__all__ = [
    "ColumnMapping",
    "FieldSource",
    "Format",
    "RowReader",
    "files",
    "fingerprint",
    "read",
    "rows_of_file",
    "unsupported_fields",
]
