"""Values at the start of a source, with which other values of their columns are compared."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from functools import cache
from itertools import islice
from typing import Any, Protocol

from attrs import define, evolve, field

from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.columns import Reading
from wonder_customers.bulk.sources.notes import SourceNotes
from wonder_customers.errors import ConfigurationError

__all__ = ["sampled"]

_SAMPLE = 1000


class _Rows(Iterable[Row], Protocol):
    def close(self) -> None: ...


def sampled(reading: Reading, rows: Callable[[Reading], _Rows]) -> Reading:
    """Return settings with which values can be compared with other values of their columns, which `rows` reads."""

    @cache
    def sample() -> Mapping[str, Collection[str]]:
        # The sample is the same for each partition of a source. Most sources do not need one.
        notes = _ColumnValues()
        with suppress(ConfigurationError), closing(rows(evolve(reading, inspecting=True, notes=notes))) as found:
            for _ in islice(found, _SAMPLE):
                pass
        return notes.values

    return evolve(reading, sample=sample)


@define(eq=False)
class _ColumnValues(SourceNotes):
    """The values of columns, instead of masked samples."""

    values: dict[str, set[str]] = field(factory=dict)

    def observe(self, names: Sequence[str], values: Sequence[Any]) -> None:
        """Add the values of a row."""
        for name, value in zip(names, values, strict=False):
            self.values.setdefault(name, set()).add("" if value is None else str(value))
