"""`UNSET` and `CLEAR`, the marker values for fields of records."""

from enum import Enum
from typing import Any, Final


class Unset(Enum):
    """The type of `UNSET`, which leaves a field of a patch unchanged, whereas None clears it."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Final = Unset.UNSET


class Clear(Enum):
    """The type of `CLEAR`, which clears a field in an upsert, whereas None leaves it unchanged."""

    CLEAR = "CLEAR"

    def __repr__(self) -> str:
        return "CLEAR"


CLEAR: Final[Any] = Clear.CLEAR
"""The value for a field of a draft that an upsert clears. None leaves the field unchanged."""
