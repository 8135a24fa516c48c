"""Checks of the columns of a source, with the messages about columns that cannot be used."""

import re
from collections.abc import Collection, Mapping, Sequence

from attrs import evolve

from wonder_customers.bulk.sources.assignment import Assignment, Feed, known_fields
from wonder_customers.bulk.sources.notes import SourceNotes
from wonder_customers.bulk.sources.presets import other_export, similar
from wonder_customers.errors import ConfigurationError

__all__ = ["MAY_BE_DATA", "UnknownColumns", "check_export", "check_fields", "may_be_data", "targets", "unknown_columns"]


class UnknownColumns(ConfigurationError):
    """Raised when a column is unknown, or when the reference has no column."""


def check_export(names: Sequence[str]) -> None:
    """Raise `ConfigurationError` if a source is a known export of other records, such as orders."""
    what = other_export(names)
    if what is not None:
        raise ConfigurationError(
            f"the source is an export of {what}, not of customers. Export the customers, or map each required column"
            " with mapping={'COLUMN': 'FIELD'}."
        )


def check_fields(names: Sequence[str], feeds: Sequence[Feed]) -> None:
    """Raise `ConfigurationError` if a field is filled in more than one way."""
    paths = [feed.target or feed.path for feed in feeds]
    repeated = sorted({path for path in paths if paths.count(path) > 1})
    if repeated:
        feeds = [feed for feed, path in zip(feeds, paths, strict=True) if path in repeated]
        places = sorted(place for feed in feeds for place in feed.places)
        listed = ", ".join(repr(names[it]) for it in places)
        left_out = f"mapping={ {names[places[-1]]: ''} }"
        if not all(feed.places for feed in feeds):
            raise ConfigurationError(
                f"{', '.join(repeated)} has a constant in the [fields] table of the mapping, and a column ({listed})."
                f" Leave the column out with {left_out}, or remove the constant."
            )
        keep = " Keep the column whose values never change for a customer." if "reference" in repeated else ""
        raise ConfigurationError(
            f"more than one column is mapped to {', '.join(repeated)} ({listed}). Leave a column out with {left_out},"
            f" or list the columns as `first` in the [fields] table of a mapping file.{keep}"
        )


_DATA = re.compile(r"[^\s@]+@(?!odata\.)[^\s@]+\.[^\s@]+|[+(]?(?![0-9]{4}-[0-9]{2}-)[0-9][0-9 ()-]{4,}", re.IGNORECASE)
"""An e-mail address or a number. Beside it, other names may also be values of the first customer."""
MAY_BE_DATA = re.compile(r"@|[0-9]{5}")
_MOST_HINTS = 100


def _hints(found: Assignment) -> dict[str, str | None]:
    """Return the field that is similar to the name of each unknown column, for the first columns of a wide table."""
    free = known_fields() - {feed.path for feed in found.feeds}
    return {found.names[place]: similar(found.names[place], free) for place in found.unknown[:_MOST_HINTS]}


def _has_no_names(found: Assignment, hints: Mapping[str, str | None]) -> bool:
    """Return whether the names of the columns may be the first customer. A value may be a known name by chance."""
    used = [feed for feed in found.feeds if feed.places]
    return bool(hints) and len(used) < 2 and "reference" not in {*hints.values(), *(feed.path for feed in used)}


def may_be_data(found: Assignment) -> bool:
    """Return whether the names of the columns may be the first customer."""
    return _has_no_names(found, _hints(found)) or any(map(_DATA.fullmatch, found.names))


def unknown_columns(found: Assignment) -> ConfigurationError:
    """Return the error for unknown columns."""
    names = [found.names[place] for place in found.unknown]
    hints = _hints(found)
    if _has_no_names(found, hints):
        return UnknownColumns(
            "no column of the source is the reference, and at most one is another field of a customer. Map each column"
            " or key with mapping={'COLUMN': 'FIELD'}. If a table starts with the first customer instead of column"
            " names, insert a line of column names above it."
        )
    texts = [
        "a name that looks like data"
        if MAY_BE_DATA.search(it)
        else f"{it[:40]!r} (did you mean {hints[it]}?)"
        if hints[it]
        else repr(it[:40])
        for it in names[:8]
    ]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    listed = f": {', '.join(texts)}{more}"
    if any(map(_DATA.fullmatch, found.names)):
        listed = ", which are not shown, because the name of a column looks like data of a customer"
    return UnknownColumns(
        f"the source has unknown columns{listed}. Map each column to a field with"
        " mapping={'COLUMN': 'FIELD'}, keep its values with mapping={'COLUMN': 'metadata.KEY'}, leave the column out"
        " with mapping={'COLUMN': ''}, or leave all unknown columns out with unknown='ignore'. `wonder-customers"
        " columns FILE -o mapping.toml` writes a mapping to edit."
    )


def targets(found: Assignment, missing: Collection[str], notes: SourceNotes) -> list[Feed]:
    """Return the feeds with their targets. `missing` are the fields that the gateway does not have.

    Raise `ConfigurationError` if one of them is mapped or named explicitly.
    """
    feeds, refused = [], list[str]()
    for feed in found.feeds:
        if feed.path not in missing and feed.path.partition(".")[0] not in missing:
            feeds.append(evolve(feed, target=feed.path))
            continue
        chosen = found.mapping.unsupported or ("metadata" if feed.automatic else "refuse")
        if chosen == "refuse":
            listed = ", ".join(repr(found.names[place]) for place in feed.places)
            refused.append(f"{feed.path} ({listed})" if listed else feed.path)
        elsewhere = f"metadata.{feed.path.removeprefix('metadata.').replace('.', '_')}"
        kept = chosen == "metadata" and "metadata" not in missing
        feeds.append(evolve(feed, target=elsewhere if kept else None))
        if not kept and feed.path not in notes.lost:
            notes.lost.append(feed.path)
        for place in feed.places:
            paths, why = notes.columns.get(found.names[place], ((), ""))
            others = tuple(path for path in paths if path != feed.path)
            use = (*others, elsewhere) if kept else others
            notes.columns[found.names[place]] = (use, f"{why}; the gateway does not have {feed.path}")
    if refused:
        keep = "Leave" if "metadata" in missing else "Keep the values as metadata with unsupported='metadata', or leave"
        raise ConfigurationError(
            f"the gateway does not have these fields (with their columns in parentheses): {', '.join(refused)}."
            f" {keep} them out with unsupported='ignore'."
        )
    # The country is read first, because a national phone number depends on it.
    return sorted(feeds, key=lambda feed: feed.path != "address.country")
