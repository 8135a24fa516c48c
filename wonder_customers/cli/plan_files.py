"""Saved plans on the command line: ``plan --save`` and ``sync --approved``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.journal.database import reading
from wonder_customers.bulk.journal.digest import Digests, key_of
from wonder_customers.bulk.saved_plan import contents
from wonder_customers.bulk.sources import files
from wonder_customers.bulk.sources.reader import Source

__all__ = ["described", "empty_journal"]


def described(source: Source) -> dict[str, Any]:
    """Return the facts about a source that must not change after a plan was saved."""
    chosen = [] if source.path == "-" else files(Path(source.path), source.form)
    return {
        "source": Path(source.path).name,
        "contents": contents(path for path, _ in chosen),
        "mapping": source.mapping.as_dict(),
        "query": source.query,
        "database": source.database,
        "format": source.form,
    }


@contextmanager
def empty_journal(path: Path, gateway: str, endpoint: str) -> Iterator[Journal]:
    """Provide an empty temporary journal for a plan."""
    with TemporaryDirectory(prefix="wonder-customers-") as folder:
        made = Journal.open(Path(folder) / "journal", gateway=gateway, endpoint=endpoint)
        # The key is created beside `path`, where `sync` will create the journal.
        with reading(path):
            made.digests = Digests(key_of(path))
        yield made
