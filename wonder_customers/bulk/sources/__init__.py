"""Sources of rows: files, folders and queries, read as a stream."""

from wonder_customers.bulk.sources.paths import Format, files, fingerprint
from wonder_customers.bulk.sources.reader import RowReader, read, rows_of_file

__all__ = ["Format", "RowReader", "files", "fingerprint", "read", "rows_of_file"]
