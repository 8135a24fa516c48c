"""Columns that belong together, such as those of one address: each row uses one of several groups."""

import re
from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from wonder_customers._support.normal_forms import name_key
from wonder_customers.bulk.sources.assignment import Feed

__all__ = ["Choice", "choices", "label"]

_LABEL = re.compile(
    "(default)?(?P<label>billing|billto|bill(?=addr)|shipping|shipto|mailing|delivery|physical|primary|main|home|business|"
    "work|other|card(?=address)|(po|sa)(?=address|city|region|postal|country)|address(?=firstname|lastname)|"
    "(mobile|phone)(?=countrycode|areacode|number))"
)
_SAME = {"billto": "billing", "bill": "billing", "shipto": "shipping"}
_OWN = ("billing", "mailing", "primary", "main")
"""The labels of addresses of which some columns may have no label, if the table has several labels."""

_Group = dict[str, tuple[int, ...]]


@frozen
class Choice:
    """Groups of columns for the same fields.

    Attributes:
        kind: ``address``, ``name`` or ``phone``.
        paths: The fields.
        groups: The columns of each field, by label; the first group is preferred.
    """

    kind: str
    paths: frozenset[str]
    groups: Mapping[str, _Group]

    def chosen(self, filled: Callable[[int], bool]) -> _Group:
        """Return the group that a row uses; an empty group if the row has no value."""
        found = max(self.groups.values(), key=lambda group: self._rank(group, filled))
        return found if self._rank(found, filled) else {}

    def _rank(self, group: _Group, filled: Callable[[int], bool]) -> int:
        if self.kind == "phone":
            # Its last column is the number without calling code and area code.
            numbers = group.get("phone.number", ())
            return int(bool(numbers) and filled(numbers[-1]))
        used = {path for path, places in group.items() if any(map(filled, places))}
        if self.kind == "name":
            return len(used)
        # A country alone is used only without other values.
        return 2 if used - {"address.country"} else len(used)


def label(name: str) -> str:
    """Return the word in a column's name that tells the addresses of a customer apart; an empty string without it."""
    found = _LABEL.match(name_key(name))
    return _SAME.get(found["label"], found["label"]) if found else ""


def choices(feeds: Sequence[Feed], names: Sequence[str], *, together: bool | None) -> tuple[Choice, ...]:
    """Return the choices that each row has. None for `together` keeps columns together, unless they are mapped."""
    if together is False:
        return ()
    # An automatic full name is an alternative to mapped parts.
    parts = {"first_name", "last_name"}
    usable = [feed for feed in feeds if feed.places and (together or feed.automatic or feed.path in parts)]
    # The column of the country does not decide which address is preferred.
    usable.sort(key=lambda feed: feed.path == "address.country")
    found = []
    for kind in ("address", "name", "phone"):
        groups: dict[str, _Group] = {}
        for feed in usable:
            if not _is_of(kind, feed.path):
                continue
            for place in feed.places:
                own = label(names[place]) if together or feed.automatic else ""
                group = groups.setdefault("full name" if feed.path == "name" else own, {})
                group[feed.path] = (*group.get(feed.path, ()), place)
        _merge(groups)
        if kind == "address":
            groups = dict(sorted(groups.items(), key=lambda item: "address.line1" not in item[1]))
        elif kind == "name":
            groups = dict(sorted(groups.items(), key=lambda item: item[0] == "full name"))
        if len(groups) > 1 or (kind == "phone" and any(groups)):
            found.append(Choice(kind, frozenset(path for group in groups.values() for path in group), groups))
    return tuple(found)


def _is_of(kind: str, path: str) -> bool:
    if kind == "name":
        return path in {"name", "first_name", "last_name"}
    return path.startswith(f"{kind}.")


def _merge(groups: dict[str, _Group]) -> None:
    """Add columns without a label to a group that has none of their fields."""
    labels = groups.keys() - {"", "full name"}
    likely = labels if len(labels) == 1 else [it for it in _OWN if it in groups]
    other = next((it for it in likely if groups[it].keys().isdisjoint(groups.get("", {}))), None)
    if other is not None:
        groups[other] |= groups.pop("", {})
