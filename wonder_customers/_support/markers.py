"""The values of a record's fields that stand for an action: `UNSET` and `CLEAR`."""

from enum import Enum
from typing import Any, Final

__all__ = ["CLEAR", "UNSET", "Clear", "Unset"]


class Unset(Enum):
    """The type of `UNSET`: "leave this field as it is", where None means "clear it"."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Final = Unset.UNSET


class Clear(Enum):
    """The type of `CLEAR`."""

    CLEAR = "CLEAR"

    def __repr__(self) -> str:
        return "CLEAR"


CLEAR: Final[Any] = Clear.CLEAR
"""The value of a draft's field that an upsert clears, where None means "leave it as it is"."""
