"""A mark on drafts that a dialect has accepted, so that a job checks each of its rows only once."""

__all__ = ["Acceptable", "is_accepted", "mark_accepted"]


class Acceptable:
    """The base of drafts, with a slot for the class of the dialect that accepted the draft.

    The slot is not a part of the draft's value, of its copies or of its pickles.
    """

    __slots__ = ("_accepted_by",)


def mark_accepted(draft: Acceptable, dialect: type) -> None:
    """Record that the class `dialect` has accepted a draft."""
    object.__setattr__(draft, "_accepted_by", dialect)


def is_accepted(draft: Acceptable, dialect: type) -> bool:
    """Return whether `mark_accepted` was called for this object and this dialect."""
    return getattr(draft, "_accepted_by", None) is dialect
